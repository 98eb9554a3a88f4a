"""Callers that cost: connections that say nothing, never end, flood, or do not read. Others must not notice.

    ulimit -n 20000; nice python -m tests.campaigns.crowd --connections 10000

For each kind of crowd: what the gateway holds (RSS, file descriptors) with it and after it, and how a caller that
behaves well fares meanwhile, before an upstream of its own. Ends with 1 when that caller was refused, waited longer
than a second, or memory passed `--most-mb`. The connections come from as many loopback addresses as they need.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import uvloop

from tests.campaigns.place import Place, WellBehaved, call, place, upstream

_PORTS = 20_000
_AT_ONCE = 1_000
_WITHIN_MS = 1_000.0
MIB = 2**20


@dataclass(frozen=True)
class Kind:
    """`begin` is what each connection sends at once, `more` what it adds every second, `most` how many there are."""

    name: str
    begin: bytes
    more: bytes = b""
    most: int = 1_000_000


@dataclass
class Found:
    """`failed` calls of the caller that behaves well, `most_mb` the gateway's memory at its highest."""

    faults: list[str] = field(default_factory=list[str])
    failed: int = 0
    most_mb: float = 0.0


def kinds(where: Place) -> list[Kind]:
    """Every way to keep a gateway waiting, cheapest first."""
    lines = [f"POST {where.path('chat')} HTTP/1.1", f"Host: 127.0.0.1:{where.port}"]
    stranger = "\r\n".join(lines) + "\r\n"
    known = stranger + "".join(f"{name}: {value}\r\n" for name, value in where.headers().items())
    large = json.dumps(call("echo", {"text": "x" * (4 * MIB - 1000)})).encode()
    flood = json.dumps(call("big", {"events": 256, "size": 64 * 1024})).encode()
    single = json.dumps(call("big", {"events": 1, "size": 8 * MIB})).encode()
    whole = json.dumps(call("echo", {"whole": 32 * MIB})).encode()
    return [
        Kind("idle", b""),
        Kind("half a request line", b"POST /mcp"),
        Kind("headers that drip", stranger.encode(), b"X-Drip: 1\r\n"),
        Kind("60 KiB of headers, unfinished", (stranger + "X-Flood: " + "x" * 60_000).encode(), most=2_000),
        Kind("endless headers", (stranger + "X-Flood: y\r\n" * 20_000).encode(), most=500),
        Kind("body without a token", (stranger + f"Content-Length: {len(large)}\r\n\r\n").encode() + large, most=200),
        Kind("body that drips", (known + "Content-Length: 1000\r\n\r\n").encode(), b" "),
        Kind("4 MiB of body, unfinished", _post(known, large, keep=1), most=500),
        Kind("chunked body without end", (known + "Transfer-Encoding: chunked\r\n\r\n").encode(), b"1\r\n \r\n"),
        Kind("big streams nobody reads", _post(known, flood), most=200),
        Kind("one large event nobody reads", _post(known, single), most=100),
        Kind("large answer nobody reads", _post(known, whole), most=40),
        Kind("pipelined calls nobody reads", _post(known, json.dumps(call("echo", {})).encode()) * 500, most=20),
    ]


def _post(head: str, body: bytes, keep: int = 0) -> bytes:
    """A whole request, or one that lacks its last `keep` bytes."""
    whole = (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    return whole[: len(whole) - keep]


class Crowd(asyncio.Protocol):
    """One connection of the crowd; reads nothing at all."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, object)
        self.transport = transport
        self.open = True
        # uvloop begins to read after this, whatever is said before.
        asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self.transport.pause_reading()  # type: ignore[attr-defined]
        self.say(self.kind.begin)

    def say(self, data: bytes) -> None:
        if data and self.open:
            self.transport.write(data)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False


@asynccontextmanager
async def crowd(port: int, kind: Kind, count: int) -> AsyncGenerator[list[Crowd]]:
    """So many connections of one kind, from several addresses, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(_AT_ONCE)
    people: list[Crowd] = []

    async def one(number: int) -> None:
        async with room:
            address = (f"127.0.{1 + number // _PORTS}.1", 0)
            with contextlib.suppress(OSError):
                _, person = await loop.create_connection(
                    lambda: Crowd(kind), "127.0.0.1", port, family=socket.AF_INET, local_addr=address
                )
                people.append(person)

    async def drip() -> None:
        while True:
            await asyncio.sleep(1)
            for person in people:
                person.say(kind.more)

    await asyncio.gather(*(one(number) for number in range(count)))
    dripping = asyncio.create_task(drip())
    try:
        yield people
    finally:
        dripping.cancel()
        for person in people:
            if person.open:
                person.transport.abort()  # type: ignore[attr-defined]
        await asyncio.sleep(1)


async def campaign(
    where: Place,
    connections: int,
    most_mb: float,
    only: str = "",
    say: Callable[[str], object] = print,
    calls: int = 300,
) -> Found:
    """Every kind in turn, whose name holds `only`; so many `calls` of the good caller during each."""
    found = Found()
    async with aiohttp.ClientSession() as http:
        alone = WellBehaved(where, "good")
        await alone.calls(http, calls)
        say(f"{'nobody else':32} {alone}\n{'':32} {where.census()}")
        for kind in kinds(where):
            if only in kind.name:
                await _one(where, http, kind, min(connections, kind.most), most_mb, found, say, calls)
    return found


async def _one(
    where: Place,
    http: aiohttp.ClientSession,
    kind: Kind,
    count: int,
    most_mb: float,
    found: Found,
    say: Callable[[str], object],
    calls: int,
) -> None:
    good = WellBehaved(where, "good")
    async with crowd(where.port, kind, count) as people:
        most = sum(person.open for person in people)
        await good.calls(http, calls)
        during = where.census()
        stay = sum(person.open for person in people)
    say(f"{kind.name:32} {len(people)} came, {most} at once, {stay} stay; {good}")
    say(f"{'':32} {during}; after: {where.census()}")
    found.failed += good.failed
    found.most_mb = max(found.most_mb, during.rss_mb)
    if good.failed:
        found.faults.append(f"{kind.name}: {good.failed} calls of another caller failed")
    if max(good.latencies_ms) > _WITHIN_MS:
        found.faults.append(f"{kind.name}: another caller waited {max(good.latencies_ms):.0f} ms")
    if during.rss_mb > most_mb:
        found.faults.append(f"{kind.name}: {during.rss_mb:.0f} MB")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--connections", type=int, default=10_000)
    words.add_argument("--most-mb", type=float, default=1_000)
    words.add_argument("--only", default="", help="part of the name of a kind")
    asked = words.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < asked.connections + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="mcpwatch-crowd-") as folder, ExitStack() as stack:
        behind = stack.enter_context(upstream("tests.campaigns.upstream"))
        alone = stack.enter_context(upstream("tests.benchmarks.upstream"))
        urls = {name: f"http://127.0.0.1:{port}/mcp" for name, port in (("chat", behind), ("good", alone))}
        where = stack.enter_context(place(Path(folder), urls))
        found = uvloop.run(campaign(where, asked.connections, asked.most_mb, asked.only))
        alive = where.serving.process.poll() is None
    print("\n".join(found.faults) or "nobody noticed")
    sys.exit(0 if alive and not found.faults else 1)


if __name__ == "__main__":
    main()
