"""Upstreams that answer in hostile bytes: the caller gets one answer, the record one outcome, memory stays bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.settings import Limits
from tests.gateway.house import DEADLINE_S, House, Reply, call, house

RESULT = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"done"}]}}'
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
GOOD = JSON_HEAD + b"content-length: %d\r\n\r\n" % len(RESULT) + RESULT
MIB = 2**20
TAKEN_MOST = 16 * MIB
"""Bytes that the kernel's buffers on both sides and a bounded reader can swallow before the connection is closed."""


@dataclass
class RawUpstream:
    """Answers with `answer`, then with `more` again and again until its client has had enough; `sent` counts that."""

    answer: bytes = GOOD
    more: bytes = b""
    port: int = 0
    sent: int = 0
    heard: list[bytes] = field(default_factory=list[bytes])
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length")), 0)
                self.heard.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                await writer.drain()
                while self.more and self.sent < 4 * TAKEN_MOST:
                    writer.write(self.more)
                    await writer.drain()
                    self.sent += len(self.more)
                if b"connection: close" in self.answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def before(upstream: RawUpstream, limits: Limits | None = None) -> AsyncGenerator[House]:
    """A gateway in front of it."""
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    link = HttpLink("up", f"http://127.0.0.1:{upstream.port}/mcp", limits=limits)
    try:
        async with house(links={"up": link}, limits=limits) as h:
            yield h
            await link.stop()
    finally:
        server.close()
        await asyncio.gather(*upstream.tasks, return_exceptions=True)
        await server.wait_closed()


async def _answered_once(h: House, upstream: RawUpstream) -> Reply:
    """The answer to a call; the next one, to a server that behaves again, goes well."""
    async with asyncio.timeout(DEADLINE_S):
        reply = await h.post(call())
    assert len(h.journal.rows) == len(h.journal.outcomes) == 1
    upstream.answer, upstream.more = GOOD, b""
    assert (await h.post(call())).text == "done"
    return reply


ENDLESS = {
    "headers": (JSON_HEAD, b"x-a: b\r\n" * 8192),
    "one header": (JSON_HEAD + b"x-a: ", b"b" * 65536),
    "the name of a header": (JSON_HEAD, b"b" * 65536),
    "the status line": (b"HTTP/1.1 200 ", b"OK " * 8192),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4096),
    "interim answers with headers": (b"", (b"HTTP/1.1 103 Early Hints\r\n" + b"link: x\r\n" * 50 + b"\r\n") * 200),
    "the name of a chunk": (JSON_HEAD + b"transfer-encoding: chunked\r\n\r\n5;x=", b"y" * 65536),
    "trailers": (JSON_HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"x-a: b\r\n" * 8192),
    "one trailer": (JSON_HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-a: ", b"b" * 65536),
}


@pytest.mark.parametrize(("begin", "more"), ENDLESS.values(), ids=ENDLESS.keys())
async def test_an_answer_without_end_is_given_up_early(begin: bytes, more: bytes) -> None:
    upstream = RawUpstream(begin, more)
    async with before(upstream) as h:
        reply = await _answered_once(h, upstream)
        assert reply.json["error"]["code"] == -32603
        assert h.journal.outcomes[0].outcome == "unknown"
        assert upstream.sent < TAKEN_MOST


ENDLESS_BODIES = {
    "a body": (JSON_HEAD + b"connection: close\r\n\r\n", b" " * 65536),
    "an event": (SSE_HEAD + b"data: ", b"x" * 65536),
    "a comment": (SSE_HEAD + b": ", b"x" * 65536),
}


@pytest.mark.parametrize(("begin", "more"), ENDLESS_BODIES.values(), ids=ENDLESS_BODIES.keys())
async def test_a_body_without_end_is_given_up_at_the_limit(begin: bytes, more: bytes) -> None:
    upstream = RawUpstream(begin, more)
    async with before(upstream, Limits(answer_bytes=2 * MIB)) as h:
        reply = await _answered_once(h, upstream)
        assert reply.json["error"]["code"] == -32603
        assert upstream.sent < TAKEN_MOST


async def test_answers_that_never_end_hold_no_more_than_a_few_times_the_limit_together() -> None:
    upstream = RawUpstream(JSON_HEAD + b"content-length: %d\r\n\r\n" % MIB + b" " * (MIB - 1))
    async with before(upstream, Limits(answer_bytes=MIB)) as h:
        calls = [asyncio.create_task(h.post(call(message_id=number))) for number in range(6)]
        async with asyncio.timeout(DEADLINE_S):
            done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert "error" in done.pop().result().json
        for task in waiting:
            task.cancel()


