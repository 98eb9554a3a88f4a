"""A lean HTTP/1.1 client for one server: a pool of connections on llhttp's parser, nothing that MCP does not need.

No redirects, cookies, proxies, compression. A general client costs several times as much on each call.
Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from mcpwatch.gateway.http_link.connection import Broken, Connection
from mcpwatch.gateway.link import Headers

CONNECT_S = 10.0
# Shorter than the five seconds after which common servers close: a connection closed under a request is a lost call.
KEEPALIVE_S = 4.0
_IDLE_MOST = 256


class NotSent(Exception):
    """No byte of the request can have reached the server."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads. `authority` is what the Host header says, `path` with its query."""

    host: str
    port: int
    tls: bool
    authority: str
    path: str

    @staticmethod
    def of(url: str) -> Target:
        """Raises ValueError for what is no http(s) URL."""
        parts = urlsplit(url)
        clean = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme not in ("http", "https") or not parts.hostname or not clean:
            raise ValueError(f"not an http or https URL: {url!r}")
        if "@" in parts.netloc:
            raise ValueError("a name and password in a URL are not sent; give the upstream a header instead")
        tls = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.hostname, parts.port or (443 if tls else 80), tls, parts.netloc, path)


class Response:
    """One answer. `end` gives its connection back, or closes it when the answer was not read to its end."""

    __slots__ = ("_connection", "_pool", "headers", "status")

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self.status = connection.status
        self.headers = connection.headers

    @property
    def whole(self) -> bytes | None:
        """The body when all of it is here already."""
        return None if self._connection is None else self._connection.whole

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Broken when it breaks off."""
        if self._connection is not None:
            async for chunk in self._connection.chunks():
                yield chunk

    def end(self) -> None:
        """May be called more than once: the connection may belong to another request by then."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)


class Pool:
    """Connections to one server."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tls = ssl.create_default_context() if target.tls else None
        self._idle: deque[Connection] = deque()

    async def ask(self, verb: str, headers: Headers, body: bytes) -> Response:
        """Send one request and return when status and headers are there. Raises NotSent, Broken."""
        request = self._head(verb, headers, body) + body
        connection = self._reused() or await self._opened()
        await connection.ask(request)
        return Response(self, connection)

    def give_back(self, connection: Connection) -> None:
        """The answer was read, or nobody wants it any longer."""
        if connection.reusable and len(self._idle) < _IDLE_MOST:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _reused(self) -> Connection | None:
        oldest = asyncio.get_running_loop().time() - KEEPALIVE_S
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().close()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def _opened(self) -> Connection:
        target, loop = self._target, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await loop.create_connection(Connection, target.host, target.port, ssl=self._tls)
        except TimeoutError:
            raise NotSent(f"{target.authority} did not accept a connection within {CONNECT_S:g} s") from None
        except (OSError, ssl.SSLError) as fault:
            raise NotSent(f"cannot connect to {target.authority}: {fault.strerror or fault}") from fault
        return connection

    def _head(self, verb: str, headers: Headers, body: bytes) -> bytes:
        lines = [f"{verb} {self._target.path} HTTP/1.1\r\nhost: {self._target.authority}".encode()]
        for name, value in headers:
            if b"\n" in value or b"\r" in value or b"\0" in value:
                raise NotSent("a header with a line break in its value")
            lines.append(name + b": " + value)
        if verb == "POST":
            lines.append(b"content-length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n"


__all__ = ["Broken", "NotSent", "Pool", "Response", "Target"]
