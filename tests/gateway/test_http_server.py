"""Connections of callers: whatever comes over them, each request is answered once, in order, or the connection ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from mcpwatch.gateway.http_server import connection
from mcpwatch.gateway.http_server.exchange import Exchange, NoRoom, TooLarge, Unreadable
from mcpwatch.gateway.http_server.server import HttpServer
from tests.gateway.house import until

WITHIN_S = 5.0
BIG = b"x" * 300_000


@dataclass
class App:
    """Answers with verb, path and body; `/slow` waits for `release`, `/stream` streams, `/early` reads no body."""

    seen: list[str] = field(default_factory=list[str])
    told: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])
    bytes: int = 0
    most_bytes: int = 10_000_000
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def unreadable(self, path: str) -> None:
        self.told.append(path)

    def room(self, size: int) -> bool:
        self.bytes += size
        return self.bytes < self.most_bytes

    async def __call__(self, ex: Exchange) -> None:
        self.seen.append(f"{ex.verb} {ex.path}")
        if ex.path == "/early":
            await ex.reply(401, [])
        elif ex.path == "/raises":
            raise RuntimeError("a fault of the application")
        elif ex.path == "/leaves":
            await ex.gone()
            self.left.append(ex.path)
        elif ex.path == "/stream":
            await ex.begin([(b"content-type", b"text/event-stream")])
            for part in (b"data: 1\n\n", b"", b"data: 2\n\n"):
                await ex.write(part)
            await ex.end()
        elif ex.path == "/flood":
            await ex.begin()
            for _ in range(100):
                await ex.write(BIG)
            await ex.end()
        elif ex.path == "/host":
            await ex.reply(200, [], dict(ex.headers)[b"host"])
        elif ex.path == "/split":
            await ex.reply(200, [(b"good", b"1"), (b"bad", b"1\r\nset-cookie: a=b"), (b"worse", b"\0")], b"ok")
        else:
            await self._echo(ex)

    async def _echo(self, ex: Exchange) -> None:
        try:
            body = await ex.body(1_000_000, WITHIN_S, self.room)
        except (TooLarge, NoRoom, Unreadable) as fault:
            self.faults.append(type(fault).__name__)
            await ex.reply(400, [])
            return
        if ex.path == "/slow":
            await self.release.wait()
        await ex.reply(204 if ex.path == "/none" else 200, [], b"%s %s" % (ex.path.encode(), body or b""))


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of one answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        first, *lines = head[:-4].split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        return int(first.split()[1]), headers, body

    async def rest(self) -> bytes:
        """All that comes until the connection is closed."""
        return await asyncio.wait_for(self.reader.read(), WITHIN_S)


@dataclass
class Place:
    app: App
    server: HttpServer
    port: int
    clients: list[Client] = field(default_factory=list[Client])

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client


class Unread:
    """A connection whose far end does not read before `reading` is set."""

    lost = False
    port = 0

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.asked = 0
        self.reading = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def drained(self) -> None:
        self.asked += 1
        await self.reading.wait()

    def answered(self, ex: Exchange) -> None:
        assert ex.answered


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with standing() as place:
        yield place


@asynccontextmanager
async def standing() -> AsyncGenerator[Place]:
    """A server and its application."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setblocking(False)
        app = App()
        server = HttpServer(app)
        await server.start(bound)
        place = Place(app, server, bound.getsockname()[1])
        yield place
        app.release.set()
        for client in place.clients:
            client.writer.close()
        await server.stop()


def get(path: bytes, *lines: bytes, version: bytes = b"1.1", verb: bytes = b"GET") -> bytes:
    return b"\r\n".join((b"%b %b HTTP/%b" % (verb, path, version), b"Host: x", *lines, b"", b""))


def post(path: bytes, body: bytes, *lines: bytes) -> bytes:
    return get(path, b"Content-Length: %d" % len(body), *lines, verb=b"POST") + body


async def test_requests_in_one_segment_are_answered_one_after_the_other(place: Place) -> None:
    client = await place.client()
    client.send(post(b"/slow", b"1"), post(b"/b", b"2"), get(b"/c"))
    await until(lambda: place.app.seen)
    assert place.app.seen == ["POST /slow"]
    place.app.release.set()
    assert [(await client.answer())[2] for _ in range(3)] == [b"/slow 1", b"/b 2", b"/c "]


async def test_what_comes_while_a_request_waits_is_read_only_when_it_is_its_turn(place: Place) -> None:
    client = await place.client()
    client.send(post(b"/slow", b"1"), get(b"/waits"))
    for number in range(200):
        client.send(post(b"/%d" % number, BIG[:20_000]))
    await until(lambda: place.app.seen)
    place.app.release.set()
    paths = [(await client.answer())[2].split(b" ")[0] for _ in range(202)]
    assert paths == [b"/slow", b"/waits", *(b"/%d" % number for number in range(200))]


