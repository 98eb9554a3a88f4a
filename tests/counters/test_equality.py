"""Counters in Redis decide, count and word exactly as those in memory do.

Random policies and calls: `MCPWATCH_REDIS_EXAMPLES=20000 pytest tests/counters/test_equality.py` (about an hour).
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpwatch.policy.compiled import CompiledPolicy, compile_policy
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.instants import instant_ms
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import Caller, Charge, ToolCall
from tests.counters.both import Both, Clock, admit, open_at
from tests.counters.redis_server import RedisServer, needs_redis
from tests.policy import scenarios
from tests.policy.build import NOON_MS, call, compiled, limit

pytestmark = needs_redis
CASES = Path(__file__).parents[1] / "data" / "cases"
EXAMPLES = int(os.environ.get("MCPWATCH_REDIS_EXAMPLES", "150"))


def policy_of(case: dict[str, Any], folder: Path) -> CompiledPolicy | None:
    if "policy_file" in case:
        return compile_policy(read_policy((folder / case["policy_file"]).read_bytes(), name=case["policy_file"]))
    policy = case["policy"]
    return None if policy is None else compile_policy(read_policy(json.dumps(policy).encode()))


@pytest.mark.parametrize("file", sorted(CASES.glob("*.json")), ids=lambda file: file.stem)
async def test_every_case_of_the_language_comes_out_as_in_memory(redis: RedisServer, file: Path) -> None:
    clock = Clock()
    store = await open_at(redis.url, clock)
    for case in json.loads(file.read_bytes()):
        both = Both(store, clock)
        policy = policy_of(case, file.parent)
        if policy is not None:
            both.install(policy)
        both.set_schemas(case.get("schemas") or {})
        for made in case["calls"]:
            clock.now_ms = instant_ms(made["at"])
            caller = Caller(made.get("grant", "local"), made.get("client", ""), made.get("session", ""))
            decision = await both.call(ToolCall(caller, made["tool"], made.get("args", {})))
            assert decision.verdict == made["expect"]["decision"]
            if made.get("outcome") == "not_sent":
                await both.refund(decision.charges)
    await store.close()


class Story:
    """What happens to one upstream: calls, reloads, refunds, retries, and a clock that jumps."""

    def __init__(self, both: Both, clock: Clock, random: Random) -> None:
        self.both, self.clock, self.random = both, clock, random
        self.charged: list[tuple[ToolCall, tuple[Charge, ...]]] = []
        self.last: ToolCall | None = None
        clock.now_ms = scenarios.START_MS
        self.reload()

    def reload(self) -> None:
        policy = scenarios.policy(self.random)
        if self.random.random() < 0.2:
            for entry in policy["tools"].values():
                for each in entry.get("limits", []):
                    each.pop("algorithm", None)
        self.both.story.append("reload " + json.dumps(policy))
        self.both.install(compile_policy(read_policy(json.dumps(policy).encode())))

    async def step(self) -> None:
        chance = self.random.random()
        if chance < 0.7 or not self.charged:
            await self.call()
        elif chance < 0.78:
            self.clock.now_ms -= self.random.choice(scenarios.BACK_MS)
        elif chance < 0.85:
            await self.both.refund(self.charged.pop(self.random.randrange(len(self.charged)))[1])
        elif chance < 0.92:
            await self.both.again(*self.random.choice(self.charged))
        else:
            self.reload()
        self.clock.now_ms += self.random.choice(scenarios.STEPS_MS)

    async def call(self) -> None:
        made = self.last if self.last and self.random.random() < 0.6 else self.new_call()
        self.last = made
        decision = await self.both.call(made)
        if decision.verdict == "hold":
            decision = await self.both.call(made, approved=True)
        if decision.charges:
            self.charged.append((made, decision.charges))

    def new_call(self) -> ToolCall:
        pick = self.random.choice
        caller = Caller(pick(scenarios.GRANTS), pick(scenarios.CLIENTS), pick(scenarios.SESSIONS))
        return ToolCall(caller, pick(scenarios.TOOLS[:1] * 9 + scenarios.TOOLS), scenarios.arguments(self.random))


def test_whatever_happens_redis_and_memory_agree(redis: RedisServer) -> None:
    clock = Clock()
    with asyncio.Runner() as runner:
        store = runner.run(open_at(redis.url, clock))

        @settings(max_examples=EXAMPLES, deadline=None, database=None)
        @given(st.integers(min_value=0, max_value=2**64 - 1))
        def example(seed: int) -> None:
            runner.run(tell(Random(seed)))

        async def tell(random: Random) -> None:
            story = Story(Both(store, clock), clock, random)
            for _ in range(random.randint(3, 25)):
                await story.step()

        example()
        runner.run(store.close())


AMOUNTS = (
    0.1,
    0.2,
    0.30000000000000004,
    5e-324,
    1e-7,
    2**53 - 1,
    2**53,
    2**53 + 1,
    10**15,
    10**400,
    1e308,
    0,
    0.0,
    3.5,
)


@pytest.mark.parametrize("algorithm", ["fixed", "sliding"])
async def test_amounts_of_any_size_are_added_without_rounding(redis: RedisServer, algorithm: str) -> None:
    clock = Clock()
    store = await open_at(redis.url, clock)
    for most in (1, 10_000) if algorithm == "sliding" else (1, 2**53, 10**16):
        for mode in ("enforce", "observe"):
            both, clock.now_ms = Both(store, clock), NOON_MS
            spent = limit(most, increment_from="args.n", algorithm=algorithm, mode=mode)
            both.install(compiled({"t": {"limits": [spent]}}))
            for amount in (*AMOUNTS, *AMOUNTS):
                clock.now_ms += 700
                decision = await both.call(call(n=amount))
                if mode == "observe" and amount == 2**53 + 1:
                    await both.refund(decision.charges)
    await store.close()


async def test_a_long_sliding_log_stays_exact_and_says_when_there_will_be_room(redis: RedisServer) -> None:
    clock = Clock()
    store = await open_at(redis.url, clock)
    both, clock.now_ms = Both(store, clock), NOON_MS
    both.install(compiled({"t": {"limits": [limit(300, algorithm="sliding", increment_from="args.n")]}}))
    random = Random(7)
    for _ in range(400):
        clock.now_ms += random.choice((0, 1, 90, 250, 500))
        await both.call(call(n=random.choice((0, 1, 1, 2, 2.5, 40))))
    clock.now_ms -= 45_000
    for _ in range(20):
        await both.call(call(n=1))
    await store.close()


async def test_a_limit_that_becomes_sliding_counts_what_its_windows_hold(redis: RedisServer) -> None:
    clock = Clock()
    store = await open_at(redis.url, clock)
    both, clock.now_ms = Both(store, clock), NOON_MS
    both.install(compiled({"t": {"limits": [limit(50)]}}))
    for _ in range(80):
        clock.now_ms += 4_000
        await both.call(call())
    both.install(compiled({"t": {"limits": [limit(5, algorithm="sliding")]}}))
    for _ in range(40):
        clock.now_ms += 4_000
        await both.call(call())
    await store.close()


@pytest.mark.parametrize("algorithm", ["fixed", "sliding"])
async def test_of_many_windows_as_many_are_kept_for_a_clock_that_jumps_back(redis: RedisServer, algorithm: str) -> None:
    clock = Clock()
    store = await open_at(redis.url, clock)
    both, clock.now_ms = Both(store, clock), NOON_MS
    both.install(compiled({"t": {"limits": [limit(50, algorithm=algorithm, increment=0.5)]}}))
    for _ in range(150):
        clock.now_ms += 61_000
        await both.call(call())
    for back_ms in (600_000, 1_200_000, 1_800_000, 7_200_000):
        clock.now_ms -= back_ms
        for _ in range(3):
            await both.call(call())
    await store.close()


@pytest.mark.slow
async def test_of_a_log_that_is_too_long_the_oldest_are_joined(redis: RedisServer) -> None:
    clock = Clock()
    store = await open_at(redis.url, clock)
    both, clock.now_ms = Both(store, clock), NOON_MS
    watched = limit(10_000, window="day", algorithm="sliding", mode="observe")
    both.install(compiled({"t": {"limits": [watched]}}))
    for _ in range(20_001):
        clock.now_ms += 1
        both.memory.admit(call(), clock.now_ms)
        await admit(both.redis, call())
    await both.call(call())
    clock.now_ms += 86_400_000 - 15_000
    await both.call(call())
    await store.close()


async def test_of_an_argument_only_a_hash_is_part_of_a_key(redis: RedisServer) -> None:
    store = await open_at(redis.url)
    hostile = 'x\r\nFLUSHALL\r\n{"}*\u0000\ud800' * 3
    counters = store.of("hostile")
    engine = Engine(shared=counters)
    engine.install(compiled({"t": {"limits": [limit(5, scope="args.x")]}}))
    assert (await admit(engine, call(x=hostile))).verdict == "allow"
    assert b"FLUSH" not in redis.command("KEYS", "*")
    assert [(state.used, state.value) for state in await counters.states(engine)] == [(1, hostile)]
    await store.close()
