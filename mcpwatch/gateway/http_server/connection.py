"""One connection of a caller: requests are read on llhttp and answered one after the other.

A general server (uvicorn, measured with an application that only answers) costs three times as much on each call, half
of it for sending head and body of an answer apart. What can be asked of this one is what MCP needs: no other protocols,
no compression, no files. It is strict where readers differ: two lengths, length and chunks, folded headers are no HTTP,
trailers are no headers, and a connection whose request was not read to its end is not used again.

Sources: RFC 9112, RFC 9110 10.1.1 (Expect).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol, cast
from urllib.parse import unquote

import httptools

from mcpwatch.gateway.http_server.exchange import Exchange
from mcpwatch.gateway.link import Headers

HEADERS_S = 15.0
HEADERS_BYTES = 64 * 1024
HEADERS_MOST = 256
IDLE_S = 75.0
LINGER_S = 2.0
"""How long what a refused caller still sends is read and dropped: closing at once would take the answer from it."""

STALL_S = 60.0
"""How long a caller may take nothing of what was written for it."""

_WAITING_MOST = 64
_OFFERS = (b"connection", b"upgrade", b"http2-settings")
_NOT_HTTP = b"The request is not HTTP"
_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%b" % (len(_NOT_HTTP), _NOT_HTTP)
)
log = logging.getLogger(__name__)


class Application(Protocol):
    """What answers requests."""

    async def __call__(self, ex: Exchange) -> None: ...

    def unreadable(self, path: str) -> None:
        """A request to `path` was refused because it is not HTTP."""
        ...


class Owner(Protocol):
    """Who keeps the connections."""

    def began(self, connection: Connection) -> None: ...

    def ended(self, connection: Connection) -> None: ...

    def rests(self, connection: Connection, resting: bool) -> None:
        """Whether it is without a request."""
        ...


class Connection(asyncio.Protocol):
    """The parser calls the `on_` methods.

    Requests that come before their turn wait; while one does, nothing is read.
    """

    def __init__(self, application: Application, keepalive_s: float, owner: Owner) -> None:
        self._application = application
        self._keepalive_s = keepalive_s
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self._now: Exchange | None = None
        self._reading: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._headers: Headers = []
        self._url = b""
        self._in_headers = True
        self._seen_bytes = 0
        self._deadline_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._deaf = False
        self._broken = False
        self._last = False
        self._drain: asyncio.Future[None] | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.lost = False
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        name: object = transport.get_extra_info("sockname")
        self.port = cast("int", name[1]) if isinstance(name, tuple) else 0
        self._owner.began(self)
        self._close_in(HEADERS_S)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._feed(data)
        if self._in_headers and not self._deaf:  # most arrive in one piece, so that this costs them nothing
            self._seen_bytes += len(data)
            if self._seen_bytes > HEADERS_BYTES:
                self._transport.abort()
        if self._waiting:
            self._transport.pause_reading()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self._deaf:
                self._unreadable()

    def _stay(self, rest: bytes) -> None:
        """Another protocol was offered (Java's client offers h2c with its first POST): read on as if it were not.

        llhttp reads no body then, so that the request is read anew without the offer. Source: RFC 9110 7.8.
        """
        verb = self._parser.get_method()
        if verb == b"CONNECT":
            self._unreadable()
            return
        kept = [b"%b: %b" % field for field in self._headers if field[0] not in _OFFERS]
        self._parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join([b"%b %b HTTP/1.1" % (verb, self._url), *kept, b"", rest]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self._deaf = True
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        for ex in (self._now, self._reading, *self._waiting):
            if ex is not None:
                ex.leave()
        self._waiting.clear()
        self._now = self._reading = None
        self._owner.ended(self)
        del self._parser

    def pause_writing(self) -> None:
        if self._drain is None:
            self._drain = self._loop.create_future()
            self._stall = self._loop.call_later(STALL_S, self._stalled, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        drain, self._drain = self._drain, None
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if drain is not None and not drain.done():
            drain.set_result(None)

    def _stalled(self, before: int) -> None:
        now = self._transport.get_write_buffer_size()
        if now >= before:
            self._transport.abort()
        else:
            self._stall = self._loop.call_later(STALL_S, self._stalled, now)

    async def drained(self) -> None:
        """Return when the caller has read enough of what was written, or is gone."""
        while self._drain is not None and not self.lost:
            await asyncio.shield(self._drain)

    def write(self, data: bytes) -> None:
        if not self.lost:
            self._transport.write(data)

    def finish(self) -> None:
        """End after the answer that is being made; at once when there is none."""
        self._last = True
        if self._now is None:
            self._close()

    def abort(self) -> None:
        self._transport.abort()

    def on_message_begin(self) -> None:
        self._headers = []
        self._url = b""
        self._seen_bytes = 0
        self._in_headers = True
        if self._now is None:
            self._close_in(HEADERS_S)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # What follows a chunked body are trailers. They come after the headers were judged, so they are none.
        if not self._in_headers:
            return
        if len(self._headers) >= HEADERS_MOST:
            raise ValueError("too many headers")
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser.should_upgrade():
            return
        self._in_headers = False
        if self._url[:1] != b"/":
            self._take_host_of_target()
        ex = Exchange(
            self,
            parser.get_method().decode("latin-1"),
            _path(self._url),
            self._headers,
            modern=parser.get_http_version() == "1.1",
            keep=parser.get_http_version() == "1.1" and parser.should_keep_alive(),
            keepalive_s=self._keepalive_s,
        )
        self._reading = ex
        if self._now is None:
            self._begin(ex)
        else:
            self._waiting.append(ex)
            if len(self._waiting) > _WAITING_MOST:
                self._transport.abort()

    def _take_host_of_target(self) -> None:
        """The host in a target in absolute form is the one that counts. Source: RFC 9112 3.2.2."""
        authority = self._url.partition(b"://")[2].partition(b"/")[0]
        if authority:
            self._headers = [(name, authority if name == b"host" else value) for name, value in self._headers]

    def on_body(self, body: bytes) -> None:
        if self._reading is not None:
            self._reading.feed(body)

    def on_message_complete(self) -> None:
        ex, self._reading = self._reading, None
        if ex is None:
            return
        ex.feed(None)
        if not ex.keep:
            self._deaf = True
        if ex.answered:
            self._close()

    def answered(self, ex: Exchange) -> None:
        """The answer was written whole: go on with the next request, or close."""
        if ex is not self._now or self.lost:
            return
        if not ex.complete and not self._deaf:
            # It lingers until the rest was read (`on_message_complete`), for a while.
            self._last = True
            self._close_in(LINGER_S)
        elif self._last or not ex.keep or not ex.complete:
            self._waiting.clear()
            self._close()
        else:
            self._now = None
            self._next()

    def _next(self) -> None:
        if self._waiting:
            self._begin(self._waiting.popleft())
            if not self._waiting:
                self._transport.resume_reading()
        elif self._broken:
            self._refuse()
        else:
            self._owner.rests(self, True)
            self._close_in(HEADERS_S if self._in_headers else IDLE_S)

    def _begin(self, ex: Exchange) -> None:
        self._owner.rests(self, False)
        self._now = ex
        self._deadline_s = 0.0
        self._task = self._loop.create_task(self._answer(ex))

    async def _answer(self, ex: Exchange) -> None:
        if self._drain is not None:
            await self.drained()
        try:
            await self._application(ex)
        except Exception:
            log.exception("a request could not be answered")
            if not ex.started:
                ex.keep = False
                await ex.reply(500, [])
        finally:
            if not ex.answered and not self.lost:
                self._transport.abort()

    def _unreadable(self) -> None:
        self._deaf = self._broken = True
        if self._reading is not None and not self._in_headers:
            self._reading.spoil()
            return
        if self._url:
            self._application.unreadable(_path(self._url))
        if self._now is None:
            self._refuse()

    def _refuse(self) -> None:
        self.write(_BAD_REQUEST)
        self._close()

    def _close(self) -> None:
        """Close when everything is written."""
        self._transport.close()

    def _close_in(self, seconds: float) -> None:
        self._deadline_s = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline_s:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline_s, self._late)

    def _late(self) -> None:
        self._timer = None
        if not self._deadline_s:
            return
        if self._loop.time() >= self._deadline_s:
            self._close()
        else:
            self._arm()


def _path(url: bytes) -> str:
    """The path of a request's target, decoded once; "" when it has none (`CONNECT host:port`, `OPTIONS *`)."""
    if url[:1] == b"/" and b"?" not in url and b"%" not in url and b"#" not in url:
        return url.decode("latin-1")
    try:
        path = httptools.parse_url(url).path or b""
    except httptools.HttpParserInvalidURLError:
        return ""
    return unquote(path.decode("latin-1"))