async def test_more_requests_than_one_turn_may_hold_end_the_connection(place: Place) -> None:
    client = await place.client()
    client.send(post(b"/slow", b""), get(b"/more") * 300)
    assert await client.rest() == b""
    assert place.app.seen in ([], ["POST /slow"])


async def test_a_caller_that_is_gone_is_told_to_who_waits_for_it(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/leaves"))
    await until(lambda: place.app.seen)
    client.writer.close()
    await until(lambda: place.app.left)


async def test_http_1_0_gets_its_answer_and_the_connection_ends(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/a", b"Connection: keep-alive", version=b"1.0"))
    assert (await client.answer())[1][b"connection"] == b"close"
    assert await client.rest() == b""


async def test_a_stream_for_http_1_0_has_no_chunks(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/stream", version=b"1.0"))
    head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"data: 1\n\ndata: 2\n\n"


async def test_a_stream_goes_out_in_chunks_and_the_connection_is_kept(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/stream"), get(b"/next"))
    head, _, body = (await asyncio.wait_for(client.reader.readuntil(b"0\r\n\r\n"), WITHIN_S)).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"x-accel-buffering: no" in head
    assert body == b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"
    assert (await client.answer())[2] == b"/next "


async def test_head_has_no_body(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/a", verb=b"HEAD"), get(b"/b"))
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert b"content-length: 3" in head
    assert (await client.answer())[2] == b"/b "


async def test_an_answer_without_content_has_no_length(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/early"), get(b"/a"))
    assert (await client.answer())[1][b"content-length"] == b"0"
    assert (await client.answer())[2] == b"/a "


async def test_a_caller_that_waits_for_the_word_to_go_on_gets_it(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/a", b"Content-Length: 2", b"Expect: 100-continue", verb=b"POST"))
    assert await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), WITHIN_S) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hi")
    assert (await client.answer())[2] == b"/a hi"


async def test_a_caller_refused_before_its_body_is_not_asked_to_send_it_and_its_connection_ends(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/early", b"Content-Length: 5", b"Expect: 100-continue", verb=b"POST"))
    status, headers, _ = await client.answer()
    assert (status, headers[b"connection"]) == (401, b"close")
    client.send(b"12345", get(b"/smuggled"))
    assert await client.rest() == b""
    assert place.app.seen == ["POST /early"]


async def test_a_body_that_never_ends_is_not_read_for_long_after_the_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.05)
    client = await place.client()
    client.send(get(b"/early", b"Content-Length: 500000", verb=b"POST"), b"some")
    assert (await client.answer())[0] == 401
    assert await client.rest() == b""


@pytest.mark.parametrize("early", [True, False], ids=["in one go", "bit by bit"])
async def test_a_body_beyond_the_bound_is_dropped(place: Place, early: bool) -> None:
    client = await place.client()
    client.send(get(b"/a", b"Transfer-Encoding: chunked", verb=b"POST"))
    for _ in range(5):
        client.send(b"%x\r\n%b\r\n" % (len(BIG), BIG))
        if not early:
            await client.writer.drain()
    client.send(b"0\r\n\r\n")
    assert (await client.answer())[0] == 400
    assert place.app.faults == ["TooLarge"]


@pytest.mark.parametrize("parts", [1, 30])
async def test_a_body_for_which_there_is_no_room_is_dropped(place: Place, parts: int) -> None:
    place.app.most_bytes = 100_000
    client = await place.client()
    client.send(get(b"/a", b"Content-Length: 300000", verb=b"POST"))
    for _ in range(parts):
        client.send(b"x" * (300_000 // parts))
        await client.writer.drain()
    assert (await client.answer())[0] == 400
    assert place.app.faults == ["NoRoom"]


async def test_what_a_body_holds_is_told(place: Place) -> None:
    client = await place.client()
    client.send(post(b"/a", BIG))
    await client.answer()
    assert place.app.bytes == len(BIG)


@pytest.mark.parametrize("count", [connection.HEADERS_MOST - 1, connection.HEADERS_MOST])
async def test_so_many_headers_and_no_more(place: Place, count: int) -> None:
    client = await place.client()
    client.send(get(b"/a", *[b"X: y"] * count))
    assert (await client.answer())[0] == (200 if count < connection.HEADERS_MOST else 400)


async def test_when_there_are_too_many_the_one_that_rests_longest_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mcpwatch.gateway.http_server.server.most_connections", lambda: 3)
    async with standing() as place:
        busy, first, second = [await place.client() for _ in range(3)]
        busy.send(post(b"/slow", b""))
        await until(lambda: place.app.seen)
        for client in (second, first):
            client.send(get(b"/a"))
            await client.answer()
        third = await place.client()
        third.send(get(b"/b"))
        assert (await third.answer())[2] == b"/b "
        assert await second.rest() == b""
        first.send(get(b"/c"))
        assert (await first.answer())[2] == b"/c "
        place.app.release.set()
        assert (await busy.answer())[2] == b"/slow "


async def test_the_host_of_a_target_is_the_one_that_counts(place: Place) -> None:
    client = await place.client()
    client.send(get(b"http://evil.example/host"))
    assert (await client.answer())[2] == b"evil.example"


async def test_keepalives_do_not_pile_up_before_a_caller_that_does_not_read() -> None:
    line = Unread()
    ex = Exchange(line, "GET", "/", [], keepalive_s=0.001)
    await ex.begin()
    await until(lambda: line.asked)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert line.asked == 1
    line.reading.set()
    await until(lambda: b": keepalive\n\n" in b"".join(line.written))
    await ex.end()


async def test_chunks_that_are_none_are_told_to_the_application(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/a", b"Transfer-Encoding: chunked", verb=b"POST"), b"2\r\nhi\r\nzz\r\n")
    assert (await client.answer())[0] == 400
    assert await client.rest() == b""
    assert place.app.faults == ["Unreadable"]


async def test_noise_after_a_request_is_refused_after_the_answer(place: Place) -> None:
    client = await place.client()
    client.send(post(b"/slow", b""), b"\x01\x02 noise\r\n\r\n")
    await until(lambda: place.app.seen)
    place.app.release.set()
    assert (await client.answer())[0] == 200
    assert (await client.answer())[0] == 400
    assert await client.rest() == b""


async def test_after_a_request_that_closes_nothing_more_is_taken(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/a", b"Connection: close"), get(b"/b"))
    assert (await client.answer())[2] == b"/a "
    assert await client.rest() == b""
    assert place.app.seen == ["GET /a"]


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
@pytest.mark.parametrize("size", [2, 200_000])
async def test_the_offer_of_another_protocol_is_not_taken(place: Place, protocol: bytes, size: int) -> None:
    client = await place.client()
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABkAA")
    client.send(post(b"/a", BIG[:size], *offer), get(b"/b"))
    assert (await client.answer())[2] == b"/a " + BIG[:size]
    assert (await client.answer())[2] == b"/b "


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/mcp/%65ks", "/mcp/eks"),
        (b"/mcp/eks?token=x", "/mcp/eks"),
        (b"http://evil.example/mcp/eks", "/mcp/eks"),
        (b"/mcp/%2565ks", "/mcp/%65ks"),
        (b"//mcp/eks", "//mcp/eks"),
    ],
)
async def test_a_path_is_decoded_once(place: Place, target: bytes, path: str) -> None:
    client = await place.client()
    client.send(get(target))
    await client.answer()
    assert place.app.seen == [f"GET {path}"]


async def test_no_tunnel_is_opened(place: Place) -> None:
    client = await place.client()
    client.send(get(b"evil.example:443", verb=b"CONNECT"), get(b"/b"))
    assert (await client.answer())[0] == 400
    assert await client.rest() == b""
    assert place.app.seen == []


async def test_a_header_cannot_begin_another_line(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/split"))
    _, headers, body = await client.answer()
    assert body == b"ok"
    assert headers == {b"good": b"1", b"content-length": b"2"}


async def test_a_fault_of_the_application_is_an_answer_too(place: Place) -> None:
    client = await place.client()
    client.send(get(b"/raises"))
    assert (await client.answer())[0] == 500
    assert await client.rest() == b""


async def test_who_takes_nothing_of_its_answer_loses_the_connection(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STALL_S", 0.05)
    client = await place.client()
    client.send(get(b"/flood"))
    await until(lambda: place.app.seen)
    cast("asyncio.Transport", client.writer.transport).pause_reading()
    await until(lambda: not place.server.connections)


async def test_a_stop_lets_answers_end_and_closes_what_is_idle(place: Place) -> None:
    idle, busy = await place.client(), await place.client()
    idle.send(get(b"/a"))
    await idle.answer()
    busy.send(post(b"/slow", b"1"))
    await until(lambda: len(place.app.seen) == 2)
    stopping = asyncio.create_task(place.server.stop())
    assert await idle.rest() == b""
    place.app.release.set()
    assert (await busy.answer())[2] == b"/slow 1"
    assert await busy.rest() == b""
    await stopping
