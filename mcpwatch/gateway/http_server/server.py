"""Serves one application on one bound socket, from `start` to `stop`."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections import OrderedDict

from mcpwatch.gateway.http_server.connection import Application, Connection

LAST_WORDS_S = 2.0
BACKLOG = 2048
HANDSHAKE_S = 10.0
_OWN_FILES = 256
_FEWEST = 64


def most_connections() -> int:
    """How many callers leave files enough for an upstream connection each, for the audit and for the operator."""
    return max(_FEWEST, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OWN_FILES) // 2)


class HttpServer:
    """When there are `most_connections`, the one without a request for longest makes room for the next.

    The next itself is turned away when all others are busy. `keepalive_s`: after how long without an event a stream
    gets a comment. `connections`: those that are open.
    """

    def __init__(self, application: Application, *, keepalive_s: float = 15.0) -> None:
        self._application = application
        self._keepalive_s = keepalive_s
        self._resting: OrderedDict[Connection, None] = OrderedDict()
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._none_left = asyncio.Event()
        self._none_left.set()

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept on a socket that listens already."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._connected,
            sock=listening,
            backlog=BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_S if tls else None,
        )

    async def stop(self) -> None:
        """Stop accepting, let answers that are being written end, close every connection."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self.connections):
            connection.finish()
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._none_left.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()

    def began(self, connection: Connection) -> None:
        """For a connection that was accepted."""
        self._resting[connection] = None
        self.connections.add(connection)
        if len(self.connections) > most_connections():
            self._resting.popitem(last=False)[0].abort()
        self._none_left.clear()

    def ended(self, connection: Connection) -> None:
        """For a connection that is closed."""
        self.connections.discard(connection)
        self._resting.pop(connection, None)
        if not self.connections:
            self._none_left.set()

    def rests(self, connection: Connection, resting: bool) -> None:
        """For a connection that begins a request, or has answered its last one."""
        if resting:
            self._resting[connection] = None
        else:
            self._resting.pop(connection, None)

    def _connected(self) -> Connection:
        return Connection(self._application, self._keepalive_s, self)
