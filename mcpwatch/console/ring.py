"""The calls a console remembers: a ring of fixed size in which every call keeps its number for life."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from mcpwatch.console.wire import number, tables
from mcpwatch.records import from_rfc3339, public_json

Record = dict[str, Any]
"""The audit record of one call as JSON, outcome merged in when it is known. Everything in it was written by others."""

Word = Literal["allow", "deny", "limit", "hold", "observe", "hidden", "reject"]

CAPACITY = 20_000
REFUSED: tuple[Word, ...] = ("deny", "limit", "hidden", "reject")


class Call:
    """One call. `number` counts from 0 in order of arrival; `revision` grows with every change.

    What came is kept as it came, and made the public `record` when somebody first looks at it: most calls of a busy
    gateway are never looked at.
    """

    __slots__ = ("_outcome", "_public", "_row", "at_ms", "number", "revision", "word")

    def __init__(self, number: int, row: Record) -> None:
        """`row`: `records.record_to_json` of an event, or the public record of a snapshot."""
        self.number = number
        self.revision = 0
        self.at_ms = int(row["at_ms"]) if "at_ms" in row else moment_ms(row.get("at"))
        self.word: Word = word_of(row)
        self._row = row
        self._outcome: Record | None = None
        self._public: Record | None = row if "at_ms" not in row else None

    @property
    def record(self) -> Record:
        """The audit record, as `mcpwatch audit show` tells it."""
        if self._public is None:
            self._public = public_json(self._row, self._outcome)
        return self._public

    @property
    def settled(self) -> bool:
        """Whether it is known how the call ended; refused ones end at once."""
        return self._outcome is not None or self.word in REFUSED or bool(self._row.get("outcome"))

    @property
    def call_id(self) -> str:
        return str(self._row.get("call_id", ""))

    @property
    def upstream(self) -> str:
        return str(self._row.get("upstream", ""))

    @property
    def grant(self) -> str:
        return str(self._row.get("grant", ""))

    @property
    def rule(self) -> str:
        """The rule that decided, "" when none did."""
        return str(self._row.get("rule") or "")

    @property
    def tool(self) -> str:
        """The tool's name, or the method of a message that is no tool call."""
        return str(self._row.get("tool") or self._row.get("method") or "")

    @property
    def held_ms(self) -> float:
        """How long it waited for an operator."""
        return number(self._row.get("held_ms"))

    @property
    def counters(self) -> list[Record]:
        """The limits that bear on it, after it."""
        return tables(self._row.get("counters"))

    def redecide(self, row: Record) -> None:
        """A later row of the same call: what became of a hold."""
        self._row, self._public = row, row if "at_ms" not in row else None
        self.word = word_of(row)
        self.revision += 1

    def settle(self, outcome: Record) -> None:
        """How it ended: `records.outcome_to_json`."""
        self._outcome = outcome
        if "at_ms" in self._row:
            self._public = None
        else:
            told = {key: outcome.get(key) for key in ("outcome", "latency_ms", "result_bytes", "error")}
            self._row = self._public = {**self._row, **told}
        self.revision += 1


class Ring:
    """The last `capacity` calls by number and by call id. Numbers outside `first`…`end` are gone or not there yet."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.end = 0
        self._start = 0
        self._slots: list[Call | None] = [None] * capacity
        self._by_id: dict[str, Call] = {}

    @property
    def first(self) -> int:
        """The number of the oldest call that is still here."""
        return max(self._start, self.end - self.capacity)

    def __len__(self) -> int:
        return self.end - self.first

    def __iter__(self) -> Iterator[Call]:
        for each in range(self.first, self.end):
            yield self[each]

    def __getitem__(self, number: int) -> Call:
        call = self._slots[number % self.capacity]
        if call is None or call.number != number:
            raise IndexError(number)
        return call

    def get(self, number: int) -> Call | None:
        """The call with this number, None when it is gone."""
        call = self._slots[number % self.capacity]
        return call if call is not None and call.number == number else None

    def named(self, call_id: str) -> Call | None:
        """The call with this id, None when it is unknown or gone."""
        return self._by_id.get(call_id)

    def append(self, record: Record) -> Call:
        call = Call(self.end, record)
        slot = self.end % self.capacity
        old = self._slots[slot]
        if old is not None and self._by_id.get(old.call_id) is old:
            del self._by_id[old.call_id]
        self._slots[slot] = call
        self._by_id[call.call_id] = call
        self.end += 1
        return call

    def clear(self) -> None:
        """Forget every call; numbers go on, so that nobody mistakes a new call for an old one."""
        self._slots = [None] * self.capacity
        self._by_id = {}
        self._start = self.end


def word_of(record: Record) -> Word:
    """The word a decision is shown by; a limit is told from a rule, a call that only an observing rule refuses too."""
    decision = record.get("decision")
    if decision == "allow":
        return "observe" if record.get("would_deny") else "allow"
    if decision == "deny":
        rule = str(record.get("rule") or "")
        if rule == "(hidden)":
            return "hidden"
        return "limit" if "/limits/" in rule and not rule.endswith("#amount") else "deny"
    return "hold" if decision == "hold" else "reject"


def moment_ms(value: object) -> int:
    """RFC 3339 text, or milliseconds as they are; 0 for anything else."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        return int(value)
    return _parsed(value) if isinstance(value, str) else 0


@lru_cache(maxsize=256)
def _parsed(text: str) -> int:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        return 0
