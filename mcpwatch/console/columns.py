"""Which columns of a call fit into a width, and how wide each is. What matters least goes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal["time", "decision", "tool", "caller", "counter", "latency", "why", "args"]

DECISION = 9
LATENCY = 7
GAP = 1
_ARGS_MIN = 12
_WHY = 26
_WHY_FROM = 100
_MS_FROM = 130


@dataclass(frozen=True, slots=True)
class Needs:
    """How wide the texts are that stand in the columns now: the longest tool name, caller, `used` and `max`."""

    tool: int = 18
    caller: int = 8
    used: int = 2
    most: int = 2


@dataclass(frozen=True, slots=True)
class Column:
    name: Name
    title: str
    width: int
    right: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Columns from left to right. `used`: the width before the slash of the counter, so that slashes stand in line."""

    columns: tuple[Column, ...]
    used: int
    ms: bool


def plan(width: int, needs: Needs) -> Plan:
    """The columns for `width` cells, one of which the cursor takes."""
    ms = width >= _MS_FROM
    tool = max(8, min(needs.tool, 40 if width >= _WHY_FROM else 30))
    caller, counter = max(6, min(needs.caller, 14)), max(4, needs.used + 1 + needs.most)
    wanted = {"time": 12 if ms else 8, "decision": DECISION, "tool": tool}
    left = width - 1 - sum(size + GAP for size in wanted.values()) + GAP
    for name, size in (("counter", counter), ("latency", LATENCY), ("caller", caller)):
        if left >= size + GAP:
            wanted[name] = size
            left -= size + GAP
    if width >= _WHY_FROM and left >= _WHY + _ARGS_MIN + 2 * GAP:
        wanted["why"] = _WHY
        left -= _WHY + GAP
    if left >= 6 + GAP:
        wanted["args"] = left - GAP
    elif left < 0:
        wanted["tool"] = max(8, tool + left)
    else:
        wanted["tool"] += left
    return Plan(tuple(column for column in _ordered(wanted)), needs.used, ms)


_ORDER: tuple[tuple[Name, str, bool], ...] = (
    ("time", "TIME", False),
    ("decision", "DECISION", False),
    ("tool", "TOOL", False),
    ("caller", "CALLER", False),
    ("counter", "USED", False),
    ("latency", "TOOK", True),
    ("why", "DECIDED BY", False),
    ("args", "ARGUMENTS", False),
)


def _ordered(wanted: dict[str, int]) -> list[Column]:
    return [Column(name, title, wanted[name], right) for name, title, right in _ORDER if name in wanted]
