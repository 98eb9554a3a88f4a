"""Takes the address that callers connect to, with or without TLS."""

from __future__ import annotations

import errno
import socket
import ssl

from mcpwatch.config import Address
from mcpwatch.errors import ConfigError
from mcpwatch.gateway.http_server.connection import Application
from mcpwatch.gateway.http_server.server import BACKLOG, HttpServer


class Listener:
    """Takes `address` at once, serves an application there between `start` and `stop`. `port` is the real one."""

    def __init__(self, address: Address, *, cert: str | None = None, key: str | None = None) -> None:
        self._tls = _checked(cert, key)
        self._socket = _bound(address)
        self.port: int = self._socket.getsockname()[1]
        self._server: HttpServer | None = None

    async def start(self, application: Application, *, keepalive_s: float = 15.0) -> None:
        """`keepalive_s`: after how long without an event a stream gets a comment."""
        self._server = HttpServer(application, keepalive_s=keepalive_s)
        await self._server.start(self._socket, self._tls)

    async def stop(self) -> None:
        """Stop accepting, let answers that are being written end, close every connection. More than once is allowed."""
        if self._server is not None:
            await self._server.stop()
        self._socket.close()


def _checked(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if not (cert and key):
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as fault:
        raise ConfigError(f"cannot use --tls-cert {cert} with --tls-key {key}: {fault}") from fault
    return context


def _bound(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as fault:
        raise ConfigError(f'--listen: "{address.host}" is no address of this machine: {fault.strerror}') from fault
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        # Only a listening socket keeps others off the port for certain.
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as fault:
        listener.close()
        raise _cannot_listen(address, fault) from fault
    return listener


def _cannot_listen(address: Address, fault: OSError) -> ConfigError:
    remedy = "Choose another port with --listen HOST:PORT, or 0 for a free one."
    if fault.errno == errno.EADDRINUSE:
        return ConfigError(f"port {address.port} on {address.host} is in use by another program", remedy)
    if fault.errno == errno.EACCES:
        return ConfigError(f"port {address.port} may not be used by this user", remedy)
    return ConfigError(f"cannot listen on {address.host}:{address.port}: {fault.strerror}", remedy)
