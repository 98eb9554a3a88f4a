"""`mcpwatch stdio` between a client's pipes and the gateway: nothing is lost, nothing hangs, everything is judged."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mcpwatch.gateway.settings import Limits
from mcpwatch.gateway.stdio_front.front import Courier
from mcpwatch.gateway.stdio_front.lines import lines_of
from mcpwatch.gateway.stdio_link.link import StdioLink
from tests.gateway.house import House, house
from tests.gateway.stdio_talk import ENV, META, scripted

INITIALIZE: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"roots": {}},
    "clientInfo": {"name": "c", "version": "1"},
}


class Pipes:
    """The client's end."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def feed(self) -> AsyncIterator[bytes]:
        while (line := await self.lines.get()) is not None:
            yield line

    def raw(self, line: bytes) -> None:
        self.lines.put_nowait(line)

    def send(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> None:
        self.raw(json.dumps({"jsonrpc": "2.0", "method": method, "params": params or {}, **more}).encode())

    def call(
        self, tool: str, args: dict[str, Any] | None = None, *, id: Any, meta: dict[str, Any] | None = None
    ) -> None:
        self.send("tools/call", {"name": tool, "arguments": args or {}, **({"_meta": meta} if meta else {})}, id=id)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return await self.said.get()

    async def text(self) -> str:
        return str((await self.next())["result"]["content"][0]["text"])

    async def shake_hands(self) -> None:
        self.send("initialize", INITIALIZE, id="hello")
        assert (await self.next())["id"] == "hello"
        self.send("notifications/initialized")


@asynccontextmanager
async def pipes(
    *flags: str, policy: dict[str, Any] | None = None, limits: Limits | None = None
) -> AsyncGenerator[Pipes]:
    link = StdioLink("up", scripted(*flags), ENV)
    await link.start()
    async with house(policy, links={"up": link}, limits=limits) as h:
        client = Pipes(h)
        courier = Courier(h.url, h.token, lambda line: client.said.put_nowait(json.loads(line)))
        running = asyncio.create_task(courier.run(client.feed()))
        try:
            yield client
        finally:
            client.lines.put_nowait(None)
            async with asyncio.timeout(10):
                await running
            await link.stop()


MODERN: dict[str, Any] = {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {}}


async def test_a_handshake_client_works_and_its_calls_are_judged_and_recorded() -> None:
    policy: dict[str, Any] = {"version": "1", "default": "deny", "tools": {"echo": {}}}
    async with pipes(policy=policy) as client:
        await client.shake_hands()
        client.call("echo", {"text": "through"}, id=1)
        assert await client.text() == "through"
        client.call("big", id=2)
        assert (await client.text()).startswith("[POLICY DENIED]")
        assert [row.decision for row in client.house.journal.rows] == ["allow", "deny"]


async def test_a_modern_client_works_and_taking_a_call_back_reaches_the_server() -> None:
    async with pipes() as client:
        client.call("echo", {"text": "é\u2028"}, id="a", meta=MODERN)
        assert await client.text() == "é\u2028"
        client.call("never", id="b", meta=MODERN)
        client.call("echo", id="c", meta=MODERN)
        assert (await client.next())["id"] == "c"
        client.send("notifications/cancelled", {"requestId": "b"})
        await asyncio.sleep(0)
        client.call("cancelled", id="d", meta=MODERN)
        answer = await client.next()
        while answer["result"]["content"][0]["text"] == "[]":
            client.call("cancelled", id="d", meta=MODERN)
            answer = await client.next()
        assert answer["id"] == "d"


async def test_subscriptions_arrive_and_do_not_keep_the_courier_when_the_client_has_gone() -> None:
    async with pipes() as client:
        client.send("subscriptions/listen", {"notifications": {"toolsListChanged": True}, "_meta": MODERN}, id="s")
        assert (await client.next())["method"] == "notifications/subscriptions/acknowledged"
        client.call("poke", id=1, meta=MODERN)
        methods = [(await client.next()).get("method") for _ in range(2)]
        assert "notifications/tools/list_changed" in methods


async def test_a_question_of_the_server_is_asked_and_answered() -> None:
    async with pipes() as client:
        await client.shake_hands()
        client.call("ask", {"method": "roots/list"}, id=1)
        question = await client.next()
        assert question["method"] == "roots/list"
        client.raw(json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}).encode())
        assert json.loads(await client.text()) == {"roots": []}


