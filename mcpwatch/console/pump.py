"""Brings the ledger up to date once a frame and lets the screen in view draw, as often as it is worth it."""

from __future__ import annotations

from collections.abc import Callable

from mcpwatch.console.ledger import Ledger
from mcpwatch.console.link import Link
from mcpwatch.console.seat import Seat

_RUSH = 40
"""More events than this in a frame, and every third one is drawn: nobody can read faster, and it costs a third."""

_PANELS = 4
"""Panels and outcomes are drawn every so many frames while something happens, else once a second; new calls at once."""


class Pump:
    """`frame` is called by a timer; `seat` tells the screen in view, None while there is none."""

    def __init__(self, link: Link, ledger: Ledger, now_ms: Callable[[], int], seat: Callable[[], Seat | None]) -> None:
        self._link, self._ledger, self._now_ms, self._seat = link, ledger, now_ms, seat
        self._frames = self._arrived = self._waited = 0
        self._owed = False
        self._end = 0
        self._drawn: tuple[int, bool] = (0, False)

    def frame(self) -> None:
        """Take what arrived and draw what is due."""
        pending, ledger = self._link.pending, self._ledger
        self._arrived += len(pending)
        while pending:
            ledger.fold(pending.popleft())
        self._frames += 1
        if self._arrived > _RUSH and self._frames % 3:
            return
        ledger.tick(self._now_ms())
        self.draw()

    def draw(self, *, now: bool = False) -> None:
        """Draw the list when there are new calls, everything else when it is due (or `now`)."""
        seat, ledger = self._seat(), self._ledger
        if seat is None or not seat.is_mounted:
            return
        self._owed = self._owed or self._arrived > 0
        self._arrived = 0
        self._waited += 1
        state = (ledger.now_ms // 1000, self._link.up)
        due = now or state != self._drawn or (self._owed and self._waited >= _PANELS)
        if not due and ledger.calls.end == self._end:
            return
        with seat.app.batch_update():  # pyright: ignore[reportUnknownMemberType]
            seat.flow(ledger)
            if due:
                seat.show(ledger)
                self._drawn, self._owed, self._waited = state, False, 0
        self._end = ledger.calls.end
        ledger.changed.clear()
