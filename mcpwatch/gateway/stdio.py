"""MCP on stdin and stdout, for clients that only start commands: carries each line to the HTTP front and back.

Every message is judged by the front like any other, so this is a courier and decides nothing. It keeps the session of a
handshake client, opens the stream for what the server says by itself, and in the modern era closes the response of a
request that the client cancels. Sources: MCP 2025-11-25 and 2026-07-28, transports.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import aiohttp

from mcpwatch.gateway.names import HANDSHAKE_VERSIONS
from mcpwatch.gateway.sse import split

_META_VERSION = "io.modelcontextprotocol/protocolVersion"
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ANSWER_BYTES = 64 * 1024 * 1024
_STREAM_AGAIN_S = 1.0
_INTERNAL_ERROR = -32603

Object = Mapping[str, Any]


class Courier:
    """Between one client's lines and `url`. `write` gets each answer as one line without its newline."""

    def __init__(self, url: str, token: str, write: Callable[[bytes], None]) -> None:
        self._url = url
        self._write = write
        self._base = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if token:
            self._base["Authorization"] = f"Bearer {token}"
        self._session = ""
        self._version = ""
        self._http: aiohttp.ClientSession | None = None
        self._posts: dict[asyncio.Task[None], object] = {}
        self._stream: asyncio.Task[None] | None = None

    async def run(self, lines: AsyncIterator[bytes]) -> None:
        """Carry lines until there are no more, and wait for the answers that are under way."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trace_configs=[_sent_trace()]) as http:
            self._http = http
            try:
                async for line in lines:
                    if line.strip():
                        await self._carry(line)
                while self._posts:
                    await asyncio.wait(list(self._posts))
            finally:
                await self._close(http)

    async def _carry(self, line: bytes) -> None:
        message = _read(line)
        self._cancel_if_modern(message)
        sent = asyncio.Event()
        task = asyncio.create_task(self._post(line, message, sent))
        self._posts[task] = message.get("id")
        task.add_done_callback(self._posts.pop)
        if message.get("method") == "initialize" or "id" not in message:
            # The session comes with this answer, and what follows a notification may rest on it.
            await asyncio.wait([task])
        else:
            await asyncio.wait([task, waiting := asyncio.create_task(sent.wait())], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        if message.get("method") == "notifications/initialized" and self._session and self._stream is None:
            self._stream = asyncio.create_task(self._listen())

    async def _post(self, line: bytes, message: Object, sent: asyncio.Event) -> None:
        assert self._http is not None
        try:
            async with self._http.post(
                self._url, data=line.strip(), headers=self._headers(message), trace_request_ctx=sent
            ) as answer:
                self._session = answer.headers.get("Mcp-Session-Id", self._session)
                if not await self._deliver(answer) and "id" in message and "method" in message:
                    self._fail(message["id"], f"The gateway answered {answer.status} without a message")
        except (aiohttp.ClientError, OSError) as fault:
            if "id" in message and "method" in message:
                self._fail(message["id"], f"The gateway cannot be reached: {fault}")

    async def _deliver(self, answer: aiohttp.ClientResponse) -> bool:
        """Write what the answer carries; returns whether there was anything."""
        if answer.content_type == "text/event-stream":
            found = False
            async for event in split(answer.content.iter_any(), _ANSWER_BYTES):
                if event.data:
                    found = True
                    self._one(event.data)
            return found
        body = await answer.read()
        if answer.content_type != "application/json" or not body.strip():
            return False
        self._one(body)
        return True

    async def _listen(self) -> None:
        """What the server says by itself in the handshake era, until it says that it has no such stream."""
        assert self._http is not None
        while True:
            headers = {**self._headers({}), "Accept": "text/event-stream"}
            try:
                async with self._http.get(self._url, headers=headers) as answer:
                    if answer.status != 200:
                        return
                    await self._deliver(answer)
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(_STREAM_AGAIN_S)

    def _one(self, text: bytes) -> None:
        # Line breaks between the tokens of JSON mean nothing, and inside texts they are always escaped.
        line = text.replace(b"\r", b" ").replace(b"\n", b" ").strip()
        self._learn(line)
        self._write(line)

    def _learn(self, line: bytes) -> None:
        """The revision that `initialize` agreed on goes into the headers from then on."""
        if not self._version and b'"protocolVersion"' in line:
            result = _read(line).get("result")
            version = cast("Object", result).get("protocolVersion") if isinstance(result, dict) else None
            if isinstance(version, str):
                self._version = version

    def _fail(self, id_: object, text: str) -> None:
        error = {"jsonrpc": "2.0", "id": id_, "error": {"code": _INTERNAL_ERROR, "message": text}}
        self._write(json.dumps(error).encode())

    def _headers(self, message: Object) -> dict[str, str]:
        headers = dict(self._base)
        modern = _modern_version(message)
        if modern:
            headers["MCP-Protocol-Version"] = modern
            headers["Mcp-Method"] = _header_text(str(message.get("method", "")))
            target = _params(message).get(_NAMED.get(str(message.get("method")), ""))
            if isinstance(target, str):
                headers["Mcp-Name"] = _header_text(target)
        elif self._version:
            headers["MCP-Protocol-Version"] = self._version
        if self._session and not modern:
            headers["Mcp-Session-Id"] = self._session
        return headers

    def _cancel_if_modern(self, message: Object) -> None:
        if message.get("method") != "notifications/cancelled" or self._session:
            return
        wanted = _params(message).get("requestId")
        for task, id_ in self._posts.items():
            if id_ is not None and id_ == wanted and type(id_) is type(wanted):
                task.cancel()

    async def _close(self, http: aiohttp.ClientSession) -> None:
        tasks = [*self._posts, *([self._stream] if self._stream else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session:
            try:
                async with http.delete(self._url, headers=self._headers({}), timeout=aiohttp.ClientTimeout(2)):
                    pass
            except (aiohttp.ClientError, OSError, TimeoutError):
                return


def _read(line: bytes) -> Object:
    """The message as far as a courier needs it; {} for what the front will refuse."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return cast("Object", value) if isinstance(value, dict) else {}


def _params(message: Object) -> Object:
    params = message.get("params")
    return cast("Object", params) if isinstance(params, dict) else {}


def _modern_version(message: Object) -> str:
    """The revision that the message itself names, "" in the handshake era."""
    meta = _params(message).get("_meta")
    version = cast("Object", meta).get(_META_VERSION) if isinstance(meta, dict) else None
    modern = isinstance(version, str) and version not in HANDSHAKE_VERSIONS and version.isascii()
    return cast(str, version) if modern and cast(str, version).isprintable() else ""


def _header_text(value: str) -> str:
    """A header value as MCP 2026-07-28 writes it: as it is when it is visible ASCII, else in base64."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and not value.startswith("=?base64?")
    return value if plain else f"=?base64?{base64.b64encode(value.encode('utf-8', 'replace')).decode()}?="


def _sent_trace() -> aiohttp.TraceConfig:
    """Tells when a request has gone out, so that the next line cannot overtake it."""
    trace = aiohttp.TraceConfig()

    async def sent(session: aiohttp.ClientSession, context: Any, params: aiohttp.TraceRequestChunkSentParams) -> None:
        event: object = context.trace_request_ctx
        if isinstance(event, asyncio.Event):
            event.set()

    trace.on_request_chunk_sent.append(sent)
    return trace