async def test_a_session_the_gateway_lost_is_opened_anew_without_the_client_noticing() -> None:
    async with pipes() as client:
        await client.shake_hands()
        client.call("die", id=1)
        assert "error" in await client.next()
        for number in range(2, 6):
            client.call("echo", {"text": "alive"}, id=number)
        assert sorted([(await client.next())["id"] for _ in range(4)]) == [2, 3, 4, 5]
        client.call("poke", id=6)
        assert {(await client.next()).get("id") for _ in range(2)} == {6, None}


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
        b'{"jsonrpc":"2.0","id":1,"method":"ping"}\r{"jsonrpc":"2.0","id":2,"method":"tools/call"}',
        b'{"jsonrpc":"2.0",\r"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":7}',
    ],
)
async def test_what_is_no_message_is_answered_with_an_error_and_recorded(line: bytes) -> None:
    async with pipes() as client:
        client.raw(line)
        assert (await client.next())["error"]["code"] in (-32600, -32700)
        assert [row.decision for row in client.house.journal.rows] == ["reject"]


@pytest.mark.parametrize("version", [7, "2026-07-28\u200b"])
async def test_a_method_that_is_not_there_is_no_lost_session(version: Any) -> None:
    async with pipes(policy={"version": "1", "default": "deny"}) as client:
        await client.shake_hands()
        client.send("vendor/thing", {"_meta": {META + "protocolVersion": version}}, id=1)
        assert (await client.next())["error"]["code"] == -32601
        assert [row.rule for row in client.house.journal.rows] == ["(unknown method)"]
        client.call("say", id=2)
        assert (await client.next())["id"] == 2
        assert [row.session for row in client.house.journal.rows[1:]] == [client.house.journal.rows[0].session]


async def test_no_more_is_read_than_a_little_ahead_of_who_takes_it() -> None:
    class Endless:
        def __init__(self) -> None:
            self.given = self.taken = self.most_ahead = 0

        def read1(self, size: int = -1, /) -> bytes:
            self.given += size
            self.most_ahead = max(self.most_ahead, self.given - self.taken)
            return b"x" * (size - 1) + b"\n"

    source = Endless()
    async for line in lines_of(source):
        source.taken += len(line) + 1
        if source.taken > 64 * 2**20:
            break
    assert source.most_ahead < 5 * 2**20


async def test_a_request_that_is_too_large_is_refused_under_its_own_id() -> None:
    async with pipes(limits=Limits(body_bytes=1000)) as client:
        client.call("echo", {"text": "x" * 100_000}, id=41)
        answer = await client.next()
        assert (answer["id"], answer["error"]["message"]) == (41, "The message is too large")


async def test_answers_of_fifteen_mebibytes_pass() -> None:
    async with pipes() as client:
        await client.shake_hands()
        client.call("big", {"size": 15_000_000}, id=1)
        assert len(await client.text()) == 15_000_000


async def test_a_gateway_that_is_not_there_is_an_error_for_each_request() -> None:
    said: list[dict[str, Any]] = []

    async def lines() -> AsyncIterator[bytes]:
        yield b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        yield b'{"jsonrpc":"2.0","method":"notifications/initialized"}'

    await Courier("http://127.0.0.1:9/mcp/up", "", lambda line: said.append(json.loads(line))).run(lines())
    (answer,) = said
    assert answer["id"] == 1
    assert "cannot be reached" in answer["error"]["message"]


PROGRAM = """
import asyncio, sys
from mcpwatch.gateway.stdio_front.front import run_stdio
asyncio.run(run_stdio(sys.argv[1], sys.argv[2], sys.stdin.buffer, sys.stdout.buffer))
"""


async def test_real_pipes_are_read_to_their_end_and_every_request_is_answered_before_it_exits() -> None:
    async with pipes() as client:
        lines: list[dict[str, Any]] = [{"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": INITIALIZE}]
        lines += [{"jsonrpc": "2.0", "method": "notifications/initialized", "params": {}}]
        call = {"name": "slow", "arguments": {"ms": 300}}
        lines += [{"jsonrpc": "2.0", "id": str(n), "method": "tools/call", "params": call} for n in range(3)]
        lines += [{"jsonrpc": "2.0", "id": "large", "method": "x" * 17_000_000, "params": {}}]
        text = "\r\n".join(json.dumps(line) for line in lines)
        command = [sys.executable, "-c", PROGRAM, client.house.url, client.house.token]
        ended = await asyncio.to_thread(
            lambda: subprocess.run(command, input=text.encode(), capture_output=True, timeout=30, check=True)
        )
        answers = [json.loads(line) for line in ended.stdout.splitlines()]
        assert {str(answer["id"]) for answer in answers} == {"i", "0", "1", "2", "None"}
        assert ended.stderr == b""
