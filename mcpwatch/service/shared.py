"""Counters that several gateways share, as the service starts them, as operators see them, and what is said of them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mcpwatch.config import GatewayOptions
from mcpwatch.errors import ConfigError, CountersError
from mcpwatch.events import CountersState
from mcpwatch.gateway.link import UpstreamError
from mcpwatch.policy.values import CounterState
from mcpwatch.records import rfc3339
from mcpwatch.service.log import log

if TYPE_CHECKING:
    from mcpwatch.counters.store import RedisCounters, UpstreamCounters
    from mcpwatch.service.policies import Policies

MEMORY: Final = "memory:"
_PACKAGE: Final = "redis>=6,<9"
_NEEDED: Final = (
    "Check the address and the password. Redis 5 or newer is needed, no cluster, with the right to run scripts "
    "and to read and write mcpwatch:*"
)


class SharedCounters:
    """One Redis and what it said last: `states` are the counters in use of each upstream, as of the last `refresh`."""

    def __init__(self, publish: Callable[[CountersState], None], now_ms: Callable[[], int]) -> None:
        self.states: dict[str, list[CounterState]] = {}
        self.shown = ""
        self._publish = publish
        self._now_ms = now_ms
        self._store: RedisCounters | None = None
        self._counters: dict[str, UpstreamCounters] = {}
        self._emptied_at_ms: int | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def open(self, options: GatewayOptions) -> None:
        """Raises ConfigError when the address, the package or a right is missing, UpstreamError when nobody answers."""
        from mcpwatch.counters.place import redis_place

        place = redis_place(options.counters, os.environ)
        self.shown = place.shown
        try:
            from mcpwatch.counters.store import RedisCounters
        except ModuleNotFoundError as fault:
            if fault.name != "redis":
                raise
            raise ConfigError(
                "--counters in Redis needs the Python package redis, which is not installed",
                f"Install it: {sys.executable} -m pip install '{_PACKAGE}'",
            ) from None
        try:
            self._store = await RedisCounters.open(place, on_state=self._changed, on_lost=self._lost)
        except CountersError as fault:
            raise _cannot_start(place.shown, fault) from None
        log.info("counters in %s", place.shown)
        forgets = await self._store.forgets()
        if forgets:
            log.warning(
                "the Redis at %s drops data when its memory is full (maxmemory-policy %s), which would open spent "
                "limits again: set it to noeviction",
                place.shown,
                forgets,
            )

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        if self._store is not None:
            await self._store.close()

    def of(self, upstream: str) -> UpstreamCounters:
        """The counters of one upstream, always the same object. After `open`."""
        assert self._store is not None
        found = self._counters.get(upstream)
        if found is None:
            found = self._counters[upstream] = self._store.of(upstream)
        return found

    async def refresh(self, policies: Policies) -> None:
        """Ask Redis for the counters in use; several who want to know at once share one look."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(policies))
        await asyncio.shield(self._refreshing)

    async def _refresh(self, policies: Policies) -> None:
        for judge in policies.judges():
            try:
                self.states[judge.upstream] = await self.of(judge.upstream).states(judge.engine)
            except CountersError:
                # What is not known is not shown; why, is said by the state.
                self.states[judge.upstream] = []

    def status(self) -> dict[str, str | None]:
        """For `status --json`: where they are, whether they answer, and when they were found emptied."""
        assert self._store is not None
        state = self._event(self._store.state, self._store.error)
        emptied = None if state.emptied_at_ms is None else rfc3339(state.emptied_at_ms)
        return {"store": state.store, "state": state.state, "error": state.error or None, "emptied_at": emptied}

    def _changed(self, state: str, error: str) -> None:
        if self._store is None:
            return
        what = f": {error}; calls that reach a limit are refused" if error else ""
        (log.info if state == "ok" else log.error)("counters in %s %s%s", self.shown, state, what)
        self._publish(self._event(state, error))

    def _lost(self) -> None:
        self._emptied_at_ms = self._now_ms()
        log.error("the counters in %s were emptied: every limit counts from zero again", self.shown)
        self._publish(self._event("ok", ""))

    def _event(self, state: str, error: str) -> CountersState:
        return CountersState(self._now_ms(), state, error, self.shown, self._emptied_at_ms)


def _cannot_start(shown: str, fault: CountersError) -> Exception:
    text = f"cannot keep counters in {shown}: {fault}"
    if fault.refused:
        return ConfigError(text, _NEEDED)
    return UpstreamError(text, "Start that Redis, or leave --counters out: then each gateway counts for itself.")
