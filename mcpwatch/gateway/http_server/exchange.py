"""One HTTP request and its answer: a whole body, or a stream that may begin before the answer is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from mcpwatch.gateway import sse
from mcpwatch.gateway.link import Headers

JSON_TYPE = (b"content-type", b"application/json")
_STREAM_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
]
_NO_BUFFER = (b"x-accel-buffering", b"no")
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
_BODILESS = (204, 304)
_PIECE_BYTES = 256 * 1024
_UNREAD_MOST = 2**18
"""What is kept of a body before anybody asks for it; more than one read of the socket brings."""


class TooLarge(Exception):
    """The request's body is larger than accepted."""


class NoRoom(Exception):
    """Too many bytes of other requests are under way."""


class Unreadable(Exception):
    """The request's body is not HTTP (chunks that are none)."""


class Line(Protocol):
    """The connection below."""

    lost: bool
    port: int

    def write(self, data: bytes) -> None: ...

    async def drained(self) -> None: ...

    def answered(self, ex: Exchange) -> None: ...


class Exchange:
    """`streaming` is true while a stream is open: then a message is sent as its last event.

    `port` is the local one the request came in at, `complete` whether the request was read to its end, `answered`
    whether its answer was written whole, `keep` whether the caller wants the connection kept. `held` bytes of its body
    count among those of all requests, until the application gives them back.
    """

    __slots__ = (
        "_body", "_gone", "_keepalive", "_keepalive_s", "_limit", "_line", "_modern", "_more", "_spoilt", "_take",
        "_timer", "_turn", "answered", "complete", "headers", "held", "keep", "path", "started", "streaming", "verb",
        "written_at",
    )  # fmt: skip

    def __init__(
        self,
        line: Line,
        verb: str,
        path: str,
        headers: Headers,
        *,
        modern: bool = True,
        keep: bool = True,
        keepalive_s: float = 15.0,
    ) -> None:
        self._line = line
        self.verb = verb
        self.path = path
        self.headers = headers
        self.keep = keep
        self._modern = modern
        self._keepalive_s = keepalive_s
        self._body: list[bytes] = []
        self._limit = _UNREAD_MOST
        self._more: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._keepalive: asyncio.Task[None] | None = None
        self._take: Callable[[int], bool] | None = None
        self._turn: asyncio.Lock | None = None
        self.held = 0
        self._spoilt: Exception | None = None
        self.complete = False
        self.started = False
        self.answered = False
        self.streaming = False
        self.written_at = 0.0

    @property
    def port(self) -> int:
        return self._line.port

    def feed(self, part: bytes | None) -> None:
        """For the connection: a piece of the body, None at its end."""
        if part is None:
            self.complete = True
        elif self._spoilt is None and not self.answered:
            self._body.append(part)
            self._limit -= len(part)
            if self._limit < 0:
                self._spoil(TooLarge())
            elif self._take is not None:
                self._hold(len(part))
        if (part is None or self._spoilt is not None) and self._more is not None and not self._more.done():
            self._more.set_result(None)

    def spoil(self) -> None:
        """For the connection: the rest of the body cannot be read."""
        self._spoil(Unreadable())

    def leave(self) -> None:
        """For the connection: the caller is gone."""
        for waiter in (self._gone, self._more):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _spoil(self, fault: Exception) -> None:
        self._body.clear()
        self._spoilt = fault
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def _hold(self, size: int) -> None:
        if self._take is not None and size and not self._take(size):
            self._spoil(NoRoom())
        else:
            self.held += size

    async def body(self, limit: int, timeout_s: float, take: Callable[[int], bool]) -> bytes | None:
        """The whole body; None when the caller went away. Raises TooLarge, NoRoom, Unreadable and TimeoutError.

        `take` says whether there is room for so many bytes more.
        """
        self._take = take
        self._limit += limit - _UNREAD_MOST
        if self._limit < 0:
            self._spoil(TooLarge())
        elif self._spoilt is None:
            self._hold(limit - self._limit)
        if not self.complete and self._spoilt is None and not self._line.lost:
            await self._rest(timeout_s)
        if self._spoilt is not None:
            raise self._spoilt
        if not self.complete:
            return None
        return self._body[0] if len(self._body) == 1 else b"".join(self._body)

    async def _rest(self, timeout_s: float) -> None:
        if self._modern and any(name == b"expect" and value.lower() == b"100-continue" for name, value in self.headers):
            self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._more = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(timeout_s):
            await self._more

    async def gone(self) -> None:
        """Return when the caller has closed the connection."""
        if self._line.lost:
            return
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._gone)

    async def reply(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answer with a whole body."""
        self.started = True
        length = b"" if status in _BODILESS else b"content-length: %d\r\n" % len(body)
        head = self._head(status, headers, length)
        shown = b"" if self.verb == "HEAD" else body
        self._line.write(head + (shown if len(shown) <= _PIECE_BYTES else shown[:_PIECE_BYTES]))
        for at in range(_PIECE_BYTES, len(shown), _PIECE_BYTES):
            # In pieces, so that this returns when the caller has read nearly all.
            await self._line.drained()
            self._line.write(shown[at : at + _PIECE_BYTES])
        self.answered = True
        self._line.answered(self)

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
        if not self._modern:
            self.keep = False  # HTTP/1.0 has no chunks: the stream ends with the connection
        self._line.write(self._head(status, shown, b"transfer-encoding: chunked\r\n" if self._modern else b""))
        loop = asyncio.get_running_loop()
        self.written_at = loop.time()
        self._timer = loop.call_later(self._keepalive_s, self._idle)

    async def write(self, data: bytes) -> None:
        """Send whole events. Each call goes out by itself, so that several tasks may write to one stream.

        Large ones go in pieces, so that this returns when the caller has read nearly all; others then wait their turn.
        """
        self.written_at = asyncio.get_running_loop().time()
        if self._turn is None and len(data) <= _PIECE_BYTES:
            await self._piece(data)
            return
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            for at in range(0, len(data), _PIECE_BYTES):
                await self._piece(data[at : at + _PIECE_BYTES])

    async def _piece(self, data: bytes) -> None:
        await self._line.drained()
        if data and self.streaming:
            self._line.write(b"%x\r\n%b\r\n" % (len(data), data) if self._modern else data)

    async def end(self) -> None:
        """End the stream."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.streaming:
            self.streaming = False
            await self._line.drained()
            self._line.write(b"0\r\n\r\n" if self._modern else b"")
            self.answered = True
            self._line.answered(self)

    def _head(self, status: int, headers: Headers, framing: bytes) -> bytes:
        """Status and headers. What would end its line early is left out: it was never one header."""
        lines = [_LINES.get(status) or b"HTTP/1.1 %d " % status]
        lines += [name + b": " + value for name, value in headers]
        head = b"\r\n".join(lines)
        if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers) or b"\0" in head:
            lines[1:] = [line for line in lines[1:] if not any(mark in line for mark in (b"\r", b"\n", b"\0"))]
            head = b"\r\n".join(lines)
        if not (self.keep and self.complete):
            framing += b"connection: close\r\n"
        return head + b"\r\n" + framing + b"\r\n"

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
