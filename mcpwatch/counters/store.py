"""The counters of all upstreams of one gateway, in one Redis: opened at the start, one handle for each upstream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from mcpwatch.counters.line import WAIT_S, Line
from mcpwatch.counters.place import RedisPlace, client_options
from mcpwatch.counters.script import (
    Reply,
    charge_question,
    counter_of,
    index_key,
    look_question,
    refund_question,
)
from mcpwatch.errors import CountersError
from mcpwatch.policy.demands import Answer, Demand
from mcpwatch.policy.engine import MOST_SHOWN, Engine
from mcpwatch.policy.values import Charge, CounterKey, CounterState

log = logging.getLogger("mcpwatch")

_LOOKS: Final = 100
"""Counters that are looked at in one step when all are listed: Redis does nothing else meanwhile."""


class RedisCounters:
    """One Redis. `state` is `ok` or `failed`, `error` why; `shown` is its address without the password."""

    def __init__(self, redis: Redis, line: Line, shown: str) -> None:
        self.shown = shown
        self._redis: Any = redis
        self._line = line

    @classmethod
    async def open(
        cls,
        place: RedisPlace,
        *,
        on_state: Callable[[str, str], None] = lambda state, error: None,
        on_lost: Callable[[], None] = lambda: None,
        now_ms: Callable[[], int] | None = None,
    ) -> RedisCounters:
        """Raises CountersError when it cannot be reached or does not let us count. For the rest see `Line`."""
        redis = cast(Any, Redis).from_url(place.url, retry=Retry(NoBackoff(), 0), **client_options(place))

        def told(state: str, error: str) -> None:
            on_state(state, place.hide(error))

        counters = cls(redis, Line(redis, on_state=told, on_lost=on_lost, now_ms=now_ms), place.shown)
        try:
            await counters._line.start()
        except BaseException as fault:
            await counters.close()
            if isinstance(fault, CountersError):
                raise CountersError(place.hide(str(fault)), refused=fault.refused) from None
            raise
        return counters

    @property
    def state(self) -> str:
        return self._line.state

    @property
    def error(self) -> str:
        return self._line.error

    def of(self, upstream: str) -> UpstreamCounters:
        """The counters of one upstream: gateways that call an upstream by the same name share them."""
        return UpstreamCounters(self._redis, self._line, upstream, self.shown)

    async def forgets(self) -> str:
        """How this Redis throws data away when its memory is full, "" when it does not or does not say."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(WAIT_S):
                memory: dict[str, Any] = await self._redis.info("memory")
            policy = str(memory.get("maxmemory_policy", "noeviction"))
            return "" if policy == "noeviction" or not memory.get("maxmemory") else policy
        return ""

    async def close(self) -> None:
        await self._line.stop()
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()


class UpstreamCounters:
    """Implements `policy.demands.SharedCounters`. All engines of one upstream use the same one."""

    def __init__(self, redis: Any, line: Line, upstream: str, shown: str) -> None:
        self._redis = redis
        self._line = line
        self._upstream = upstream
        self._shown = shown
        self._sliding: frozenset[tuple[str, int]] = frozenset()

    def watch(self, sliding: Iterable[tuple[str, int]]) -> None:
        self._sliding |= frozenset(sliding)

    async def ask(self, demands: tuple[Demand, ...], counted: tuple[Charge, ...] = ()) -> Answer:
        question = charge_question(self._upstream, demands, self._sliding, counted)
        try:
            return (await self._line.ask(question)).answer
        except CountersError as fault:
            raise CountersError(f"no answer of the counters in {self._shown}: {fault}") from None

    def refund(self, charges: Iterable[Charge]) -> None:
        """Whatever was charged stays so when Redis does not answer: too much is counted rather than too little."""
        given_back = tuple(charges)
        if given_back:
            self._line.post(refund_question(self._upstream, given_back)).add_done_callback(_tell_unpaid)

    async def states(self, engine: Engine) -> list[CounterState]:
        """The counters in use that a limit of the engine's policy looks at, whichever gateway counted; of very many
        those that last longest. Raises CountersError."""
        if self._line.state != "ok":
            raise CountersError(self._line.error)
        return await self.looked_at(engine, await self._live())

    async def looked_at(self, engine: Engine, keys: Iterable[CounterKey]) -> list[CounterState]:
        """The same of these counters."""
        limits = engine.limits_on(keys)
        states: list[CounterState] = []
        for first in range(0, len(limits), _LOOKS):
            part = limits[first : first + _LOOKS]
            demands = tuple(Demand(key, limit.sliding, None, limit.max, limit.observing) for limit, key in part)
            answer = (await self._line.ask(look_question(self._upstream, demands, self._sliding))).answer
            states += engine.states(part, answer, answer.now_ms)
        return states

    async def _live(self) -> list[CounterKey]:
        try:
            async with asyncio.timeout(WAIT_S):
                members: list[bytes] = await self._redis.zrevrange(index_key(self._upstream), 0, MOST_SHOWN - 1)
            return [counter_of(member) for member in members]
        except (RedisError, OSError, TimeoutError, ValueError, TypeError) as fault:
            raise CountersError(f"its counters cannot be listed ({type(fault).__name__})") from fault


def _tell_unpaid(done: asyncio.Future[Reply]) -> None:
    if not done.cancelled() and done.exception() is not None:
        log.warning("a call that was not sent stays counted: the counters gave no answer (%s)", done.exception())
