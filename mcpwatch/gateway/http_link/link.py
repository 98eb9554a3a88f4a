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
from mcpwatch.gateway.http_link.own import list_tools
from mcpwatch.gateway.link import Answer, Headers, Request, SseEvent, UpstreamError
from mcpwatch.gateway.settings import Limits
from mcpwatch.policy.values import Json

OnChange = Callable[[str, str, str], None]
"""(state, error, remedy), the states of `UpstreamChanged`."""

_REMEDY = "Check that the server runs and that the URL is right."
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TOGETHER = 4
"""Unfinished answers may hold so many times what one may."""
_FIXED: Headers = [(b"accept-encoding", b"identity")]


def _tell_nobody(state: str, error: str, remedy: str) -> None:
    """Nobody watches this upstream."""


class HttpLink:
    """`headers` are what the operator configured for this upstream; they replace the caller's of the same name.

    Raises ConfigError when `url` or a header cannot be one.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        on_change: OnChange = _tell_nobody,
        limits: Limits | None = None,
    ) -> None:
        self.name = name
        try:
            self._pool = Pool(Target.of(url))
        except ValueError as fault:
            raise ConfigError(f"upstream {name}: {fault}") from None
        self._own = _own_headers(name, headers or {})
        self._own_names = frozenset(key for key, _ in self._own)
        self._tell = on_change
        self._most = (limits or Limits()).answer_bytes
        self._unfinished = 0
        self._state = ""

    async def start(self) -> None:
        """Reach the upstream once; any answer of HTTP will do. Raises UpstreamError when there is none."""
        self._told("starting")
        answer = await self.send(Request("GET", [(b"accept", b"text/event-stream")], b"", None, "", False, ""))
        await answer.aclose()

    async def send(self, request: Request) -> Answer:
        """Raises UpstreamError; `sent` is False only when no byte of the request can have arrived."""
        try:
            response = await self._pool.ask(request.verb, self._headers(request), request.body)
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
        return await list_tools(self.send)

    async def stop(self) -> None:
        """Close every connection that is not in use; those end with their requests."""
        self._pool.close()
        self._told("stopped")

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
        if request.body:
            headers.append((b"content-type", b"application/json"))
        if request.session:
            headers.append((b"mcp-session-id", request.session.encode("latin-1")))
        return headers

    def _told(self, state: str, error: str = "", remedy: str = "") -> None:
        if state != self._state:
            self._state = state
            self._tell(state, error, remedy)


def _broken(fault: Broken) -> UpstreamError:
    return UpstreamError(f"the connection broke: {fault}"[:500], _REMEDY, sent=True)


def _own_headers(name: str, headers: Mapping[str, str]) -> Headers:
    """Raises ConfigError; the value is not repeated, it may be a secret."""
    own: Headers = []
    for key, value in headers.items():
        if not _FIELD_NAME.match(key) or not value.isprintable():
            raise ConfigError(f"upstream {name}: the header {key!r} cannot be sent", "Give it a printable value.")
        own.append((key.lower().encode(), value.strip().encode()))
    return own
