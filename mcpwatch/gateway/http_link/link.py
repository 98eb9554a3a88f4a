"""An upstream reached by Streamable HTTP: what it answers goes through as it is, credentials are the operator's own.

Redirects are not followed and cookies are not kept: both would send a judged message, or a credential, elsewhere.
Source: MCP transports, Streamable HTTP.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping

from mcpwatch.errors import ConfigError
from mcpwatch.gateway import sse
from mcpwatch.gateway.headers import one
from mcpwatch.gateway.http_link.client import Broken, NotSent, Pool, Response, Target
from mcpwatch.gateway.http_link.credentials import AUTHORIZATION, Credentials, Entrance
from mcpwatch.gateway.http_link.own import list_tools
from mcpwatch.gateway.link import Answer, Headers, LoginNeeded, Request, SseEvent, UpstreamError
from mcpwatch.gateway.settings import Limits
from mcpwatch.policy.values import Json

OnChange = Callable[[str, str, str], None]
"""(state, error, remedy), the states of `UpstreamChanged`."""

_REMEDY = "Check that the server runs and that the URL is right."
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TOGETHER = 4
"""Unfinished answers may hold so many times what one may."""
_FIXED: Headers = [(b"accept-encoding", b"identity")]
_NOT_LET_IN = (401, 403)
_OURS = frozenset(
    ["host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding", "mcp-session-id"]
)


def _tell_nobody(state: str, error: str, remedy: str) -> None:
    """Nobody watches this upstream."""


class HttpLink:
    """`headers` are what the operator configured for this upstream; they replace the caller's of the same name.

    `credentials` are the operator's login there; a configured Authorization comes before it.
    Raises ConfigError when `url` or a header cannot be one.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        on_change: OnChange = _tell_nobody,
        limits: Limits | None = None,
    ) -> None:
        self.name = name
        try:
            self._pool = Pool(Target.of(url))
        except ValueError as fault:
            raise ConfigError(f"upstream {name}: {fault}") from None
        self._own = _own_headers(name, headers or {})
        self._own_names = frozenset((AUTHORIZATION, *(key for key, _ in self._own)))
        self._entrance = Entrance(self._own, credentials)
        self._tell = on_change
        self._most = (limits or Limits()).answer_bytes
        self._unfinished = 0
        self._state = ("", "")

    async def start(self) -> None:
        """Reach the upstream once; any answer of HTTP will do. Raises UpstreamError when there is none."""
        self._told("starting")
        try:
            answer = await self.send(Request("GET", [(b"accept", b"text/event-stream")], b"", None, "", False, ""))
            await answer.aclose()
        except LoginNeeded:
            # Told already; the operator can log in while the gateway runs.
            return

    async def send(self, request: Request) -> Answer:
        """Raises UpstreamError; `sent` is False only when no byte of the request can have arrived."""
        try:
            headers = self._headers(request)
            response = await self._pool.ask(request.verb, headers, request.body)
            if response.status in _NOT_LET_IN:
                response = await self._knock_again(request, headers, response)
            else:
                self._told("ready")
            return await self._answer(response)
        except NotSent as fault:
            error = UpstreamError(str(fault), _REMEDY, sent=False)
            self._told("failed", error.error, error.remedy)
            raise error from fault
        except Broken as fault:
            raise _broken(fault) from fault

    async def tools(self) -> list[dict[str, Json]]:
        """The whole tool list, asked on a session of our own. Raises UpstreamError."""
        try:
            return await list_tools(self.send)
        except LoginNeeded:
            raise
        except UpstreamError as fault:
            raise UpstreamError(self._entrance.veiled(fault.error), fault.remedy, sent=fault.sent) from None

    async def stop(self) -> None:
        """Close every connection that is not in use; those end with their requests."""
        self._pool.close()
        self._told("stopped")

    async def _knock_again(self, request: Request, sent: Headers, response: Response) -> Response:
        """The answer after a 401 or 403. Raises LoginNeeded where the operator's credentials do not let in."""
        try:
            response = await self._entrance.again(
                sent, response, lambda: self._pool.ask(request.verb, self._headers(request), request.body)
            )
        except BaseException:
            response.end()
            raise
        fault = self._entrance.fault(response)
        if fault is None:
            self._told("ready")
        else:
            self._told("failed", fault.error, fault.remedy)
            if self._entrance.is_operators:
                response.end()
                raise fault
        response.headers = self._entrance.without_challenge(response.headers)
        return response

    async def _answer(self, response: Response) -> Answer:
        status, headers = response.status, response.headers

        async def close() -> None:
            response.end()

        kind = one(headers, b"content-type").partition(";")[0].strip().lower()
        if one(headers, b"content-encoding").lower() not in ("", "identity"):
            response.end()
            raise UpstreamError("the upstream compresses its answers although asked not to", sent=True)
        if kind == "text/event-stream":
            return Answer(status, headers, None, self._events(response), close)
        try:
            body = response.whole
            if body is None or len(body) > self._most:
                body = await self._whole(response)
        finally:
            response.end()
        return Answer(status, headers, body, None, close)

    async def _whole(self, response: Response) -> bytes:
        parts = bytearray()
        try:
            async for chunk in response.chunks():
                parts += chunk
                self._unfinished += len(chunk)
                if len(parts) > self._most:
                    raise UpstreamError(f"the upstream sent more than {self._most} bytes", sent=True)
                if self._unfinished > _TOGETHER * self._most:
                    raise UpstreamError("too many large answers of the upstream are under way", sent=True)
        finally:
            self._unfinished -= len(parts)
        return bytes(parts)

    async def _events(self, response: Response) -> AsyncIterator[SseEvent]:
        try:
            async for event in sse.split(response.chunks(), self._most):
                yield event
        except Broken as fault:
            raise _broken(fault) from fault
        finally:
            response.end()

    def _headers(self, request: Request) -> Headers:
        headers = [header for header in request.headers if header[0] not in self._own_names] + _FIXED + self._own
        headers += self._entrance.header()
        if request.body:
            headers.append((b"content-type", b"application/json"))
        if request.session:
            headers.append((b"mcp-session-id", request.session.encode("latin-1")))
        return headers

    def _told(self, state: str, error: str = "", remedy: str = "") -> None:
        if (state, error) != self._state:
            self._state = (state, error)
            self._tell(state, error, remedy)


def _broken(fault: Broken) -> UpstreamError:
    return UpstreamError(f"the connection broke: {fault}"[:500], _REMEDY, sent=True)


def _own_headers(name: str, headers: Mapping[str, str]) -> Headers:
    """Without those that belong to each request. Raises ConfigError; the value is not repeated, it may be a secret."""
    own: Headers = []
    for key, value in headers.items():
        if not _FIELD_NAME.match(key) or not value.isprintable():
            raise ConfigError(f"upstream {name}: the header {key!r} cannot be sent", "Give it a printable value.")
        if key.lower() not in _OURS:
            own.append((key.lower().encode(), value.strip().encode()))
    return own
