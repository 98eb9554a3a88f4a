"""One HTTP/1.1 connection: requests one after the other, llhttp reads the answers.

Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

import httptools

from mcpwatch.gateway.link import Headers

_PAUSE_BYTES = 2**20
# Headers, interim answers, names of chunks and trailers: llhttp and httptools gather them without an end.
_BESIDE_BYTES = 256 * 1024


class Broken(Exception):
    """The connection or the answer broke off; the request may have been carried out."""


class Connection(asyncio.Protocol):
    """One connection, one request at a time. The parser calls the `on_` methods."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._fault: Exception | None = None
        self._paused = False
        self._expecting = False
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._beside = 0
        self._head = False
        self._complete = False
        self._kept = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._fault is None and self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> None:
        """Send a request, return when status and headers are there. Raises Broken; closed then and when cancelled."""
        self._begin()
        self._expecting = True
        assert self._transport is not None
        self._transport.write(request)
        try:
            while not self._head:
                await self._wait()
        except BaseException:
            self.close()
            raise

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Broken when it breaks off."""
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                yield chunk
            if self._complete:
                return
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            await self._wait()

    @property
    def whole(self) -> bytes | None:
        """The body when all of it is here already."""
        return b"".join(self._chunks) if self._complete else None

    @property
    def reusable(self) -> bool:
        """Whether the answer was read to its end and the server keeps the connection open."""
        return self._complete and self.usable and self._kept

    def close(self) -> None:
        """Give the connection up."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._fault is not None:
            raise Broken(str(self._fault) or type(self._fault).__name__) from self._fault
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._beside += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as fault:
            self._give_up(fault)
        if self._beside > _BESIDE_BYTES and not self._complete:
            self._give_up(ConnectionError(f"the server sent {_BESIDE_BYTES} bytes that are no part of a body"))

    def _give_up(self, fault: Exception) -> None:
        self._fault = self._fault or fault
        self.close()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head and not self._complete and exc is None and not self._framed():
            self._complete = True
        if self._fault is None:
            self._fault = exc or ConnectionResetError("the server closed the connection")
        self._wake()

    def on_message_begin(self) -> None:
        if not self._expecting and self._fault is None:
            # What nobody asked for would be taken as the answer to the next request.
            self._fault = ConnectionResetError("the server sent more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._complete:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers = []
            return
        self._head = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        self._beside = 0
        self._chunks.append(body)
        self._size += len(body)
        if self._size > _PAUSE_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._head:
            self._complete = True
            self._expecting = False
            self._kept = self._parser.should_keep_alive()
            self._wake()

    def _framed(self) -> bool:
        """Whether the length of the body is known; else it ends with the connection."""
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
