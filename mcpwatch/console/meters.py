"""Figures over the last seconds: counts a second, shares of a limit, latencies."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from mcpwatch.console.ring import moment_ms
from mcpwatch.console.wire import number

_ENOUGH = 3
"""Fewer than this used in that time is no rate that says anything about the future."""

_SOON_MS = 120_000

RATE_SECONDS = 20
"""How far back "the current rate" of a limit looks."""


class Series:
    """Counts per second over the last `seconds`."""

    __slots__ = ("_counts", "_newest", "seconds")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._counts: list[float] = [0] * seconds
        self._newest = 0

    def add(self, at_ms: int, amount: float = 1) -> None:
        second = at_ms // 1000
        if second > self._newest:
            self._roll(second)
        elif second <= self._newest - self.seconds:
            return
        self._counts[second % self.seconds] += amount

    def last(self, now_ms: int, seconds: int) -> list[float]:
        """Counts of the last `seconds` whole or begun seconds, oldest first."""
        now = now_ms // 1000
        return [self._at(second) for second in range(now - seconds + 1, now + 1)]

    def bars(self, now_ms: int, count: int, seconds: int) -> list[float]:
        """`count` sums of `seconds` each, oldest first; the newest ends now."""
        values = self.last(now_ms, count * seconds)
        return [sum(values[start : start + seconds]) for start in range(0, count * seconds, seconds)]

    def rate(self, now_ms: int, seconds: int) -> float:
        """Average a second over the last `seconds` complete seconds."""
        return sum(self.last(now_ms - 1000, seconds)) / seconds

    def _at(self, second: int) -> float:
        known = self._newest - self.seconds < second <= self._newest
        return self._counts[second % self.seconds] if known else 0

    def _roll(self, second: int) -> None:
        for gone in range(max(self._newest + 1, second - self.seconds + 1), second + 1):
            self._counts[gone % self.seconds] = 0
        self._newest = second


class Latencies:
    """The last thousand answers' times, for percentiles over one minute."""

    def __init__(self) -> None:
        self._times: deque[tuple[int, float]] = deque(maxlen=1000)

    def add(self, at_ms: int, latency_ms: float) -> None:
        self._times.append((at_ms, latency_ms))

    def percentile(self, now_ms: int, share: float) -> float | None:
        """The time that `share` (0 to 1) of the answers of the last minute did not exceed, None without answers."""
        times = sorted(time for at, time in self._times if at > now_ms - 60_000)
        return times[min(len(times) - 1, int(share * len(times)))] if times else None


@dataclass(slots=True)
class Meter:
    """One counter: whose it is, how full, how fast it fills, who fills it. Times in ms UTC."""

    upstream: str
    name: str
    scope: str
    value: str
    window: str
    window_ms: int
    max: int
    used: float = 0
    resets_at_ms: int = 0
    rule: str = ""
    refused: int = 0
    live: bool = True
    users: dict[str, float] = field(default_factory=dict[str, float])
    series: Series = field(default_factory=lambda: Series(60))

    @property
    def full(self) -> bool:
        return self.used >= self.max

    @property
    def share(self) -> float:
        """How much is used up, 0 to 1; a limit of zero is always used up."""
        return min(1.0, self.used / self.max) if self.max > 0 else 1.0

    @property
    def tool(self) -> str:
        """The tool whose entry holds the limit; "" for one of all tools."""
        parts = self.rule.split("/")
        return parts[2].replace("~1", "/").replace("~0", "~") if len(parts) > 3 and parts[1] == "tools" else ""

    @property
    def who(self) -> list[tuple[str, float]]:
        """Who used it in this window, most first."""
        return sorted(self.users.items(), key=lambda user: (-user[1], user[0]))

    def exhausted_in_ms(self, now_ms: int) -> int | None:
        """Time until it is full at the current rate: 0 when full, None when it resets first or nobody uses it."""
        if self.full:
            return 0
        rate = self.series.rate(now_ms, RATE_SECONDS)
        if rate * RATE_SECONDS < _ENOUGH:
            return None
        left_ms = int((self.max - self.used) / rate * 1000)
        return left_ms if now_ms + left_ms < self.resets_at_ms else None

    def expire(self, now_ms: int) -> None:
        """A window that has ended is empty again."""
        if self.resets_at_ms and now_ms >= self.resets_at_ms:
            self.used = 0
            self.refused = 0
            self.users = {}
            self.resets_at_ms = 0

    def observe(self, used: float, at_ms: int, resets_at_ms: int, who: str) -> None:
        """The counter stood at `used` at `at_ms`; what was added since is put down to `who` ("" when unknown)."""
        if resets_at_ms > self.resets_at_ms:
            self.expire(self.resets_at_ms)
            self.used = 0
        self.resets_at_ms = max(resets_at_ms, self.resets_at_ms)
        added = used - self.used
        if added > 0:
            self.series.add(at_ms, added)
            if who:
                self.users[who] = self.users.get(who, 0) + added
            self.used = used


