"""Nothing is left behind by callers who come, go away, end their sessions or break off; memory stays flat."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import pytest
from aiohttp import web

from tests.gateway.house import House, call, house, modern, request, until
from tests.gateway.recording_upstream import Heard


async def numbers(h: House) -> dict[str, int]:
    """The gauges of /metrics."""
    async with h.http.get(f"http://127.0.0.1:{h.port}/metrics", headers=h.headers()) as response:
        lines = (await response.text()).splitlines()
    names = ("requests_in_flight", "sessions", "holds", "listeners")
    return {name: int(line.split()[1]) for name in names for line in lines if line.startswith(f"mcpwatch_{name} ")}


async def test_ended_sessions_broken_streams_and_given_up_calls_leave_nothing() -> None:
    ask: dict[str, Any] = {"approve_if": [{"conditions": [], "name": "ask"}]}
    async with house({"version": "1", "default": "allow", "tools": {"held": ask}}) as h:

        async def never(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await response.write(b": open\n\n")
            await h.upstream.released.wait()
            return response

        h.upstream.answers |= {"GET": never, "subscriptions/listen": never}

        async def visit(number: int) -> None:
            session = {"mcp-session-id": await h.open_session()}
            wanted = {"notifications": {"toolsListChanged": True}}
            body, headers = modern(request("subscriptions/listen", wanted, number))
            async with (
                h.http.get(h.url, headers=h.headers(session)) as stream,
                h.http.post(h.url, json=body, headers=h.headers(headers)) as listening,
            ):
                await stream.content.readline()
                await listening.content.readline()
                waiting = asyncio.create_task(h.post(call("held"), session))
                await h.post(call("echo", message_id=2), session)
                waiting.cancel()
            async with h.http.delete(h.url, headers=h.headers(session)) as response:
                assert response.status == 200

        for _ in range(5):
            await asyncio.gather(*(visit(number) for number in range(10)))
        left = await numbers(h)
        for _ in range(500):
            if not (left["requests_in_flight"] or left["sessions"] or left["listeners"]):
                break
            left = await numbers(h)
        assert (left["requests_in_flight"], left["sessions"], left["listeners"]) == (0, 0, 0)


@pytest.mark.slow
async def test_a_hundred_thousand_calls_leave_memory_flat() -> None:
    async with house() as h:

        async def calls(count: int) -> None:
            for number in range(count):
                await h.post(call(message_id=number))
            for kept in (h.journal.rows, h.journal.outcomes, h.events, h.upstream.heard):
                kept.clear()
            gc.collect()

        await calls(1_000)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            await calls(1_000)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 1_000_000
        await until(lambda: h.gateway.in_flight == 0)
