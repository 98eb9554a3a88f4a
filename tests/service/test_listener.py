"""The HTTP side: one port, taken at once, patient with callers up to a point, gone after the stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from mcpwatch.config import Address
from mcpwatch.errors import ConfigError
from mcpwatch.gateway.http_server import connection
from mcpwatch.gateway.http_server.exchange import Exchange, Unreadable
from mcpwatch.service.listener import Listener

WITHIN_S = 5.0
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Hello:
    """The smallest application."""

    def unreadable(self, path: str) -> None:
        raise AssertionError(path)

    async def __call__(self, ex: Exchange) -> None:
        await ex.reply(200, [], b"hello")


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener(Address("127.0.0.1", 0))
    await listener.start(Hello())
    yield listener
    await listener.stop()


async def connected(listener: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", listener.port)


async def test_a_request_is_answered_and_the_connection_kept(listener: Listener) -> None:
    reader, writer = await connected(listener)
    for _ in range(2):
        writer.write(REQUEST)
        answer = await asyncio.wait_for(reader.readuntil(b"hello"), WITHIN_S)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"server:" not in answer.lower()
    writer.close()


async def test_headers_without_end_close_the_connection(listener: Listener) -> None:
    reader, writer = await connected(listener)
    writer.write(b"GET / HTTP/1.1\r\n" + b"X-A: " + b"a" * (connection.HEADERS_BYTES + 1))
    assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
    writer.close()


@pytest.mark.parametrize("before", [b"", REQUEST])
@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nHost: "])
async def test_slow_headers_close_the_connection(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, before: bytes, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEADERS_S", 0.1)
    reader, writer = await connected(listener)
    if before:
        writer.write(before)
        await asyncio.wait_for(reader.readuntil(b"hello"), WITHIN_S)
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
    writer.close()


async def test_a_connection_that_says_nothing_is_closed(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEADERS_S", 0.1)
    reader, writer = await connected(listener)
    assert await asyncio.wait_for(reader.read(), WITHIN_S) == b""
    writer.close()


async def test_the_port_is_taken_at_once_and_free_after_the_stop() -> None:
    first = Listener(Address("127.0.0.1", 0))
    with pytest.raises(ConfigError, match=str(first.port)):
        Listener(Address("127.0.0.1", first.port))
    await first.start(Hello())
    await first.stop()
    await first.stop()
    second = Listener(Address("127.0.0.1", first.port))
    await second.stop()


async def test_a_host_that_is_not_of_this_machine_is_one_sentence() -> None:
    with pytest.raises(ConfigError):
        Listener(Address("192.0.2.1", 0))
    with pytest.raises(ConfigError, match="no address"):
        Listener(Address("name.invalid", 0))


async def test_ipv6_works_where_the_machine_has_it() -> None:
    if not socket.has_ipv6:
        return
    listener = Listener(Address("::1", 0))
    assert listener.port
    await listener.stop()


class Recording(Hello):
    """An application that answers with the headers it saw, and is told of what is not HTTP."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.seen: list[bytes] = []
        self.broken = 0

    def unreadable(self, path: str) -> None:
        self.told.append(path)

    async def __call__(self, ex: Exchange) -> None:
        try:
            await ex.body(2**20, WITHIN_S, lambda size: True)
        except Unreadable:
            self.broken += 1
            await ex.reply(400, [])
            return
        self.seen = [name for name, _ in ex.headers]
        await super().__call__(ex)


@pytest.fixture
async def recording() -> AsyncIterator[tuple[Listener, Recording]]:
    listener, application = Listener(Address("127.0.0.1", 0)), Recording()
    await listener.start(application)
    yield listener, application
    await listener.stop()


@pytest.mark.parametrize("fields", [b"Content-Length: 1\r\nTransfer-Encoding: chunked", b"Content-Length: -1"])
async def test_what_is_not_http_is_refused_and_told_with_its_path(
    recording: tuple[Listener, Recording], fields: bytes
) -> None:
    listener, application = recording
    reader, writer = await connected(listener)
    writer.write(b"POST /mcp/up HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n\r\n0\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), WITHIN_S)).startswith(b"HTTP/1.1 400")
    assert application.told == ["/mcp/up"]
    writer.close()


async def test_a_body_that_is_not_http_is_for_the_application_to_record(
    recording: tuple[Listener, Recording],
) -> None:
    listener, application = recording
    reader, writer = await connected(listener)
    writer.write(b"POST /mcp/up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert (await asyncio.wait_for(reader.read(), WITHIN_S)).startswith(b"HTTP/1.1 400")
    assert application.told == []
    writer.close()


async def test_noise_without_a_path_is_refused(recording: tuple[Listener, Recording]) -> None:
    listener, application = recording
    reader, writer = await connected(listener)
    writer.write(b"\x16\x03\x01 noise\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), WITHIN_S)).startswith(b"HTTP/1.1 400")
    assert application.told == []
    writer.close()


async def test_trailers_are_no_headers(recording: tuple[Listener, Recording]) -> None:
    listener, application = recording
    reader, writer = await connected(listener)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head + b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"hello"), WITHIN_S)
    assert application.seen == [b"host", b"transfer-encoding"]
    writer.close()
