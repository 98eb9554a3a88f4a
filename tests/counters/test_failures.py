"""Redis away, hung, emptied, full, or something else altogether: no answer means no call, and it heals by itself."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mcpwatch.counters import line
from mcpwatch.counters.place import redis_place
from mcpwatch.counters.store import RedisCounters
from mcpwatch.errors import CountersError
from mcpwatch.policy.engine import Engine
from tests.counters.both import Clock, admit, open_at
from tests.counters.redis_server import RedisServer, needs_redis
from tests.gateway.house import DEADLINE_S, until
from tests.policy.build import call, compiled, limit

pytestmark = needs_redis


class Watched:
    """A store, one engine on it, and what was told of it."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []
        self.lost = 0
        self.store: RedisCounters | None = None
        self.engine = Engine()

    async def open(self, url: str) -> None:
        self.store = await RedisCounters.open(redis_place(url, {}), on_state=self._tell, on_lost=self._lose)
        self.engine = Engine(shared=self.store.of("up"))
        self.engine.install(compiled({"t": {"limits": [limit(100, window="day")]}}))

    def _tell(self, state: str, error: str) -> None:
        self.states.append((state, error))

    def _lose(self) -> None:
        self.lost += 1

    async def used(self) -> int | float:
        """What one more call finds counted, itself included."""
        return (await admit(self.engine, call())).counters[0].used

    async def ok(self) -> None:
        assert self.store is not None
        await until(lambda: self.store and self.store.state == "ok")


@pytest.fixture
async def watched(own_redis: RedisServer) -> AsyncIterator[Watched]:
    found = Watched()
    await found.open(own_redis.url)
    yield found
    assert found.store is not None
    await found.store.close()


async def test_a_killed_redis_refuses_at_once_and_one_that_is_back_counts_again(
    own_redis: RedisServer, watched: Watched
) -> None:
    assert await watched.used() == 1
    own_redis.end()
    began = time.monotonic()
    with pytest.raises(CountersError, match=r"no answer of the counters in redis://127.0.0.1"):
        await watched.used()
    assert time.monotonic() - began < 2.5
    assert watched.states[-1][0] == "failed"
    own_redis.start()
    await watched.ok()
    assert await watched.used() == 1
    assert watched.states[-1] == ("ok", "")
    assert watched.lost == 1


