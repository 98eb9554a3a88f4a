"""How much of each limit is used. Values in, values out: the time is always an argument.

A counter keeps what was charged and when, and a question names the moment from which on charges count: the beginning of
a fixed window, or one length before now for a sliding one. When the clock jumps back, that moment is earlier, so
everything charged since still counts: a spent window is never opened again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from mcpwatch.policy.amounts import Exact, exact
from mcpwatch.policy.values import Charge, CounterKey

MOST_COUNTERS: Final = 250_000
MOST_ENTRIES: Final = 10_000
"""Entries of one sliding log; beyond that the oldest are joined, counting as late as the latest of them."""
KEPT_ENTRIES: Final = 32
"""Expired entries that a counter keeps for a clock that jumps back."""
FIRST_SWEEP: Final = 4_096
SWEEP_PAUSE_MS: Final = 1_000
"""A full table is not searched for expired counters more often than this."""


class Ledger:
    """Amounts by time, oldest first, with their running total: any sum from a moment on is one subtraction."""

    __slots__ = ("before", "times", "totals")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.totals: list[Exact] = []
        self.before: Exact = 0

    def since(self, moment_ms: int) -> Exact:
        """What was added at `moment_ms` or later."""
        times = self.times
        if not times or times[-1] < moment_ms:
            return 0
        if times[-1] == moment_ms:
            return self.totals[-1] - (self.totals[-2] if len(times) > 1 else self.before)
        first = bisect_left(times, moment_ms)
        return self.totals[-1] - (self.totals[first - 1] if first else self.before)

    def add(self, at_ms: int, amount: Exact) -> None:
        times = self.times
        if not times or times[-1] < at_ms:
            self.totals.append((self.totals[-1] if times else self.before) + amount)
            times.append(at_ms)
            return
        index = bisect_left(times, at_ms)
        if times[index] != at_ms:
            times.insert(index, at_ms)
            self.totals.insert(index, self.totals[index - 1] if index else self.before)
        self._shift(index, amount)

    def take_back(self, at_ms: int, amount: Exact) -> None:
        """Undo an `add`; what was joined or dropped since stays as it is."""
        index = bisect_left(self.times, at_ms)
        if index == len(self.times) or self.times[index] != at_ms:
            return
        there = self.totals[index] - (self.totals[index - 1] if index else self.before)
        self._shift(index, -min(amount, there))

    def _shift(self, index: int, amount: Exact) -> None:
        totals = self.totals
        for at in range(index, len(totals)):
            totals[at] += amount

    def drop_expired(self, live_from_ms: int, keep: int) -> None:
        """Forget entries older than `live_from_ms`, except the `keep` latest entries of all."""
        expired = min(bisect_left(self.times, live_from_ms), len(self.times) - keep)
        if expired > 0:
            self.before = self.totals[expired - 1]
            del self.times[:expired], self.totals[:expired]

    def join_oldest(self, most: int) -> None:
        """Bring the number of entries down to `most`; joined amounts count as late as the latest of them."""
        surplus = len(self.times) - most
        if surplus > 0:
            del self.times[:surplus], self.totals[:surplus]

    def freed_at(self, since_ms: int, surplus: Exact) -> int | None:
        """The time of the entry with which `surplus` of what counts since `since_ms` will have expired."""
        first = bisect_left(self.times, since_ms)
        before = self.totals[first - 1] if first else self.before
        for index in range(first, len(self.times)):
            if self.totals[index] - before >= surplus:
                return self.times[index]
        return None


class Counter:
    """One counter: by window, and to the millisecond once a sliding limit asks."""

    __slots__ = ("log", "window_ms", "windows")

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self.windows = Ledger()
        self.log: Ledger | None = None

    def add(self, amount: Exact, now_ms: int) -> None:
        start = now_ms - now_ms % self.window_ms
        windows = self.windows
        if windows.times and windows.times[-1] == start:
            windows.totals[-1] += amount
        else:
            windows.add(start, amount)
            if len(windows.times) > 2 * KEPT_ENTRIES:
                windows.drop_expired(start, KEPT_ENTRIES)
        if self.log is not None:
            self._log(self.log, amount, now_ms)

    def _log(self, log: Ledger, amount: Exact, now_ms: int) -> None:
        log.add(now_ms, amount)
        if len(log.times) > 2 * KEPT_ENTRIES:
            log.drop_expired(now_ms - self.window_ms + 1, KEPT_ENTRIES)
            if len(log.times) > 2 * MOST_ENTRIES:
                log.join_oldest(MOST_ENTRIES)

    def take_back(self, amount: Exact, at_ms: int) -> None:
        self.windows.take_back(at_ms - at_ms % self.window_ms, amount)
        if self.log is not None:
            self.log.take_back(at_ms, amount)

    def sliding(self) -> Ledger:
        """The exact log. When there is none yet it is made of the windows: charges count to the end of theirs."""
        if self.log is None:
            self.log = log = Ledger()
            for start, amount in entries(self.windows):
                log.add(start + self.window_ms - 1, amount)
        return self.log

    def expired(self, now_ms: int) -> bool:
        times = self.windows.times
        return not times or times[-1] + 2 * self.window_ms <= now_ms


def entries(ledger: Ledger) -> Iterator[tuple[int, Exact]]:
    """The ledger's times with the amount of each."""
    before = ledger.before
    for at_ms, total in zip(ledger.times, ledger.totals, strict=True):
        yield at_ms, total - before
        before = total


