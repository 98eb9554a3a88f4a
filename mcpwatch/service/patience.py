"""uvicorn's HTTP protocol, with an end to its patience: who does not finish the headers loses the connection."""

from __future__ import annotations

import asyncio
import re
import resource
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 15.0
HEADERS_BYTES = 64 * 1024
HEADERS_MOST = 256
_OWN_FILES = 256
_FEWEST = 64
_UPGRADE = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)


def most_connections() -> int:
    """How many callers leave files enough for an upstream connection each, for the audit and for the operator."""
    return max(_FEWEST, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OWN_FILES) // 2)


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose headers take longer than `HEADERS_S` or more than `HEADERS_BYTES` or `HEADERS_MOST`.

    Nothing here can be upgraded to: the parser would throw away the body of a request that asks for it (Java's client
    asks for HTTP/2), so that the wish is not shown to it. The host in a target in absolute form is the one that
    counts, whatever the Host header says. Sources: RFC 9110 7.8, RFC 9112 3.2.2.

    An application with a method `unreadable(path)` is told of requests that are not HTTP, so that they are recorded.

    Bodies are bounded by the application; idle connections between requests by uvicorn's keep-alive. When there are
    `most_connections`, the one that has been without a request for longest makes room for the next, which itself is
    turned away when all others are busy.
    """

    idle: ClassVar[OrderedDict[PatientProtocol, None]] = OrderedDict()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_headers = True
        self._seen_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.idle[self] = None
        if len(self.connections) > most_connections():
            next(iter(self.idle)).give_up()
        self._timer = self.loop.call_later(HEADERS_S, transport.close)

    def data_received(self, data: bytes) -> None:
        if self._in_headers and _UPGRADE.search(data):
            head, blank, rest = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"\r\nx-upgrade", head) + blank + rest
        super().data_received(data)
        # Most headers arrive in one piece, so that this costs them nothing.
        if self._in_headers:
            self._seen_bytes += len(data)
            if self._seen_bytes > HEADERS_BYTES:
                self.transport.close()
            elif self._timer is None:
                self._timer = self.loop.call_later(HEADERS_S, self.transport.close)

    def give_up(self) -> None:
        """Close the connection at once."""
        self.idle.pop(self, None)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.pop(self, None)
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._in_headers = True
        self._seen_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What follows a chunked body are trailers. They come after the headers were judged, so they are none.
        if not self._in_headers:
            return
        if len(self.headers) >= HEADERS_MOST:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self.idle.pop(self, None)
        self._stop_timer()
        if not self.url.startswith(b"/"):
            self._take_host_of_target()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self.idle[self] = None

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        if not self._in_headers:  # the application has the request, and sees it break off
            return
        application = cast("object", self.app)  # pyright: ignore[reportUnknownMemberType]
        tell: Callable[[str], None] | None = getattr(application, "unreadable", None)
        url: bytes | None = getattr(self, "url", None)
        if tell is not None and url:
            tell(url.decode("latin-1"))

    def _take_host_of_target(self) -> None:
        authority = self.url.partition(b"://")[2].partition(b"/")[0]
        if authority and any(name == b"host" for name, _ in self.headers):
            self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
