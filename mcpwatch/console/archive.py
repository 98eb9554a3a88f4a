"""The calls that a search of the audit found: pages of records, the newest first to come, oldest on top. Pure."""

from __future__ import annotations

from typing import NamedTuple

from mcpwatch.console.ledger import Ledger
from mcpwatch.console.ring import Call, Record, moment_ms

PAGE = 200
"""How many records one question asks for."""


class Page(NamedTuple):
    """Records, newest last, and where the next older page begins: 0 when there is none."""

    rows: list[Record]
    before_seq: int


class Archive:
    """Found records as a ledger of their own, so that the list and the detail of Live can show them."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.filter = ""
        self.before_seq = 0
        """Where the next older page begins, 0 when the beginning of the audit has been reached."""
        self._rows: list[Record] = []

    @property
    def whole(self) -> bool:
        """Whether nothing older is left to ask for."""
        return self.before_seq == 0

    @property
    def first_at_ms(self) -> int:
        return moment_ms(self._rows[0].get("at")) if self._rows else 0

    @property
    def last_at_ms(self) -> int:
        return moment_ms(self._rows[-1].get("at")) if self._rows else 0

    def __len__(self) -> int:
        return len(self._rows)

    def begin(self, filter_text: str, page: Page) -> None:
        """The first page of another search."""
        self.filter, (self._rows, self.before_seq) = filter_text, page
        self._fill()

    def older(self, page: Page) -> None:
        """The page before what is there."""
        self._rows, self.before_seq = [*page.rows, *self._rows], page.before_seq
        self._fill()

    def named(self, call_id: str) -> Call | None:
        """A call that is shown, by its id."""
        return self.ledger.calls.named(call_id)

    def _fill(self) -> None:
        self.ledger.calls.clear()
        for row in self._rows:
            self.ledger.calls.append(row)
