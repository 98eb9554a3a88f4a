"""One HTTP request and its answer, over ASGI: a whole body, or a stream that may begin before the answer is known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from mcpwatch.gateway import sse
from mcpwatch.gateway.link import Headers

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON_TYPE = (b"content-type", b"application/json")
_STREAM_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
]
_PIECE_BYTES = 256 * 1024
_NO_BUFFER = (b"x-accel-buffering", b"no")


class TooLarge(Exception):
    """The request's body is larger than accepted."""


class NoRoom(Exception):
    """Too many bytes of other requests are under way."""


class Exchange:
    """`streaming` is true once a stream was begun: then a message is sent as its last event.

    `held` bytes of its body count in the `Room` of all requests, until its owner gives them back.
    """

    __slots__ = (
        "_keepalive",
        "_keepalive_s",
        "_receive",
        "_send",
        "_timer",
        "_turn",
        "headers",
        "held",
        "started",
        "streaming",
        "written_at",
    )

    def __init__(self, headers: Headers, receive: Receive, send: Send, keepalive_s: float = 15.0) -> None:
        self.headers = headers
        self.held = 0
        self._receive = receive
        self._send = send
        self._keepalive_s = keepalive_s
        self._timer: asyncio.TimerHandle | None = None
        self._keepalive: asyncio.Task[None] | None = None
        self._turn: asyncio.Lock | None = None
        self.started = False
        self.streaming = False
        self.written_at = 0.0

    async def body(self, limit: int, timeout_s: float, take: Callable[[int], bool]) -> bytes | None:
        """The whole body; None when the caller went away. Raises TooLarge, TimeoutError, and NoRoom.

        `take` says whether there is room for so many bytes more.
        """
        async with asyncio.timeout(timeout_s):
            event = await self._receive()
            if event["type"] == "http.request" and not event.get("more_body"):
                whole: bytes = event.get("body", b"")
                if len(whole) > limit:
                    raise TooLarge
                self._hold(len(whole), take)
                return whole
            parts = bytearray()
            while event["type"] == "http.request":
                parts += event.get("body", b"")
                if len(parts) > limit:
                    raise TooLarge
                self._hold(len(parts) - self.held, take)
                if not event.get("more_body"):
                    return bytes(parts)
                event = await self._receive()
        return None

    def _hold(self, size: int, take: Callable[[int], bool]) -> None:
        if not take(size):
            raise NoRoom
        self.held += size

    async def gone(self) -> None:
        """Return when the caller has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def reply(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answer with a whole body."""
        self.started = True
        sized = [*headers, (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": sized})
        # In pieces, so that this returns when the caller has read nearly all.
        at = 0
        while len(body) - at > _PIECE_BYTES:
            await self._send({"type": "http.response.body", "body": body[at : at + _PIECE_BYTES], "more_body": True})
            at += _PIECE_BYTES
        await self._send({"type": "http.response.body", "body": body[at:] if at else body})

    async def reply_unread(self, status: int, headers: Headers, body: bytes, timeout_s: float) -> None:
        """Answer before the request is read whole, and throw the rest away for a while.

        Closing at once would take the answer from a caller that is still sending.
        """
        self.started = True
        sized = [*headers, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        await self._send({"type": "http.response.start", "status": status, "headers": sized})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                event = await self._receive()
                while event["type"] == "http.request" and event.get("more_body"):
                    event = await self._receive()
        await self._send({"type": "http.response.body", "body": b""})

    async def message(self, body: bytes, status: int = 200) -> None:
        """Answer with one JSON-RPC message, as the last event where a stream was begun."""
        if self.streaming:
            await self.write(sse.event(body))
            await self.end()
        else:
            await self.reply(status, [JSON_TYPE], body)

    async def begin(self, headers: Headers | None = None, status: int = 200) -> None:
        """Begin a stream of events, with the upstream's headers or our own."""
        self.started = self.streaming = True
        shown = _STREAM_HEADERS if headers is None else headers
        if not any(name == _NO_BUFFER[0] for name, _ in shown):
            shown = [*shown, _NO_BUFFER]
        await self._send({"type": "http.response.start", "status": status, "headers": shown})
        loop = asyncio.get_running_loop()
        self.written_at = loop.time()
        self._timer = loop.call_later(self._keepalive_s, self._idle)

    async def write(self, data: bytes) -> None:
        """Send whole events. Each call goes out by itself, so that several tasks may write to one stream.

        Large ones go in pieces, so that this returns when the caller has read nearly all; others then wait their turn.
        """
        self.written_at = asyncio.get_running_loop().time()
        if self._turn is None and len(data) <= _PIECE_BYTES:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            return
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            for at in range(0, len(data), _PIECE_BYTES):
                piece = data[at : at + _PIECE_BYTES]
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """End the stream."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.streaming:
            self.streaming = False
            await self._send({"type": "http.response.body", "body": b""})

    def _idle(self) -> None:
        loop = asyncio.get_running_loop()
        rest = self.written_at + self._keepalive_s - loop.time()
        if rest <= 0:
            rest = self._keepalive_s
            # To a caller that does not read, one is on its way already, and no heap of them shall wait behind it.
            if self._keepalive is None or self._keepalive.done():
                self._keepalive = loop.create_task(self.write(sse.KEEPALIVE))
                self._keepalive.add_done_callback(_forget)
        self._timer = loop.call_later(rest, self._idle)


def _forget(task: asyncio.Task[None]) -> None:
    """A keepalive that cannot be sent means that the caller is gone, which is noticed elsewhere."""
    if not task.cancelled():
        task.exception()