BROKEN = {
    "two lengths": JSON_HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
    "length and chunks": JSON_HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a negative length": JSON_HEAD + b"content-length: -2\r\n\r\n{}",
    "a chunk that is no number": JSON_HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than said": JSON_HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    "a version of 1990": RESULT + b"\r\n\r\n",
    "a line break in a header": JSON_HEAD + b"x-a: b\n\x00c\r\ncontent-length: 2\r\n\r\n{}",
    "a folded header": JSON_HEAD + b"x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}",
    "gzip": JSON_HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_not_http_is_an_error_of_the_upstream(answer: bytes) -> None:
    upstream = RawUpstream(answer)
    async with before(upstream) as h:
        reply = await _answered_once(h, upstream)
        assert (reply.status, reply.json["id"], reply.json["error"]["code"]) == (200, 1, -32603)


def _json(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"content-type: application/json", *headers, b"content-length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


NO_ANSWERS = {
    "nothing": _json(b"200 OK", b""),
    "accepted": _json(b"202 Accepted", b""),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "text": _json(b"200 OK", b"hello"),
    "a batch": _json(b"200 OK", b"[" + RESULT + b"]"),
    "another id": _json(b"200 OK", RESULT.replace(b'"id":1', b'"id":2')),
    "no id": _json(b"200 OK", RESULT.replace(b'"id":1,', b"")),
    "a question": _json(b"200 OK", b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}'),
    "a question and an answer": _json(b"200 OK", RESULT.replace(b'"id":1', b'"id":1,"method":"roots/list"')),
    "5,000 digits": _json(b"200 OK", RESULT.replace(b'"done"', b'"done","n":' + b"9" * 5000)),
    "depth 100,000": _json(b"200 OK", RESULT.replace(b'"done"', b'"d","n":' + b"[" * 100_000 + b"]" * 100_000)),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
async def test_what_is_no_answer_is_none(answer: bytes) -> None:
    upstream = RawUpstream(answer)
    async with before(upstream) as h:
        reply = await _answered_once(h, upstream)
        assert (reply.status, reply.json["id"], reply.json["error"]["code"]) == (200, 1, -32603)


async def test_what_an_answer_says_about_its_connection_stays_there() -> None:
    told = (
        *(b"set-cookie: a=b", b"connection: x-secret", b"x-secret: 1", b"keep-alive: timeout=1", b"upgrade: h2c"),
        *(b"proxy-authenticate: Basic", b"alt-svc: h2=evil", b"x-kept: 1"),
    )
    upstream = RawUpstream(_json(b"200 OK", RESULT, *told))
    async with before(upstream) as h:
        reply = await _answered_once(h, upstream)
        left = {"set-cookie", "x-secret", "keep-alive", "upgrade", "proxy-authenticate", "alt-svc"}
        assert not left & set(reply.headers)
        assert (reply.text, reply.headers["x-kept"]) == ("done", "1")


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See Other", b"307 Temporary", b"308 Permanent"])
async def test_a_redirect_leads_nowhere(status: bytes) -> None:
    upstream = RawUpstream(_json(status, b"", b"location: http://127.0.0.1:9/evil"))
    async with before(upstream) as h:
        reply = await _answered_once(h, upstream)
        assert "location" not in reply.headers
        assert len(upstream.heard) == 2


UNREADABLE = {
    "5,000 digits": b'"n":' + b"9" * 5000,
    "depth 100,000": b'"n":' + b"[" * 100_000 + b"]" * 100_000,
    "an open string": b'"n":"',
}


@pytest.mark.parametrize("odd", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_event_that_cannot_be_read_does_not_pass_unseen(odd: bytes) -> None:
    """What the gateway cannot read may be a question, or a list with what is hidden, to a reader of another mind."""
    question = b'{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{' + odd + b"}}"
    upstream = RawUpstream(SSE_HEAD + b"data: " + question + b"\n\ndata: " + RESULT + b"\n\n")
    async with before(upstream) as h:
        reply = await _answered_once(h, upstream)
        assert b"sampling" not in reply.body
        assert reply.text == "done"


async def test_a_hidden_tool_is_hidden_in_an_answer_with_its_keys_twice() -> None:
    tools = b'{"tools":[{"name":"hidden","inputSchema":{}}]}'
    upstream = RawUpstream(_json(b"200 OK", b'{"jsonrpc":"2.0","id":1,"result":' + tools + b',"result":{}}'))
    async with before(upstream) as h:
        h.install({"version": "1", "default": "allow", "hide": ["hidden"]})
        reply = await h.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert b"hidden" not in reply.body
        assert json.loads(reply.body)
