"""A load of `tools/call` over keep-alive connections, and what it cost the processes under test.

Closed loop: each connection calls again as soon as it is answered. Open loop: calls are due at fixed times whatever the
answers, and their latency counts from then.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httptools

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CALL = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"%b"}}}'


@dataclass(slots=True)
class Result:
    """Figures of one run. Latencies in ms, `cpu_us` per call of the whole process tree under test."""

    name: str
    calls: int
    seconds: float
    cpu_us: float
    latencies_ms: list[float] = field(repr=False)
    failures: int

    @property
    def per_s(self) -> float:
        return self.calls / self.seconds

    def quantile(self, q: float) -> float:
        """Latency in ms below which the share `q` of the calls stays."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Caller(asyncio.Protocol):
    """One connection that sends the next call when the last is answered and, with `pace_s`, not before it is due."""

    def __init__(
        self, head: bytes, done: asyncio.Future[None], calls: int, marker: bytes, pace_s: float, offset_s: float
    ) -> None:
        self.head, self.done, self.left, self.marker = head, done, calls, marker
        self.pace_s, self.offset_s = pace_s, offset_s
        self.loop = asyncio.get_running_loop()
        self.latencies_ms: list[float] = []
        self.failures = 0
        self.answer = bytearray()
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self.due = time.perf_counter() + self.offset_s
        self._next()

    def _next(self) -> None:
        if self.left == 0:
            self.transport.close()
            return
        self.left -= 1
        if self.pace_s:
            self.due += self.pace_s
            self.loop.call_later(max(0.0, self.due - time.perf_counter()), self._send, self.due)
        else:
            self._send(time.perf_counter())

    def _send(self, began: float) -> None:
        # uvloop's timers have whole milliseconds: a call that goes out early counts from then.
        began = min(began, time.perf_counter())
        body = CALL % (self.left, b"y" * 64)
        self.started = began
        self.transport.write(self.head % len(body) + body)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.answer += body

    def on_message_complete(self) -> None:
        self.latencies_ms.append((time.perf_counter() - self.started) * 1000)
        if self.parser.get_status_code() != 200 or self.marker not in self.answer:
            self.failures += 1
        self.answer.clear()
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failures += self.left
        if not self.done.done():
            self.done.set_result(None)


async def run(
    name: str,
    port: int,
    path: str,
    *,
    headers: dict[str, str],
    sessions: int,
    calls: int,
    pids: list[int],
    marker: bytes = b"xxxx",
    per_s: float = 0,
) -> Result:
    """Drive `calls` over `sessions` connections, open loop with `per_s`; `marker` is in every good answer."""
    loop = asyncio.get_running_loop()
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{k}: {v}" for k, v in headers.items())]
    head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode() + b"%d\r\n\r\n"
    before, begun = cpu_s(pids), time.perf_counter()
    callers: list[Caller] = []
    waits: list[asyncio.Future[None]] = []
    for number in range(sessions):
        wait: asyncio.Future[None] = loop.create_future()
        pace_s = sessions / per_s if per_s else 0.0
        caller = Caller(head, wait, calls // sessions, marker, pace_s, number / per_s if per_s else 0.0)
        callers.append(caller)
        waits.append(wait)
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)
    await asyncio.gather(*waits)
    seconds = time.perf_counter() - begun
    latencies = [ms for caller in callers for ms in caller.latencies_ms]
    cpu_us = (cpu_s(pids) - before) / max(1, len(latencies)) * 1e6
    return Result(name, len(latencies), seconds, cpu_us, latencies, sum(c.failures for c in callers))


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids += tree(int(child))
    return pids


def cpu_s(pids: list[int]) -> float:
    """CPU seconds, user and system, that the processes have used."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_S


def rss_mb(pids: list[int]) -> float:
    """Resident memory of the processes, in MB."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * 4096 / 1e6
