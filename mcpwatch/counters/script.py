"""The questions that go to Redis and the answers that come back: keys, JSON, and what must be true of a reply.

A key is `mcpwatch:UPSTREAM:SHA256:w` (the windows) or `:l` (the log), where the hash is that of name, scope value and
window, so that no text of an agent becomes part of a key. `mcpwatch:epoch` marks the life of all data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, cast

from mcpwatch.counters.decimals import decimal_text, from_decimal
from mcpwatch.policy.amounts import Exact, exact, plain
from mcpwatch.policy.demands import Answer, Demand
from mcpwatch.policy.values import Charge, CounterKey

TEXT: Final = files("mcpwatch.counters").joinpath("charge.lua").read_bytes()
SHA: Final = hashlib.sha1(TEXT, usedforsecurity=False).hexdigest()
"""The name by which Redis knows the script."""

_FIRST_USE: Final = 4
_STATUSES: Final = frozenset(("fits", "full", "crowded", "late"))


@dataclass(frozen=True, slots=True)
class Question:
    """One run of the script. `ask` still lacks what is known only when it is sent. `charging`: it is not only asked."""

    upstream: str
    keys: tuple[str, ...]
    ask: dict[str, Any]
    demands: tuple[Demand, ...] = ()
    charging: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """`late`: it came to be run after its deadline, and did nothing. `epoch` names the life of the data in Redis."""

    late: bool
    epoch: str
    answer: Answer


def charge_question(
    upstream: str, demands: tuple[Demand, ...], sliding: frozenset[tuple[str, int]], counted: Sequence[Charge] = ()
) -> Question:
    """Charge all demands or none. `counted` is taken back before and counted again after; then nothing is charged."""
    counters = _Counters(upstream, sliding)
    ask = {"demands": [_demand(counters, each) for each in demands], "back": _back(counters, counted)}
    ask |= {"counters": counters.listed, "restore": bool(counted)}
    return Question(upstream, counters.keys, ask, demands, charging=not counted)


def look_question(upstream: str, demands: tuple[Demand, ...], sliding: frozenset[tuple[str, int]]) -> Question:
    """What is used, charging nothing."""
    question = charge_question(upstream, demands, sliding)
    return Question(upstream, question.keys, question.ask | {"look": True}, demands)


def refund_question(upstream: str, charges: Sequence[Charge]) -> Question:
    """Take back what was charged."""
    counters = _Counters(upstream, frozenset())
    back = _back(counters, charges)
    return Question(upstream, counters.keys, {"demands": [], "back": back, "counters": counters.listed})


def probe_question() -> Question:
    """Write something, to see whether charges could be."""
    return Question("", _head(""), {"demands": [], "back": [], "counters": [], "probe": True})


def index_key(upstream: str) -> str:
    """The sorted set of the upstream's live counters; members are JSON `[name, scope value, window in ms]`."""
    return _head(upstream)[1]


def counter_of(member: bytes) -> CounterKey:
    """A member of the index. Raises ValueError."""
    name, scope, window_ms = json.loads(member)
    if not (isinstance(name, str) and isinstance(scope, str) and isinstance(window_ms, int)):
        raise TypeError("not a counter")
    return name, scope, window_ms


def charges_of(demands: Iterable[Demand], at_ms: int) -> list[Charge]:
    """What the script charged for these demands: of several on one counter the first."""
    amounts: dict[CounterKey, Exact] = {}
    for demand in demands:
        if demand.amount is not None:
            amounts.setdefault(demand.key, demand.amount)
    return [Charge(key, plain(amount), at_ms) for key, amount in amounts.items()]


def read_reply(question: Question, raw: object) -> Reply:
    """Raises ValueError when that is no reply of the script."""
    if not isinstance(raw, list):
        raise TypeError("not a list")
    words = [word.decode("ascii") if isinstance(word, bytes) else "" for word in cast("list[object]", raw)]
    status, now, epoch, free_at, *uses = words
    late = status == "late"
    if status not in _STATUSES or len(uses) != (0 if late else 2 * len(question.demands)):
        raise ValueError("not an answer")
    found: dict[tuple[CounterKey, bool], tuple[Exact, int]] = {}
    for index, demand in enumerate(question.demands if not late else ()):
        used, expires = uses[2 * index : 2 * index + 2]
        found[demand.key, demand.sliding] = from_decimal(used), int(expires)
    answer = Answer(int(now), status == "fits", found, int(free_at) if free_at else None, status == "crowded")
    return Reply(late, epoch, answer)


class _Counters:
    """The counters of one question, each listed once."""

    def __init__(self, upstream: str, sliding: frozenset[tuple[str, int]]) -> None:
        self._upstream = upstream
        self._sliding = sliding
        self._numbers: dict[CounterKey, int] = {}
        self.keys = _head(upstream)
        self.listed: list[dict[str, Any]] = []

    def number(self, key: CounterKey) -> int:
        """Counted from one, as Lua does."""
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._numbers) + 1
            member, base = _named(self._upstream, key)
            self.keys += (base + ":w", base + ":l")
            self.listed.append({"name": member, "window": key[2], "logged": (key[0], key[2]) in self._sliding})
        return found


def _demand(counters: _Counters, demand: Demand) -> dict[str, Any]:
    told: dict[str, Any] = {
        "counter": counters.number(demand.key),
        "sliding": demand.sliding,
        "max": str(demand.max),
        "observing": demand.observing,
    }
    # Left out rather than null, which Lua's JSON would take for something.
    return told if demand.amount is None else told | {"amount": decimal_text(demand.amount)}


def _back(counters: _Counters, charges: Iterable[Charge]) -> list[dict[str, Any]]:
    return [
        {"counter": counters.number(each.key), "amount": decimal_text(exact(each.amount)), "at": each.at_ms}
        for each in charges
    ]


@lru_cache(maxsize=4_096)
def _named(upstream: str, key: CounterKey) -> tuple[str, str]:
    member = json.dumps(key, separators=(",", ":"))
    return member, f"mcpwatch:{upstream}:{hashlib.sha256(member.encode()).hexdigest()}"


@lru_cache(maxsize=256)
def _head(upstream: str) -> tuple[str, ...]:
    return "mcpwatch:epoch", f"mcpwatch:{upstream}:index"
