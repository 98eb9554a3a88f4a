"""Long use: calls, sessions opened and dropped, processes that come and go. What is held must stay flat.

    nice python -m tests.campaigns.soak --calls 100000 --sessions 1000 --processes 300

Prints a census before, in between and after, and ends with 1 when something grew. Sessions over HTTP end in turn by
DELETE, with a stream open, and without a word: the last kind stays until it is idle for an hour, and so costs memory.
Behind stdio every tenth client goes without a word, and its process stays until it is idle or another needs its room.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from tests.benchmarks.load import run
from tests.campaigns.census import Census
from tests.campaigns.place import Place, call, place, upstream
from tests.cli.running import SERVER

GROWTH_MB = 25.0
"""What the memory may grow by between the first quarter and the end of one part; a leak of a call's worth shows."""
_OPENING = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}}
_CONNECTIONS = 16
_AT_ONCE = 8
_PIPES = 3
_POOLED = _CONNECTIONS + 8
"""Connections to an upstream are kept for reuse, up to as many as calls were under way at once."""


class Soak:
    """`grown` names what did not stay flat."""

    def __init__(self, where: Place, say: Callable[[str], object] = print) -> None:
        self._place = where
        self._say = say
        self.grown: list[str] = []
        self.left = 0
        self.failed = 0

    async def all(self, calls: int, sessions: int, processes: int) -> None:
        await self._part("calls", calls, self._calls)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await self._part("HTTP sessions", sessions, lambda count: self._sessions(http, "chat", count, silent=3))
            await self._part("stdio sessions", processes, lambda count: self._sessions(http, "line", count, silent=10))

    async def _part(self, name: str, count: int, work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """A quarter to warm up, then the rest must hold what the quarter held."""
        self.left = 0
        seen, left = [await self._settled()], [0]
        self._say(f"{name:15} begin  {seen[0]}")
        for quarter in range(1, 5):
            await work(count // 4)
            seen.append(await self._settled())
            left.append(self.left)
            self._say(f"{name:15} {count // 4 * quarter:6} {seen[-1]}")
        warm, end, stay = seen[1], seen[-1], left[-1] - left[1]
        parts = {
            "memory": end.rss_mb > warm.rss_mb + GROWTH_MB,
            "file descriptors": end.fds > warm.fds + _POOLED + stay * _PIPES,
            "threads": end.threads > warm.threads + 1,
            "processes": end.children > warm.children + 1 + stay,
        }
        self.grown += [f"{what} during {name}" for what, too_much in parts.items() if too_much]

    async def _settled(self) -> Census:
        """What is held once nothing is on its way out any more, at most 15 s later."""
        seen = self._place.census()
        for _ in range(60):
            await asyncio.sleep(0.25)
            now = self._place.census()
            if (now.fds, now.children) >= (seen.fds, seen.children):
                return now
            seen = now
        return seen

    async def _calls(self, count: int) -> None:
        where = self._place
        got = await run(
            "soak", where.port, where.path("echo"), headers=where.headers(), sessions=_CONNECTIONS, calls=count, pids=[]
        )
        self.failed += got.failures
        self._say(f"{'':15} {got.per_s:,.0f} calls/s, p50 {got.quantile(0.5):.1f} p99 {got.quantile(0.99):.1f} ms")

    async def _sessions(self, http: aiohttp.ClientSession, name: str, count: int, *, silent: int) -> None:
        """One of `silent` goes without a word."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with room:
                try:
                    await self._session(http, name, listens=number % 3 == 1, ends=number % silent != silent - 1)
                except (aiohttp.ClientError, KeyError, AssertionError):
                    self.failed += 1

        await asyncio.gather(*(one(number) for number in range(count)))

    async def _session(self, http: aiohttp.ClientSession, name: str, *, listens: bool, ends: bool) -> None:
        url, headers = self._place.url(name), self._place.headers()
        opening = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": _OPENING}
        async with http.post(url, json=opening, headers=headers) as answer:
            assert answer.status == 200
            headers = {**headers, "Mcp-Session-Id": answer.headers["Mcp-Session-Id"]}
            await answer.read()
        async with http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers) as a:
            assert a.status == 202
        listening = asyncio.create_task(_listen(http, url, headers)) if listens else None
        async with http.post(url, json=call("echo", {"text": "a"}), headers=headers) as answer:
            assert answer.status == 200
            await answer.read()
        if ends:
            async with http.delete(url, headers=headers) as answer:
                assert answer.status == 200
        self.left += name == "line" and not ends
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _listen(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
    with suppress(aiohttp.ClientError):
        async with http.get(url, headers={**headers, "Accept": "text/event-stream"}) as stream:
            async for _ in stream.content.iter_any():
                pass


async def soak(folder: Path, calls: int, sessions: int, processes: int) -> Soak:
    """Run all parts against a gateway of its own."""
    with ExitStack() as stack:
        echo = stack.enter_context(upstream("tests.benchmarks.upstream"))
        chat = stack.enter_context(upstream("tests.campaigns.upstream"))
        behind = {
            "echo": f"http://127.0.0.1:{echo}/mcp",
            "chat": f"http://127.0.0.1:{chat}/mcp",
            "line": f"{sys.executable} {SERVER}",
        }
        where = stack.enter_context(place(folder, behind))
        found = Soak(where)
        await found.all(calls, sessions, processes)
        return found


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--calls", type=int, default=100_000)
    words.add_argument("--sessions", type=int, default=1_000)
    words.add_argument("--processes", type=int, default=300)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="mcpwatch-soak-") as folder:
        found = uvloop.run(soak(Path(folder), asked.calls, asked.sessions, asked.processes))
    print(f"{found.failed} failed; grown: {', '.join(found.grown) or 'nothing'}")
    sys.exit(1 if found.grown or found.failed else 0)


if __name__ == "__main__":
    main()
