"""Gateways on counters in Redis: what callers and the audit see, and that two of them are one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mcpwatch.counters.store import RedisCounters
from mcpwatch.gateway.http_link.link import HttpLink
from tests.counters.both import open_at
from tests.counters.redis_server import RedisServer, needs_redis
from tests.gateway.house import House, call, house, modern, until

pytestmark = needs_redis


def limited(most: int = 10, **more: Any) -> dict[str, Any]:
    limits = [{"counter": "c", "window": "day", "max": most, **more}]
    return {"version": "1", "default": "allow", "tools": {"t": {"limits": limits}}}


@pytest.fixture
async def store(own_redis: RedisServer) -> AsyncIterator[RedisCounters]:
    found = await open_at(own_redis.url)
    yield found
    await found.close()


async def used(store: RedisCounters, h: House) -> list[int | float]:
    return [state.used for state in await store.of("up").states(h.engine)]


async def test_the_last_call_within_a_limit_passes_and_the_next_is_told_when_to_try_again(store: RedisCounters) -> None:
    async with house(limited(2), shared=store.of("up")) as h:
        assert [(await h.post(call("t"))).text for _ in range(2)] == ["done", "done"]
        reply = await h.post(call("t"))
        assert reply.text.startswith("[POLICY DENIED] Rate limit of 2 per day reached. Try again in ")
        facts = reply.json["result"]["_meta"]["mcpwatch/decision"]
        assert (facts["rule"], facts["used"], facts["max"]) == ("/tools/t/limits/c", 2, 2)
        assert [row.counters[0].used for row in h.journal.rows] == [1, 2, 2]
        assert len(h.upstream.calls()) == 2


@pytest.mark.parametrize("algorithm", ["fixed", "sliding"])
async def test_two_gateways_on_one_redis_admit_exactly_the_limit_together(
    own_redis: RedisServer, store: RedisCounters, algorithm: str
) -> None:
    other = await open_at(own_redis.url)
    policy = limited(10, algorithm=algorithm)
    async with house(policy, shared=store.of("up")) as one, house(policy, shared=other.of("up")) as two:
        await asyncio.gather(*(h.post(call("t", message_id=n)) for h in (one, two) for n in range(60)))
        assert len(one.upstream.calls()) + len(two.upstream.calls()) == 10
        assert await used(store, one) == await used(other, two) == [10]
    await other.close()


async def test_without_redis_only_calls_that_reach_a_limit_are_refused(
    own_redis: RedisServer, store: RedisCounters
) -> None:
    policy = limited()
    policy["tools"]["t"]["deny_if"] = [{"conditions": [{"path": "args.bad", "op": "exists", "value": True}]}]
    policy["tools"]["watched"] = {"limits": [{"counter": "w", "window": "day", "max": 1, "mode": "observe"}]}
    async with house(policy, shared=store.of("up")) as h:
        own_redis.end()
        refused = await h.post(call("t"))
        assert refused.text == (
            "[POLICY DENIED] The counters of this tool's limits cannot be reached, so the call is not let through. "
            "Try again later."
        )
        row = h.journal.rows[-1]
        assert (row.decision, row.rule, row.charges) == ("deny", "(counters)", ())
        assert row.reason.startswith("no answer of the counters in redis://127.0.0.1:")
        assert (await h.post(call("other"))).text == "done"
        assert "deny_if" in (await h.post(call("t", {"bad": 1}))).json["result"]["_meta"]["mcpwatch/decision"]["rule"]
        assert (await h.post(call("watched"))).text == "done"
        row = h.journal.rows[-1]
        assert (row.decision, row.would_deny, row.reason) == ("allow", "(counters)", "observed only: (counters)")
        own_redis.start()
        await until(lambda: store.state == "ok")
        assert (await h.post(call("t"))).text == "done"


async def test_a_call_that_could_not_be_sent_or_recorded_counts_nothing(store: RedisCounters) -> None:
    async with house(limited(), shared=store.of("up")) as h:
        assert (await h.post(call("t"))).text == "done"
        h.journal.broken = True
        assert "audit" in (await h.post(call("t"))).text
        assert await used(store, h) == [1]
        h.journal.broken = False
        h.links["up"] = HttpLink("up", "http://127.0.0.1:1/mcp")
        assert (await h.post(call("t"))).json["error"]["code"] == -32603
        assert h.journal.outcomes[-1].outcome == "not_sent"
        assert await used(store, h) == [1]


async def test_a_held_call_is_counted_when_it_is_approved(store: RedisCounters) -> None:
    policy = limited(1)
    policy["tools"]["t"]["approve_if"] = [{"conditions": [], "name": "ask", "timeout": "30s"}]
    async with house(policy, shared=store.of("up")) as h:
        for expected in ("done", "[POLICY DENIED] Rate limit of 1 per day reached."):
            waiting = asyncio.create_task(h.post(call("t")))
            await until(h.gateway.holds.waiting)
            assert await used(store, h) == ([1] if "POLICY" in expected else [])
            await h.gateway.holds.decide(h.gateway.holds.waiting()[0].record.call_id, approve=True, by="ann")
            assert (await waiting).text.startswith(expected)
        assert await used(store, h) == [1]


async def test_a_call_that_asks_for_input_is_the_same_call_when_it_comes_back(store: RedisCounters) -> None:
    async with house(limited(1), shared=store.of("up")) as h:
        h.upstream.answers["tools/call"] = {"resultType": "input_required", "requestState": "s1", "inputRequests": {}}
        await h.post(*modern(call("t")))
        h.upstream.answers.clear()
        retry, headers = modern(call("t", requestState="s1", inputResponses={}, message_id=2))
        assert (await h.post(retry, headers)).text == "done"
        assert [len(row.charges) for row in h.journal.rows] == [1, 0]
        assert (await h.post(retry, headers)).json["result"]["isError"]
        assert await used(store, h) == [1]


async def test_an_edit_of_the_policy_keeps_what_was_used(store: RedisCounters) -> None:
    async with house(limited(7), shared=store.of("up")) as h:
        for _ in range(7):
            await h.post(call("t"))
        h.install({"version": "1", "default": "allow"})
        assert (await h.post(call("t"))).text == "done"
        h.install(limited(5))
        assert "Rate limit of 5 per day reached" in (await h.post(call("t"))).text
        assert await used(store, h) == [7]


async def test_upstreams_of_other_names_do_not_share(store: RedisCounters) -> None:
    async with house(limited(1), shared=store.of("up")) as one, house(limited(1), shared=store.of("other")) as two:
        assert (await one.post(call("t"))).text == "done"
        assert (await two.post(call("t"))).text == "done"
