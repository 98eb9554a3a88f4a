"""The gateway's own question to an HTTP upstream, which tools it offers: on a session of its own, never a client's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from mcpwatch import __version__
from mcpwatch.gateway.headers import SESSION, one
from mcpwatch.gateway.link import Answer, Headers, Request, SseEvent, UpstreamError
from mcpwatch.gateway.names import MODERN_FROM
from mcpwatch.gateway.stdio_link.answers import UNSUPPORTED_VERSION
from mcpwatch.gateway.wire import Message, encode, encode_upstream, parse_upstream
from mcpwatch.policy.values import Json

Send = Callable[[Request], Awaitable[Answer]]

_LEGACY = "2025-11-25"
_INFO: dict[str, Json] = {"name": "mcpwatch", "version": __version__}
# Servers hide tools from clients that lack what those tools need, so the inventory is asked as one that lacks nothing.
_CAPABILITIES: dict[str, Json] = {"roots": {}, "sampling": {}, "elicitation": {}}
_PAGES = 1_000
_LIST_BYTES = 32 * 1024 * 1024


async def list_tools(send: Send) -> list[dict[str, Json]]:
    """All pages, asked as a server of both eras likes it best: the later one first, the handshake when that is refused.

    Raises UpstreamError when the upstream does not answer or answers both with an error.
    """
    try:
        return await _modern_pages(send)
    except _Refused:
        asked = _Legacy(send)
    try:
        await asked.open()
        return await _pages(asked)
    except _Refused as fault:
        raise UpstreamError(f"the upstream does not list its tools: {fault}", sent=True) from None
    finally:
        await asked.close()


class _Refused(Exception):
    """The upstream answered with an error. `versions` are the later revisions it names instead of the one asked in."""

    def __init__(self, text: str, versions: list[str]) -> None:
        super().__init__(text)
        self.versions = versions


class _Modern:
    """2026-07-28: every request says who asks."""

    def __init__(self, send: Send, version: str = MODERN_FROM) -> None:
        self._send = send
        self._version = version
        self._count = 0

    async def ask(self, method: str, params: dict[str, Json]) -> dict[str, Any]:
        meta: dict[str, Json] = {
            "io.modelcontextprotocol/protocolVersion": self._version,
            "io.modelcontextprotocol/clientCapabilities": _CAPABILITIES,
            "io.modelcontextprotocol/clientInfo": _INFO,
        }
        headers: Headers = [(b"mcp-protocol-version", self._version.encode()), (b"mcp-method", method.encode())]
        self._count += 1
        answer = await _ask(self._send, self._count, method, {**params, "_meta": meta}, headers, "", modern=True)
        return await _result(answer, self._count)


class _Legacy:
    """Handshake, questions, end of the session."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._session = ""
        self._count = 0
        self._headers: Headers = []

    async def open(self) -> None:
        """Shake hands. Raises UpstreamError, _Refused."""
        self._count += 1
        params: dict[str, Json] = {"protocolVersion": _LEGACY, "capabilities": _CAPABILITIES, "clientInfo": _INFO}
        answer = await _ask(self._send, self._count, "initialize", params, [], "", modern=False)
        self._session = one(answer.headers, SESSION)
        result = await _result(answer, self._count)
        self._headers = [(b"mcp-protocol-version", str(result.get("protocolVersion", _LEGACY)).encode())]
        note: dict[str, Json] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        taken = await self._send(_request(note, self._headers, self._session, modern=False))
        await taken.aclose()

    async def ask(self, method: str, params: dict[str, Json]) -> dict[str, Any]:
        self._count += 1
        answer = await _ask(self._send, self._count, method, params, self._headers, self._session, modern=False)
        return await _result(answer, self._count)

    async def close(self) -> None:
        if self._session:
            try:
                ended = await self._send(Request("DELETE", self._headers, b"", None, self._session, False, ""))
                await ended.aclose()
            except UpstreamError:
                return


async def _modern_pages(send: Send) -> list[dict[str, Json]]:
    try:
        return await _pages(_Modern(send))
    except _Refused as fault:
        if not fault.versions:
            raise
        return await _pages(_Modern(send, max(fault.versions)))


async def _pages(asked: _Legacy | _Modern) -> list[dict[str, Json]]:
    tools: list[dict[str, Json]] = []
    cursor: Json = None
    size = 0
    for _ in range(_PAGES):
        result = await asked.ask("tools/list", {} if cursor is None else {"cursor": cursor})
        size += len(encode_upstream(result))
        if size > _LIST_BYTES:
            raise UpstreamError(f"the upstream lists more than {_LIST_BYTES} bytes of tools", sent=True)
        page = result.get("tools")
        if isinstance(page, list):
            tools += [tool for tool in cast("list[Any]", page) if isinstance(tool, dict)]
        cursor = result.get("nextCursor")
        if not isinstance(cursor, str):
            break
    return tools


async def _ask(
    send: Send, number: int, method: str, params: dict[str, Json], headers: Headers, session: str, *, modern: bool
) -> Answer:
    obj: dict[str, Json] = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return await send(_request(obj, headers, session, modern=modern))


def _request(obj: dict[str, Json], headers: Headers, session: str, *, modern: bool) -> Request:
    method, params = obj["method"], obj.get("params")
    body = encode(obj)
    message = Message(
        "request" if "id" in obj else "notification",
        cast("int | None", obj.get("id")),
        str(method),
        params if isinstance(params, dict) else {},
        obj,
        body,
    )
    accept: Headers = [(b"accept", b"application/json, text/event-stream")]
    return Request("POST", accept + headers, body, message, session, modern, "")


async def _result(answer: Answer, number: int) -> dict[str, Any]:
    try:
        obj = await _response(answer, number)
    finally:
        await answer.aclose()
    result = obj.get("result")
    if isinstance(result, dict):
        return cast("dict[str, Any]", result)
    error = obj.get("error")
    if not isinstance(error, dict):
        raise _Refused(f"HTTP status {answer.status}", [])
    data = error.get("data")
    named = data.get("supported") if isinstance(data, dict) and error.get("code") == UNSUPPORTED_VERSION else None
    later = [v for v in named if isinstance(v, str) and v >= MODERN_FROM] if isinstance(named, list) else []
    raise _Refused(str(error.get("message", ""))[:200], later)


async def _response(answer: Answer, number: int) -> dict[str, Json]:
    if answer.events is None:
        return parse_upstream(answer.body or b"") or {}
    events: AsyncIterator[SseEvent] = answer.events
    async for event in events:
        obj = parse_upstream(event.data) if event.data else None
        if obj is not None and obj.get("id") == number and "method" not in obj:
            return obj
    return {}
