"""The HTTP side: one socket, one uvicorn server without its signal handlers and logs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Generator
from typing import Any

import uvicorn

from mcpwatch.config import Address
from mcpwatch.errors import ConfigError
from mcpwatch.service.patience import PatientProtocol

_BACKLOG = 2048
_LAST_WORDS_S = 2


class _Server(uvicorn.Server):
    """uvicorn without hands on our signals, telling when it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.accepting.set()


class Listener:
    """Takes `address` at once, serves an ASGI application there between `start` and `stop`. `port` is the real one."""

    def __init__(self, address: Address, *, cert: str | None = None, key: str | None = None) -> None:
        self._tls = _checked(cert, key)
        self._socket = _bound(address)
        self.port: int = self._socket.getsockname()[1]
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, application: Any) -> None:
        cert, key = self._tls
        config = uvicorn.Config(
            application,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_LAST_WORDS_S,
            backlog=_BACKLOG,
            ssl_certfile=cert,
            ssl_keyfile=key,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        await self._server.accepting.wait()

    async def stop(self) -> None:
        """Stop accepting, let answers that are being written end, close every connection. More than once is allowed."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None
        self._socket.close()


def _checked(cert: str | None, key: str | None) -> tuple[str | None, str | None]:
    if cert and key:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as fault:
            raise ConfigError(f"cannot use --tls-cert {cert} with --tls-key {key}: {fault}") from fault
    return cert, key


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
        listener.listen(_BACKLOG)
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