async def test_a_hung_redis_refuses_within_two_seconds_and_counts_none_of_it_later(
    own_redis: RedisServer, watched: Watched
) -> None:
    assert await watched.used() == 1
    own_redis.send(signal.SIGSTOP)
    began = time.monotonic()
    calls = [asyncio.create_task(watched.used()) for _ in range(300)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - began < 2.5
    assert all(isinstance(result, CountersError) for result in results)
    began = time.monotonic()
    with pytest.raises(CountersError):
        await watched.used()
    assert time.monotonic() - began < 0.5
    own_redis.send(signal.SIGCONT)
    await watched.ok()
    assert await watched.used() == 2


async def test_a_redis_that_lost_the_script_is_told_it_again(own_redis: RedisServer, watched: Watched) -> None:
    assert await watched.used() == 1
    own_redis.command("SCRIPT", "FLUSH")
    found = await asyncio.gather(*(watched.used() for _ in range(20)))
    assert sorted(found) == list(range(2, 22))
    assert watched.states == []


async def test_an_emptied_redis_is_noticed_at_the_next_answer(own_redis: RedisServer, watched: Watched) -> None:
    assert await watched.used() == 1
    own_redis.command("FLUSHALL")
    assert (await watched.used(), watched.lost) == (1, 1)
    assert (await watched.used(), watched.lost) == (2, 1)


async def test_a_full_redis_refuses_until_there_is_room(own_redis: RedisServer, watched: Watched) -> None:
    assert await watched.used() == 1
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(CountersError, match="maxmemory"):
        await admit(watched.engine, call(grant="new"))
    with pytest.raises(CountersError, match="maxmemory"):
        await watched.used()
    assert watched.states[-1][0] == "failed"
    own_redis.command("CONFIG", "SET", "maxmemory", "0")
    await watched.ok()
    assert await watched.used() == 2


async def test_a_counter_that_somebody_overwrote_refuses_its_own_calls_only(
    own_redis: RedisServer, watched: Watched
) -> None:
    assert await watched.used() == 1
    reply = own_redis.command("KEYS", "*:w").decode()
    (key,) = (line for line in reply.splitlines() if line.endswith(":w"))
    own_redis.command("SET", key, "garbage")
    with pytest.raises(CountersError, match=r"WRONGTYPE"):
        await watched.used()
    assert (await admit(watched.engine, call(grant="other"))).verdict == "allow"
    own_redis.command("DEL", key)
    assert own_redis.command("ZADD", key, "1", "no entry").startswith(b":")
    with pytest.raises(CountersError, match="somebody else has written"):
        await watched.used()
    assert (await admit(watched.engine, call(grant="other"))).verdict == "allow"


async def test_a_clock_that_jumps_refuses_nobody(watched: Watched) -> None:
    assert await watched.used() == 1
    assert watched.store is not None
    line = watched.store._line  # pyright: ignore[reportPrivateUsage]
    for hour_ms in (3_600_000, -3_600_000):
        assert line._ahead_ms is not None  # pyright: ignore[reportPrivateUsage]
        line._ahead_ms += hour_ms  # pyright: ignore[reportPrivateUsage]
        await watched.used()
    assert await watched.used() == 4
    assert watched.states == []


async def test_a_listener_that_fails_keeps_nobody_waiting(own_redis: RedisServer) -> None:
    def fail(state: str, error: str) -> None:
        raise RuntimeError("nobody listens")

    store = await RedisCounters.open(redis_place(own_redis.url, {}), on_state=fail)
    engine = Engine(shared=store.of("up"))
    engine.install(compiled({"t": {"limits": [limit(100)]}}))
    own_redis.end()
    with pytest.raises(CountersError):
        await admit(engine, call())
    own_redis.start()
    await until(lambda: store.state == "ok")
    assert (await admit(engine, call())).verdict == "allow"
    await store.close()


async def test_what_a_caller_did_not_wait_for_is_given_back(watched: Watched) -> None:
    assert await watched.used() == 1
    gone = [asyncio.create_task(watched.used()) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert all(task.cancelled() for task in gone)
    await watched.used()
    assert await watched.used() == 3


async def test_everything_about_a_counter_expires(own_redis: RedisServer, watched: Watched) -> None:
    decision = await admit(watched.engine, call())
    watched.engine.refund(decision.charges)
    await admit(watched.engine, call(grant="another"))
    keys = [line for line in own_redis.command("KEYS", "*").decode().splitlines() if line.startswith("mcpwatch:up")]
    assert {key.rpartition(":")[2] for key in keys} == {"index", "w"}
    for key in keys:
        left = int(own_redis.command("PTTL", key).decode().strip()[1:])
        assert 86_400_000 < left <= 2 * 86_400_000 + 60_000


async def test_more_counters_than_there_may_be_are_an_internal_denial_as_in_memory(
    own_redis: RedisServer, watched: Watched
) -> None:
    await watched.used()
    filling = "for i = 1, 250000 do redis.call('ZADD', KEYS[1], 9e15, i) end"
    own_redis.command("EVAL", filling, "1", "mcpwatch:up:index")
    decision = await admit(watched.engine, call(grant="one more"))
    assert (decision.verdict, decision.rule, decision.reason) == (
        "deny",
        "/internal",
        "the evaluation failed (OverflowError)",
    )
    assert await watched.used() == 2


async def test_a_server_that_is_no_redis_is_told_from_one() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CountersError):
            await open_at(f"redis://127.0.0.1:{port}")


async def test_a_wrong_password_is_in_no_fault(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--requirepass", "right-and-long")
    server.start()
    try:
        with pytest.raises(CountersError, match=r"WRONGPASS|invalid username-password") as caught:
            await open_at(server.url.replace("//", "//:wrong-and-long@"))
        assert "wrong-and-long" not in str(caught.value)
        with pytest.raises(CountersError, match=r"[Aa]uthentication"):
            await open_at(server.url)
        store = await open_at(server.url.replace("//", "//:right-and-long@"))
        assert store.state == "ok"
        await store.close()
    finally:
        server.end()


@pytest.mark.parametrize(("policy", "told"), [("allkeys-lru", "allkeys-lru"), ("noeviction", "")])
async def test_a_redis_that_throws_data_away_is_told(own_redis: RedisServer, policy: str, told: str) -> None:
    own_redis.command("CONFIG", "SET", "maxmemory", "100mb")
    own_redis.command("CONFIG", "SET", "maxmemory-policy", policy)
    store = await open_at(own_redis.url)
    assert await store.forgets() == told
    await store.close()


async def test_closing_ends_whatever_is_under_way(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "PROBE_S", 0.0)
    monkeypatch.setattr(line, "QUIET_S", -1.0)
    for turns in range(60):
        store = await open_at(redis.url, Clock())
        for _ in range(turns % 12):
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            await store.close()
