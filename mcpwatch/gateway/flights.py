"""Requests under way: who may end one early, and why. One task per request, no task beside it while it is quick."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol

Why = Literal["timeout", "cancelled", "client_gone", "frozen", "stopping"]

_QUICK_S = 0.05
_CANCEL_GRACE_S = 5.0


class GivenUp(Exception):
    """A request that was ended before its answer came; raised by leaving the exposed part of its flight."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Why = why


class Line(Protocol):
    """The connection a request came in on."""

    async def gone(self) -> None:
        """Return when the caller has closed it."""
        ...


class Flight:
    """One request under way. `with flight:` marks the parts that may be interrupted: waiting for others.

    Recording is never interrupted: `end` then only leaves word, and the next exposed part raises GivenUp at once.
    """

    __slots__ = (
        "_close", "_deadline", "_exposed", "_line", "_loop", "_task", "_timer", "_watcher",
        "cancelling", "closed", "grant", "held", "opened_s", "passive", "timeout_s", "tool", "why",
    )  # fmt: skip

    def __init__(self, line: Line, close: Callable[[Flight], None], *, grant: str, tool: str, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._line = line
        self._close = close
        self._exposed = False
        self._watcher: asyncio.Task[None] | None = None
        self.grant = grant
        self.tool = tool
        self.held = False
        self.cancelling = self.closed = False
        self.why: Why | None = None
        self.timeout_s = timeout_s
        self.passive = timeout_s == 0
        self.opened_s = self._loop.time()
        self._deadline = self.opened_s + timeout_s
        self._timer: asyncio.TimerHandle | None = None

    def end(self, why: Why) -> None:
        """Have the request ended as soon as it can be; the first reason counts."""
        if self.why is None:
            self.why = why
            if self._exposed:
                self._task.cancel()

    def cancel(self) -> None:
        """The caller takes its request back: a held one ends at once, else its upstream has a moment to say so."""
        self.cancelling = True
        if self.held:
            self.end("cancelled")
            return
        self._deadline = min(self._deadline, self._loop.time() + _CANCEL_GRACE_S)
        self._arm("cancelled")

    def touch(self, timeout_s: float | None = None) -> None:
        """Something came from the upstream: the time for an answer begins anew."""
        if timeout_s is not None:
            self.timeout_s = timeout_s
        self._deadline = self._loop.time() + self.timeout_s
        if timeout_s is not None and self._watcher is not None:
            self._arm("timeout")

    def close(self) -> None:
        """The request is answered."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        self._close(self)

    def __enter__(self) -> None:
        if self.why is not None:
            raise GivenUp(self.why)
        self._exposed = True

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exposed = False
        if kind is asyncio.CancelledError and self.why is not None:
            self._task.uncancel()
            raise GivenUp(self.why) from None

    def watch(self) -> None:
        """It takes its time: notice when it takes too long, and when the caller goes away."""
        self._watcher = self._loop.create_task(self._watch())
        self._arm("timeout")

    async def _watch(self) -> None:
        await self._line.gone()
        self.end("client_gone")

    def _arm(self, why: Why) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self.timeout_s > 0:
            self._timer = self._loop.call_at(self._deadline, self._late, why)

    def _late(self, why: Why) -> None:
        if self._loop.time() < self._deadline:
            self._arm(why)
        else:
            self.end(why)


class Flights:
    """All requests under way."""

    def __init__(self) -> None:
        self._active: set[Flight] = set()
        self._passive: set[Flight] = set()
        self._young: deque[Flight] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._active)

    def open(self, line: Line, *, grant: str, tool: str = "", timeout_s: float) -> Flight:
        """Begin one in the current task. `timeout_s` 0: it merely listens, for as long as it likes."""
        flight = Flight(line, self._closed, grant=grant, tool=tool, timeout_s=timeout_s)
        (self._passive if flight.passive else self._active).add(flight)
        if not self._young:
            asyncio.get_running_loop().call_later(_QUICK_S, self._look)
        self._young.append(flight)
        if not flight.passive:
            self._idle.clear()
        return flight

    def end(self, why: Why, *, grant: str = "", tool: str = "") -> int:
        """End all, or those of one grant or tool; returns how many."""
        ended = [f for f in self._active if (not grant or f.grant == grant) and (not tool or f.tool == tool)]
        for flight in ended:
            flight.end(why)
        return len(ended)

    def end_listening(self, grant: str = "") -> None:
        """End those that merely listen, all or those of one grant."""
        for flight in [f for f in self._passive if not grant or f.grant == grant]:
            flight.end("stopping")

    async def idle(self) -> None:
        """Return when no request waits for its answer."""
        await self._idle.wait()

    def _look(self) -> None:
        """One timer for all: nearly every request is answered before it would need one of its own."""
        loop, young = asyncio.get_running_loop(), self._young
        before_s = loop.time() - _QUICK_S
        while young and (young[0].closed or young[0].opened_s <= before_s):
            flight = young.popleft()
            if not flight.closed:
                flight.watch()
        if young:
            loop.call_later(_QUICK_S, self._look)

    def _closed(self, flight: Flight) -> None:
        self._active.discard(flight)
        self._passive.discard(flight)
        if not self._active:
            self._idle.set()
