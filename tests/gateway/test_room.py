"""What callers can make the gateway hold is bounded, and one caller's share leaves room for the others."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from mcpwatch.gateway.core import Inbound
from mcpwatch.gateway.holds import Ruling
from mcpwatch.gateway.sessions import Session
from mcpwatch.gateway.settings import Limits
from tests.gateway.house import DEADLINE_S, House, call, house, until

MIB = 2**20
ASK: dict[str, Any] = {"conditions": [], "name": "ask", "timeout": "30s"}
ROOMY = Limits(bodies_bytes=16 * MIB)


@asynccontextmanager
async def unfinished(h: House, token: str, sent: int) -> AsyncGenerator[asyncio.StreamReader]:
    """A request of 4 MiB of which `sent` bytes of the body are there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
    lines = [
        f"POST /mcp/up HTTP/1.1\r\nHost: 127.0.0.1:{h.port}\r\nAuthorization: Bearer {token}",
        f"Content-Type: application/json\r\nContent-Length: {4 * MIB}\r\n\r\n",
    ]
    try:
        writer.write("\r\n".join(lines).encode() + b" " * sent)
        await writer.drain()
        yield reader
    finally:
        writer.close()


async def _held(h: House) -> int:
    """Bytes of bodies that the gateway holds now, as it says itself."""
    url = f"http://127.0.0.1:{h.port}/metrics"
    async with h.http.get(url, headers={"authorization": f"Bearer {h.token}"}) as answer:
        lines = (await answer.text()).splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("mcpwatch_bodies_bytes ")))


async def _until_held(h: House, size: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await _held(h) != size:
            await asyncio.sleep(0.005)


async def _refused(reader: asyncio.StreamReader) -> bool:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
    return b" 503 " in head.splitlines()[0]


async def test_bodies_under_way_fill_no_more_than_the_share_of_their_grant() -> None:
    async with house(limits=ROOMY) as h:
        other = h.grants.add_ephemeral("other")
        async with unfinished(h, h.token, 3 * MIB):
            await _until_held(h, 3 * MIB)
            async with unfinished(h, h.token, 3 * MIB) as second:
                assert await _refused(second)
            large = json.dumps(call("echo", {"text": "x" * 3 * MIB})).encode()
            assert (await h.post(large, {"authorization": f"Bearer {other}"})).status == 200
            assert (await h.post(call())).status == 200
        assert [row.rule for row in h.journal.rows if row.decision == "reject"] == ["(no room)"]


async def test_a_body_that_was_given_up_leaves_its_room_to_the_next() -> None:
    large = json.dumps(call("echo", {"text": "x" * 3 * MIB})).encode()
    async with house(limits=ROOMY) as h:
        async with unfinished(h, h.token, 3 * MIB):
            await _until_held(h, 3 * MIB)
        await _until_held(h, 0)
        for _ in range(3):
            assert (await h.post(large)).status == 200


async def test_calls_that_wait_for_their_upstream_keep_their_room() -> None:
    go_on = asyncio.Event()

    async def wait(heard: object, obj: dict[str, object]) -> None:
        await go_on.wait()

    large = json.dumps(call("echo", {"text": "x" * 3 * MIB})).encode()
    async with house(limits=ROOMY) as h:
        h.upstream.answers["tools/call"] = wait
        first = asyncio.create_task(h.post(large))
        await until(lambda: h.upstream.calls())
        async with unfinished(h, h.token, 3 * MIB) as second:
            assert await _refused(second)
        go_on.set()
        await first


async def test_a_task_that_goes_on_keeps_nothing_of_its_call() -> None:
    async with house() as h:
        h.upstream.answers["tools/call"] = {"task": {"taskId": "t1", "status": "working"}}
        await h.post(call("work", {"text": "x" * MIB}, task={"ttl": 1000}))
        h.journal.rows.clear()
        h.events.clear()
        gc.collect()
        assert not [found for found in gc.get_objects() if isinstance(found, Inbound)]


async def test_a_session_keeps_only_the_capabilities_that_servers_ask_for() -> None:
    async with house() as h:
        many: dict[str, Any] = {f"x{number}": {} for number in range(1000)}
        await h.open_session({"sampling": {}, "elicitation": {}, **many})
        gc.collect()
        (session,) = (found for found in gc.get_objects() if isinstance(found, Session))
        assert session.capabilities == {"sampling", "elicitation"}


async def test_calls_that_came_too_late_are_forgotten_beyond_a_size() -> None:
    policy: dict[str, Any] = {"version": "1", "default": "allow", "tools": {"drop": {"approve_if": [ASK]}}}
    async with house(policy) as h:
        for number in range(40):
            waiting = asyncio.create_task(h.post(call("drop", {"text": "x" * MIB}, message_id=number)))
            await until(lambda: h.gateway.holds.waiting())
            h.gateway.holds.end(h.gateway.holds.waiting()[0], Ruling("timeout"))
            await waiting
        assert len(h.gateway.holds.late()) == 31


async def _unread(h: House, size: int, *, streamed: bool) -> asyncio.StreamWriter:
    """A caller who asked for an answer of this size and reads nothing of it."""
    h.upstream.as_sse = streamed
    h.upstream.answers["tools/call"] = {"content": [{"type": "text", "text": "x" * size}]}
    connection = socket.create_connection(("127.0.0.1", h.port))
    connection.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    cast("asyncio.Transport", writer.transport).pause_reading()
    body = json.dumps(call()).encode()
    lines = [f"POST /mcp/up HTTP/1.1\r\nHost: 127.0.0.1:{h.port}\r\nAuthorization: Bearer {h.token}"]
    lines += ["Accept: application/json, text/event-stream\r\nContent-Type: application/json"]
    writer.write(("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
    assert reader
    return writer


@pytest.mark.parametrize("streamed", [False, True])
async def test_answers_that_nobody_reads_leave_room_for_those_of_other_grants(streamed: bool) -> None:
    async with house(limits=Limits(answers_bytes=4 * 24 * MIB)) as h:
        other = {"authorization": f"Bearer {h.grants.add_ephemeral('other')}"}
        unread = await _unread(h, 20 * MIB, streamed=streamed)
        await until(lambda: h.journal.outcomes)
        withheld = await h.post(call(message_id=2))
        assert "withheld" in withheld.json["error"]["message"] or b"withheld" in withheld.body
        assert len((await h.post(call(message_id=3), other)).text) == 20 * MIB
        unread.transport.abort()
        async with asyncio.timeout(DEADLINE_S):
            while "error" in (await h.post(call(message_id=4))).json:
                await asyncio.sleep(0.01)