class Meters:
    """Every counter seen, and every limit of the policy that nobody used yet."""

    def __init__(self) -> None:
        self._meters: dict[tuple[str, str, str, str], Meter] = {}

    def __len__(self) -> int:
        return len(self._meters)

    def clear(self) -> None:
        self._meters = {}

    def observe(
        self, counter: dict[str, Any], upstream: str, at_ms: int, who: str = "", *, exact: bool = False
    ) -> Meter:
        """Take one counter's JSON. `exact`: from the gateway's own list, which may also have gone down."""
        meter = self._meter(counter, upstream, who)
        meter.max = int(number(counter.get("max")))
        meter.rule = str(counter.get("rule") or meter.rule)
        used = number(counter.get("used"))
        resets = moment_ms(counter.get("resets_at_ms") or counter.get("resets_at"))
        if exact and used < meter.used and resets <= meter.resets_at_ms:
            meter.used = used
        meter.observe(used, at_ms, resets, who)
        meter.live = True
        return meter

    def declare(self, upstream: str, unused: list[Meter]) -> None:
        """Replace what is known of unused limits of `upstream` by `unused`; counters in use stay."""
        for key in [key for key, meter in self._meters.items() if meter.upstream == upstream and not meter.live]:
            del self._meters[key]
        taken = {(meter.name, meter.window_ms) for meter in self._meters.values() if meter.upstream == upstream}
        for meter in unused:
            if (meter.name, meter.window_ms) not in taken:
                meter.live = False
                self._meters[(upstream, meter.name, "", meter.window)] = meter

    def nearest(self, now_ms: int) -> list[Meter]:
        """All, nearest to exhaustion first: full ones, those that fill within their window, then by share used."""
        self._hide_declared()
        for meter in self._meters.values():
            meter.expire(now_ms)
        return sorted(self._meters.values(), key=lambda meter: _nearness(meter, now_ms))

    def _hide_declared(self) -> None:
        live = {(meter.upstream, meter.name, meter.window) for meter in self._meters.values() if meter.live}
        for key in [k for k, m in self._meters.items() if not m.live and (m.upstream, m.name, m.window) in live]:
            del self._meters[key]

    def _meter(self, counter: dict[str, Any], upstream: str, who: str) -> Meter:
        name, scope = str(counter.get("name", "")), str(counter.get("scope", ""))
        value = str(counter.get("value") or (who if scope == "grant" else ""))
        upstream = str(counter.get("upstream") or upstream)
        window = str(counter.get("window", ""))
        key = (upstream, name, value, window)
        meter = self._meters.get(key)
        if meter is None:
            window_ms = int(number(counter.get("window_ms")))
            meter = Meter(upstream, name, scope, value, window, window_ms, 0)
            self._meters[key] = meter
        return meter


def _nearness(meter: Meter, now_ms: int) -> tuple[int, float, str, str]:
    left_ms = meter.exhausted_in_ms(now_ms)
    group = 0 if meter.full else 1 if left_ms is not None and left_ms < _SOON_MS else 2
    return group if meter.live else 3, -meter.share, meter.name, meter.value
