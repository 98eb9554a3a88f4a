"""An upstream reached by Streamable HTTP: what it answers goes through as it is, credentials are the operator's own.

Redirects are not followed and cookies are not kept: both would send a judged message, or a credential, elsewhere.
Source: MCP transports, Streamable HTTP.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
from aiohttp import payload
from multidict import CIMultiDict

from mcpwatch.gateway import sse
from mcpwatch.gateway.link import Answer, Headers, Request, SseEvent, UpstreamError
from mcpwatch.gateway.link_http_own import list_tools
from mcpwatch.gateway.settings import Limits
from mcpwatch.policy.values import Json

OnChange = Callable[[str, str, str], None]
"""(state, error, remedy), the states of `UpstreamChanged`."""

_DIRECT_BYTES = 2**20
# Shorter than the five seconds after which common servers close: a connection closed under a request is a lost call.
_KEEPALIVE_S = 4.0
_CONNECT_S = 10.0
_READ_BYTES = 2**18
_NO_AUTO = ("User-Agent", "Accept", "Content-Type")
_REMEDY = "Check that the server runs and that the URL is right."


def _tell_nobody(state: str, error: str, remedy: str) -> None:
    pass


class HttpLink:
    """`headers` are what the operator configured for this upstream; they replace the caller's of the same name."""

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
        self._url = url
        self._own = CIMultiDict(headers or {})
        self._tell = on_change
        self._most = (limits or Limits()).answer_bytes
        self._state = ""
        self._client: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Reach the upstream once; any answer of HTTP will do. Raises UpstreamError when there is none."""
        self._told("starting")
        answer = await self.send(Request("GET", [(b"accept", b"text/event-stream")], b"", None, "", False, ""))
        await answer.aclose()

    async def send(self, request: Request) -> Answer:
        """Raises UpstreamError; `sent` is False only when no byte of the request can have arrived."""
        try:
            response = await self._session().request(
                request.verb,
                self._url,
                data=_payload(request.body),
                headers=self._headers(request),
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL, ValueError) as fault:
            raise self._failed(fault, sent=False) from fault
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise self._failed(fault, sent=True) from fault
        self._told("ready")
        return await self._answer(response)

    async def tools(self) -> list[dict[str, Json]]:
        """The whole tool list, asked on a session of our own. Raises UpstreamError."""
        return await list_tools(self.send)

    async def stop(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.close()
            self._client = None
        self._told("stopped")

    async def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        headers: Headers = [(name.lower(), value) for name, value in response.raw_headers]

        async def close() -> None:
            response.close()

        if response.content_type == "text/event-stream":
            return Answer(response.status, headers, None, self._events(response), close)
        try:
            body = await self._whole(response)
        finally:
            response.release()
        return Answer(response.status, headers, body, None, close)

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        parts = bytearray()
        try:
            async for chunk in response.content.iter_any():
                parts += chunk
                if len(parts) > self._most:
                    response.close()
                    raise UpstreamError(f"the upstream sent more than {self._most} bytes", sent=True)
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise self._failed(fault, sent=True) from fault
        return bytes(parts)

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncIterator[SseEvent]:
        try:
            async for event in sse.split(response.content.iter_any(), self._most):
                yield event
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise self._failed(fault, sent=True) from fault
        finally:
            response.close()

    def _headers(self, request: Request) -> CIMultiDict[str]:
        headers = CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
        headers["Accept-Encoding"] = "identity"
        if request.body:
            headers["Content-Type"] = "application/json"
        if request.session:
            headers["Mcp-Session-Id"] = request.session
        headers.update(self._own)
        return headers

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                skip_auto_headers=_NO_AUTO,
                read_bufsize=_READ_BYTES,
                trust_env=False,
            )
        return self._client

    def _failed(self, fault: BaseException, *, sent: bool) -> UpstreamError:
        text = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
        error = UpstreamError(text[:500], _REMEDY, sent=sent)
        if not sent:
            self._told("failed", error.error, error.remedy)
        return error

    def _told(self, state: str, error: str = "", remedy: str = "") -> None:
        if state != self._state:
            self._state = state
            self._tell(state, error, remedy)


def _payload(body: bytes) -> bytes | payload.BytesIOPayload | None:
    if not body:
        return None
    return body if len(body) < _DIRECT_BYTES else payload.BytesIOPayload(io.BytesIO(body))
