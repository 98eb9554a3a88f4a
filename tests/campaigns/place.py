"""A gateway as its users start it, in front of whatever a campaign needs, and one caller that behaves well."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.campaigns.census import Census
from tests.cli.running import Home, Serving

JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@contextmanager
def upstream(module: str) -> Generator[int]:
    """A server that prints its port and ends with its stdin."""
    # What it says about callers that go away in the middle is of no interest.
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    assert process.stdin
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(15)
        process.stdout.close()


@dataclass
class Place:
    """A running gateway."""

    serving: Serving
    home: Home

    @property
    def pid(self) -> int:
        return self.serving.process.pid

    @property
    def port(self) -> int:
        return int(self.serving.url.split(":")[2].split("/")[0])

    def path(self, name: str) -> str:
        return f"/mcp/{name}"

    def url(self, name: str) -> str:
        return str(self.serving.ready["endpoints"][name])

    def headers(self) -> dict[str, str]:
        return {**JSON, "Authorization": f"Bearer {self.serving.token}"}

    def census(self) -> Census:
        return Census.of(self.pid)


@contextmanager
def place(folder: Path, upstreams: dict[str, str], policy: object = None, *more: str) -> Generator[Place]:
    """`mcpwatch serve` in front of these upstreams (name to URL or command line)."""
    folder.mkdir(parents=True, exist_ok=True)
    home = Home(folder)
    named = [word for name, where in upstreams.items() for word in ("--upstream", f"{name}={where}")]
    with home.serve(*named, *more, policy=policy) as serving:
        yield Place(serving, home)


@dataclass
class WellBehaved:
    """A caller whose calls are timed while others misbehave; `failed` counts answers that were none."""

    place: Place
    name: str
    latencies_ms: list[float] = field(default_factory=list[float])
    failed: int = 0

    async def calls(self, http: aiohttp.ClientSession, count: int) -> None:
        for number in range(count):
            body = call("echo", {"text": "a"}, number)
            began = time.perf_counter()
            try:
                async with http.post(self.place.url(self.name), json=body, headers=self.place.headers()) as answer:
                    good = answer.status == 200 and b"xxxx" in await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError):
                good = False
            self.latencies_ms.append((time.perf_counter() - began) * 1000)
            self.failed += not good

    def __str__(self) -> str:
        p50, p99, most = (quantile(self.latencies_ms, q) for q in (0.5, 0.99, 1.0))
        return f"{len(self.latencies_ms)} calls, {self.failed} failed, p50 {p50:.1f} p99 {p99:.1f} max {most:.0f} ms"


def call(tool: str, arguments: dict[str, Any], message_id: int | str = 1) -> dict[str, Any]:
    """A `tools/call` request."""
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": message_id, "method": "tools/call", "params": params}


def quantile(values: Iterable[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0
