"""What recorded calls show of each tool: how often, by whom, at what peak, with which arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from mcpwatch.policy.instants import instant_ms
from mcpwatch.policy.veil import has_redacted

MOST_VALUES: Final = 8
"""Distinct values up to which an argument counts as one of few."""
LONGEST_VALUE: Final = 64
FEWEST_CALLS: Final = 20
"""Calls below which nothing is concluded from the values of arguments."""
CALLS_PER_VALUE: Final = 4
MOST_SAMPLES: Final = 1_000
_MINUTE_MS: Final = 60_000


@dataclass(slots=True)
class SeenArgument:
    """One argument of one tool. `values` are counted while there are few; None once they are too many or too odd."""

    given: int = 0
    values: Counter[str | bool] | None = field(default_factory=Counter[str | bool])

    def add(self, value: Any) -> None:
        self.given += 1
        if self.values is None:
            return
        if isinstance(value, bool) or (
            isinstance(value, str) and len(value) <= LONGEST_VALUE and not has_redacted(value)
        ):
            self.values[value] += 1
        if self.values.total() < self.given or len(self.values) > MOST_VALUES:
            self.values = None


@dataclass(slots=True)
class SeenTool:
    """The allowed calls of one tool. `samples` are the arguments of the first calls that had nothing redacted."""

    calls: int = 0
    approved: int = 0
    grants: set[str] = field(default_factory=set[str])
    by_minute: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    arguments: dict[str, SeenArgument] = field(default_factory=dict[str, SeenArgument])
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def add(self, record: Mapping[str, Any]) -> None:
        self.calls += 1
        self.approved += bool(record.get("approved_by"))
        self.grants.add(record["grant"])
        self.by_minute[record["grant"], instant_ms(record["at"]) // _MINUTE_MS] += 1
        args = record["args"]
        if isinstance(args, dict):
            self._look_at(cast("dict[str, Any]", args))

    def _look_at(self, args: dict[str, Any]) -> None:
        for name, value in args.items():
            self.arguments.setdefault(name, SeenArgument()).add(value)
        if len(self.samples) < MOST_SAMPLES and not has_redacted(args):
            self.samples.append(args)

    def peak(self) -> tuple[int, int]:
        """The most calls of one grant in one minute, and when that minute began (ms since 1970)."""
        (_, minute), count = max(self.by_minute.items(), key=lambda item: (item[1], -item[0][1]))
        return count, minute * _MINUTE_MS

    def few_values(self) -> Iterable[tuple[str, SeenArgument, list[str | bool]]]:
        """The arguments that took few values in many calls, with the values, most frequent first."""
        for name, seen in sorted(self.arguments.items()):
            if seen.values and seen.given >= max(FEWEST_CALLS, CALLS_PER_VALUE * len(seen.values)):
                yield name, seen, [value for value, _ in seen.values.most_common()]


@dataclass(frozen=True, slots=True)
class Observed:
    """All tools that were allowed at least once. `calls` counts allowed calls, `since` and `until` are RFC 3339."""

    tools: dict[str, SeenTool]
    calls: int
    since: str
    until: str


def observe(records: Iterable[Mapping[str, Any]]) -> Observed:
    """Read audit records (JSON of the contract), oldest first."""
    tools: dict[str, SeenTool] = {}
    times: list[str] = []
    for record in records:
        if record["method"] == "tools/call" and record["decision"] == "allow":
            tools.setdefault(record["tool"], SeenTool()).add(record)
            times = [times[0] if times else record["at"], record["at"]]
    first, last = (times[0], times[-1]) if times else ("", "")
    return Observed(tools, sum(seen.calls for seen in tools.values()), first, last)