class Counters:
    """All counters of one upstream. May be shared by several engines; nothing in it waits."""

    def __init__(self) -> None:
        self._table: dict[CounterKey, Counter] = {}
        self._sliding: set[tuple[str, int]] | None = None
        self._sweep_at = FIRST_SWEEP
        self._full_until_ms = 0

    def __len__(self) -> int:
        return len(self._table)

    def watch(self, sliding: Iterable[tuple[str, int]]) -> None:
        """Say which counters (name, window in ms) must be kept to the millisecond from now on."""
        self._sliding = (self._sliding or set()).union(sliding)

    def look(self, key: CounterKey, sliding: bool, now_ms: int) -> tuple[Exact, int]:
        """What counts at `now_ms`, and when the first of it expires (ms since 1970)."""
        window_ms = key[2]
        counter = self._table.get(key)
        if sliding:
            since_ms = now_ms - window_ms + 1
            log = None if counter is None else counter.sliding()
            oldest = None if log is None else log.freed_at(since_ms, 0)
            return (0 if log is None else log.since(since_ms)), (now_ms if oldest is None else oldest) + window_ms
        start = now_ms - now_ms % window_ms
        if counter is None:
            return 0, start + window_ms
        return counter.windows.since(start), max(start, counter.windows.times[-1]) + window_ms

    def free_at(self, key: CounterKey, sliding: bool, now_ms: int, surplus: Exact) -> int:
        """When `surplus` of what counts at `now_ms` will have expired (ms since 1970)."""
        counter = self._table.get(key)
        if counter is None or not sliding:
            return self.look(key, sliding, now_ms)[1]
        entry = counter.sliding().freed_at(now_ms - key[2] + 1, surplus)
        return (now_ms if entry is None else entry) + key[2]

    def charge(self, key: CounterKey, amount: Exact, now_ms: int) -> None:
        """Count `amount` at `now_ms`. Raises OverflowError when there are too many live counters for one more."""
        counter = self._table.get(key)
        if counter is None:
            counter = self._open(key, now_ms)
        elif counter.log is not None and self._sliding is not None and (key[0], key[2]) not in self._sliding:
            counter.log = None
        counter.add(amount, now_ms)

    def _open(self, key: CounterKey, now_ms: int) -> Counter:
        if len(self._table) >= self._sweep_at:
            self.sweep(now_ms)
        counter = self._table[key] = Counter(key[2])
        if self._sliding is None or (key[0], key[2]) in self._sliding:
            counter.log = Ledger()
        return counter

    def sweep(self, now_ms: int) -> None:
        """Drop counters whose last window is over. Raises OverflowError when too many are left."""
        if now_ms >= self._full_until_ms:
            for key in [key for key, counter in self._table.items() if counter.expired(now_ms)]:
                del self._table[key]
        if len(self._table) >= MOST_COUNTERS:
            self._full_until_ms = now_ms + SWEEP_PAUSE_MS if now_ms >= self._full_until_ms else self._full_until_ms
            raise OverflowError(f"more than {MOST_COUNTERS:,} live counters")
        self._full_until_ms = now_ms
        self._sweep_at = min(MOST_COUNTERS, max(FIRST_SWEEP, 2 * len(self._table)))

    def refund(self, charges: Iterable[Charge]) -> None:
        """Take back what was charged for a call that could not be sent."""
        for charge in charges:
            counter = self._table.get(charge.key)
            if counter is not None:
                counter.take_back(exact(charge.amount), charge.at_ms)

    def restore(self, charges: Iterable[Charge]) -> None:
        """Count what an audit log says was charged, oldest first."""
        for charge in charges:
            self.charge(charge.key, exact(charge.amount), charge.at_ms)

    def newest(self, most: int) -> list[CounterKey]:
        """The `most` counters opened last, oldest first; also those with nothing live in them."""
        return list(islice(reversed(self._table), most))[::-1]
