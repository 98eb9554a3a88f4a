"""Which calls a list shows, and in which line: all of the ring, or those that a filter lets through."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Protocol

from mcpwatch.console.ring import Record, Ring


class Matcher(Protocol):
    """A filter as `mcpwatch.filters` makes it."""

    def matches(self, record: Record) -> bool: ...


class View:
    """Lines of a list. Without a filter line n is the nth call of the ring; with one, `_kept` holds the numbers."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._seen = ring.end
        self._filter: Matcher | None = None
        self._kept: list[int] = []

    def __len__(self) -> int:
        return len(self._ring) if self._filter is None else len(self._kept)

    @property
    def filtered(self) -> bool:
        return self._filter is not None

    def use(self, filter: Matcher | None) -> None:
        """Show what `filter` lets through, None shows all."""
        self._filter = filter
        self._seen = self._ring.end
        self._kept = [] if filter is None else [call.number for call in self._ring if filter.matches(call.record)]

    def look_again(self) -> None:
        """Judge every call anew."""
        self.use(self._filter)

    def take(self, changed: list[int]) -> int:
        """Look at the calls that are new or changed; returns how many lines were added at the end."""
        before, self._seen = self._seen, self._ring.end
        if self._filter is None:
            return self._ring.end - before
        self._forget()
        fresh = self._fresh(max(before, self._ring.first), self._filter)
        self._kept.extend(fresh)
        for number in changed:
            if number < before:
                self._rejudge(number, self._filter)
        return len(fresh)

    def number_at(self, line: int) -> int:
        """The number of the call in a line (0 is the oldest). Raises IndexError beyond the end."""
        if not 0 <= line < len(self):
            raise IndexError(line)
        return self._ring.first + line if self._filter is None else self._kept[line]

    def line_of(self, number: int) -> int:
        """The line of a call, or of the next one that is shown when it is not."""
        if self._filter is None:
            return max(0, number - self._ring.first)
        return bisect_left(self._kept, number)

    def shows(self, number: int) -> bool:
        """Whether a call is in one of the lines."""
        line = self.line_of(number)
        return line < len(self) and self.number_at(line) == number

    def _forget(self) -> None:
        gone = bisect_left(self._kept, self._ring.first)
        if gone:
            del self._kept[:gone]

    def _fresh(self, start: int, filter: Matcher) -> list[int]:
        ring = self._ring
        return [number for number in range(start, ring.end) if (c := ring.get(number)) and filter.matches(c.record)]

    def _rejudge(self, number: int, filter: Matcher) -> None:
        call = self._ring.get(number)
        if call is None:
            return
        shown, wanted = self.shows(number), filter.matches(call.record)
        if wanted and not shown:
            insort(self._kept, number)
        elif shown and not wanted:
            del self._kept[self.line_of(number)]
