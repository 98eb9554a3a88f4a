"""What a server says for one request, or for one listening client, on its way to the HTTP side.

A channel is filled by the reader of the process and read by at most one client at a time. With a `name` its events
carry ids and the last ones are kept, so that a client that lost its connection can go on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from mcpwatch.gateway import sse
from mcpwatch.gateway.link import SseEvent, UpstreamError

KEPT_EVENTS = 512
KEPT_BYTES = 1024 * 1024


class Channel:
    """`limit_bytes` bounds what waits unread: beyond it `put` refuses, except for the final message."""

    def __init__(self, name: str = "", *, limit_bytes: int, on_drain: Callable[[], None] | None = None) -> None:
        self.name = name
        self.attached = True
        self.unread_bytes = 0
        self.finished = False
        self._limit = limit_bytes
        self._on_drain = on_drain
        self._unread: deque[tuple[int, bytes]] = deque()
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._last = 0
        self._fault: UpstreamError | None = None
        self._wake = asyncio.Event()
        self._reader = 0

    def put(self, data: bytes, *, final: bool = False) -> bool:
        """Add one message. False when it was refused: the channel is over, or too much waits unread."""
        if self.finished or (not final and self._unread and self.unread_bytes + len(data) > self._limit):
            return False
        self._last += 1
        self._unread.append((self._last, data))
        self.unread_bytes += len(data)
        self.finished = final
        self._wake.set()
        return True

    def drop_oldest(self) -> bytes | None:
        """Make room: the oldest unread message, or None when there is none."""
        if not self._unread:
            return None
        _, data = self._unread.popleft()
        self.unread_bytes -= len(data)
        return data

    def end(self, fault: UpstreamError | None = None) -> None:
        """No more comes: the stream ends, or raises `fault` to whoever reads."""
        if not self.finished:
            self.finished = True
            self._fault = fault
            self._wake.set()

    async def first(self, timeout_s: float) -> bool:
        """Wait for the first message or the end. False when neither came in time. Raises what `end` was given."""
        if not self._unread and not self.finished:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return False
        if self._fault is not None and not self._unread:
            raise self._fault
        return True

    def whole(self) -> bytes | None:
        """The answer, when it is all there is: then it can go out as plain JSON."""
        return self._unread[0][1] if self.finished and len(self._unread) == 1 and self._last == 1 else None

    def prime(self) -> SseEvent:
        """An event without data that tells the client where to resume. Source: MCP 2025-11-25, transports."""
        return SseEvent(b"id: %s-0\ndata: \n\n" % self.name.encode(), b"")

    def rewind(self, after: int) -> None:
        """Make the messages kept since number `after` unread again."""
        while self._kept and self._kept[-1][0] > after:
            number, data = self._kept.pop()
            self._kept_bytes -= len(data)
            self._unread.appendleft((number, data))
            self.unread_bytes += len(data)

    async def events(self, prime: SseEvent | None = None) -> AsyncIterator[SseEvent]:
        """Read from here on; a reader that comes later takes over. Raises UpstreamError when the server died."""
        self._reader += 1
        me, self.attached = self._reader, True
        self._wake.set()
        if prime is not None:
            yield prime
        while me == self._reader:
            while self._unread and me == self._reader:
                yield self._take()
            if me != self._reader or self.finished:
                break
            self._wake.clear()
            await self._wake.wait()
        if me == self._reader and self._fault is not None:
            raise self._fault

    def detach(self) -> None:
        """The client is gone; what still comes is kept for its return."""
        self._reader += 1
        self.attached = False
        self._wake.set()
        self._drained()

    def _take(self) -> SseEvent:
        number, data = self._unread.popleft()
        self.unread_bytes -= len(data)
        if self.name:
            self._keep(number, data)
        self._drained()
        raw = sse.event(data)
        return SseEvent(b"id: %s-%d\n" % (self.name.encode(), number) + raw if self.name else raw, data)

    def _keep(self, number: int, data: bytes) -> None:
        self._kept.append((number, data))
        self._kept_bytes += len(data)
        while self._kept and (len(self._kept) > KEPT_EVENTS or self._kept_bytes > KEPT_BYTES):
            self._kept_bytes -= len(self._kept.popleft()[1])

    def _drained(self) -> None:
        if self._on_drain is not None:
            self._on_drain()
