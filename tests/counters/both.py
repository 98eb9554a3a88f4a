"""One engine on counters in memory and one on counters in Redis, asked the same, and compared after each call."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from mcpwatch.counters.place import redis_place
from mcpwatch.counters.store import RedisCounters, UpstreamCounters
from mcpwatch.policy.compiled import CompiledPolicy
from mcpwatch.policy.counters import Counters
from mcpwatch.policy.demands import Pending
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Charge, Decision, ToolCall

_names = itertools.count(1)


class Clock:
    """The time of both sides, ms since 1970."""

    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


async def open_at(url: str, clock: Clock | None = None) -> RedisCounters:
    return await RedisCounters.open(redis_place(url, {}), now_ms=clock)


async def admit(
    engine: Engine, call: ToolCall, *, approved: bool = False, counted: tuple[Charge, ...] = ()
) -> Decision:
    """What the gateway does with shared counters: decide, ask, conclude."""
    begun = engine.begin(call, approved=approved)
    if not isinstance(begun, Pending):
        return begun
    assert engine.shared is not None
    return begun.conclude(await engine.shared.ask(begun.demands, counted))


class Both:
    """Every call is made on both sides; that they answer alike is asserted here. `story` is what has been done."""

    def __init__(self, store: RedisCounters, clock: Clock) -> None:
        self._clock = clock
        self._counters: UpstreamCounters = store.of(f"both-{next(_names)}")
        self._in_memory = Counters()
        self.memory = Engine(self._in_memory)
        self.redis = Engine(shared=self._counters)
        self.story: list[str] = []

    def install(self, policy: CompiledPolicy) -> None:
        self.memory.install(policy)
        self.redis.install(policy)

    def set_schemas(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self.memory.set_schemas(schemas)
        self.redis.set_schemas(schemas)

    async def call(self, call: ToolCall, *, approved: bool = False) -> Decision:
        self.story.append(f"{self._clock.now_ms} {call}")
        expected = self.memory.admit(call, self._clock.now_ms, approved=approved)
        self._same(expected, await admit(self.redis, call, approved=approved))
        await self.compare_counters()
        return expected

    async def again(self, call: ToolCall, counted: tuple[Charge, ...]) -> None:
        """A retry of a call that was counted before: judged as if it were new, counted no second time."""
        self.story.append(f"{self._clock.now_ms} again {call} {counted}")
        if not isinstance(self.redis.begin(call), Pending):
            return  # no limit is reached, so that Redis is not asked, and memory gives back what it took
        self.memory.refund(counted)
        expected = self.memory.admit(call, self._clock.now_ms)
        self.memory.refund(expected.charges)
        self.memory.restore(counted)
        self._same(expected, await admit(self.redis, call, counted=counted))
        await self.compare_counters()

    async def refund(self, charges: tuple[Charge, ...]) -> None:
        self.story.append(f"refund {charges}")
        self.memory.refund(charges)
        self.redis.refund(charges)
        await self.compare_counters()

    async def compare_counters(self) -> None:
        expected = sorted(self.memory.counters(self._clock.now_ms), key=repr)
        got = sorted(await self._counters.looked_at(self.redis, self._in_memory.newest(1_000)), key=repr)
        assert got == expected, "\n".join([*self.story, f"memory {expected}", f"redis  {got}"])

    def _same(self, expected: Decision, got: Decision) -> None:
        assert got == expected, "\n".join([*self.story, f"memory {expected}", f"redis  {got}"])
