"""The calls a console remembers: a ring of fixed size in which every call keeps its number for life."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

Record = dict[str, Any]
"""The audit record of one call as JSON, outcome merged in when it is known. Everything in it was written by others."""

Word = Literal["allow", "deny", "limit", "hold", "observe", "hidden", "reject"]

CAPACITY = 20_000


class Call:
    """One call. `number` counts from 0 in order of arrival; `revision` grows with every change of `record`."""

    __slots__ = ("at_ms", "number", "record", "revision", "settled", "word")

    def __init__(self, number: int, record: Record) -> None:
        self.number = number
        self.record = record
        self.revision = 0
        self.at_ms = moment_ms(record.get("at"))
        self.word: Word = word_of(record)
        self.settled = bool(record.get("outcome"))

    @property
    def call_id(self) -> str:
        return str(self.record.get("call_id", ""))

    @property
    def tool(self) -> str:
        """The tool's name, or the method of a message that is no tool call."""
        return str(self.record.get("tool") or self.record.get("method") or "")

    def merge(self, later: Record) -> None:
        """Take over what a later row of the same call says: its final decision, or its outcome."""
        self.record = {**self.record, **later}
        self.word = word_of(self.record)
        self.settled = bool(self.record.get("outcome"))
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
        for number in range(self.first, self.end):
            yield self[number]

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
    if isinstance(value, str):
        try:
            return round(datetime.fromisoformat(value).timestamp() * 1000)
        except ValueError:
            return 0
    return 0
