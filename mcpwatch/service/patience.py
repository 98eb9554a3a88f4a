"""uvicorn's HTTP protocol, with an end to its patience: who does not finish the headers loses the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 15.0
HEADERS_BYTES = 64 * 1024


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose headers take longer than `HEADERS_S` or more than `HEADERS_BYTES`.

    An application with a method `unreadable(path)` is told of requests that are not HTTP, so that they are recorded.

    Bodies are bounded by the application; idle connections between requests by uvicorn's keep-alive.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_headers = True
        self._seen_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEADERS_S, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Most headers arrive in one piece, so that this costs them nothing.
        if self._in_headers:
            self._seen_bytes += len(data)
            if self._seen_bytes > HEADERS_BYTES:
                self.transport.close()
            elif self._timer is None:
                self._timer = self.loop.call_later(HEADERS_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._in_headers = True
        self._seen_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What follows a chunked body are trailers. They come after the headers were judged, so they are none.
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        if not self._in_headers:  # the application has the request, and sees it break off
            return
        application = cast("object", self.app)  # pyright: ignore[reportUnknownMemberType]
        tell: Callable[[str], None] | None = getattr(application, "unreadable", None)
        url: bytes | None = getattr(self, "url", None)
        if tell is not None and url:
            tell(url.decode("latin-1"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
