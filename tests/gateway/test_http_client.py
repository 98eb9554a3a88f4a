"""The HTTP client against servers that speak in raw bytes, also badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.gateway.http_link.client import Broken, NotSent, Pool, Response, Target
from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.link import Request, UpstreamError
from tests.gateway.house import DEADLINE_S

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Answers the n-th request with the n-th bytes; b"" closes. `connections` counts those accepted."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.closed = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length")), 0)
                self.heard.append(head + await reader.readexactly(length))
                answer = self.answers[min(len(self.heard), len(self.answers)) - 1]
                writer.write(answer)
                await writer.drain()
                if not answer or b"connection: close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncGenerator[tuple[Pool, Server]]:
    server = Server(list(answers))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    pool = Pool(Target.of(f"http://127.0.0.1:{server.port}/mcp?x=1"))
    try:
        yield pool, server
    finally:
        pool.close()
        listener.close()
        await asyncio.gather(*server.tasks)
        await listener.wait_closed()


async def read(response: Response) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        body = b"".join([chunk async for chunk in response.chunks()])
    response.end()
    return body


async def test_connections_are_used_again() -> None:
    async with serving(OK) as (pool, server):
        for _ in range(3):
            response = await pool.ask("POST", [(b"x-a", b"b")], b"body")
            assert (response.status, await read(response)) == (200, b"ok")
        assert server.connections == 1
        expected = f"POST /mcp?x=1 HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\nx-a: b\r\ncontent-length: 4\r\n\r\nbody"
        assert server.heard == [expected.encode()] * 3


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_a_body_ends_where_it_ends(answer: bytes, body: bytes) -> None:
    async with serving(answer) as (pool, _):
        response = await pool.ask("POST", [], b"x")
        assert await read(response) == body
        assert (b"link", b"x") not in response.headers


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nab",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
    ],
)
async def test_an_answer_that_breaks_off_is_broken(answer: bytes) -> None:
    async with serving(answer) as (pool, _):
        with pytest.raises(Broken):
            await read(await pool.ask("POST", [], b"x"))


async def test_an_answer_nobody_asked_for_is_never_taken_for_the_next() -> None:
    poison = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
    async with serving(OK + poison, OK) as (pool, server):
        assert await read(await pool.ask("POST", [], b"x")) == b"ok"
        assert await read(await pool.ask("POST", [], b"x")) == b"ok"
        assert server.connections == 2


async def test_an_answer_given_up_closes_its_connection() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf") as (pool, server):
        response = await pool.ask("POST", [], b"x")
        response.end()
        response.end()
        await asyncio.wait_for(server.closed.wait(), DEADLINE_S)


async def test_ending_an_answer_twice_does_not_lend_its_connection_twice() -> None:
    async with serving(OK) as (pool, server):
        first = await pool.ask("POST", [], b"x")
        await read(first)
        second = await pool.ask("POST", [], b"x")
        first.end()
        third = await pool.ask("POST", [], b"x")
        assert (await read(second), await read(third), server.connections) == (b"ok", b"ok", 2)


async def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    with pytest.raises(NotSent, match=r"cannot connect to 127\.0\.0\.1:1"):
        await Pool(Target.of("http://127.0.0.1:1/")).ask("POST", [], b"x")


async def test_a_line_break_in_a_header_is_not_sent() -> None:
    async with serving(OK) as (pool, server):
        with pytest.raises(NotSent):
            await pool.ask("POST", [(b"x", b"a\r\nx-evil: 1")], b"")
        assert server.heard == []


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://", "x", "http://a b/", "http://x/\n", "http://[::1", "http://a:b@x/"]
)
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(ConfigError):
        HttpLink("x", url)


@pytest.mark.parametrize("headers", [{"x y": "1"}, {"x": "a\nb"}, {"": "1"}, {"ü": "1"}])
def test_what_is_no_header_is_told(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        HttpLink("x", "http://x/", headers=headers)


async def test_the_operators_headers_replace_the_callers() -> None:
    async with serving(OK) as (_, server):
        link = HttpLink("x", f"http://127.0.0.1:{server.port}/", headers={"X-Key": "ours"})
        answer = await link.send(Request("POST", [(b"x-key", b"theirs")], b"{}", None, "", False, ""))
        assert (answer.status, answer.body) == (200, b"ok")
        assert (b"ours" in server.heard[0], b"theirs" in server.heard[0]) == (True, False)
        await link.stop()


async def test_an_upstreams_state_is_told_once_per_change() -> None:
    told: list[str] = []
    tell: Callable[[str, str, str], None] = lambda state, error, remedy: told.append(state)  # noqa: E731
    async with serving(OK) as (_, server):
        link = HttpLink("x", f"http://127.0.0.1:{server.port}/", on_change=tell)
        await link.start()
        await link.send(Request("POST", [], b"{}", None, "", False, ""))
        await link.stop()
    gone = HttpLink("x", "http://127.0.0.1:1/", on_change=tell)
    with pytest.raises(UpstreamError) as caught:
        await gone.start()
    assert not caught.value.sent
    assert told == ["starting", "ready", "stopped", "starting", "failed"]


async def test_a_compressed_answer_is_refused() -> None:
    packed = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx"
    async with serving(packed) as (_, server):
        link = HttpLink("x", f"http://127.0.0.1:{server.port}/")
        with pytest.raises(UpstreamError, match="compresses"):
            await link.send(Request("POST", [], b"{}", None, "", False, ""))
        await link.stop()
