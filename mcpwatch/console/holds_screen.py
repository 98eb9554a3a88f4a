"""Calls that wait for the operator: who asks for what, and how long there is to answer."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import Literal

from textual import events
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from mcpwatch.console.callorders import CallOrders
from mcpwatch.console.detail import DetailPanel
from mcpwatch.console.draw import title
from mcpwatch.console.host import Panel, host
from mcpwatch.console.keys import bindings
from mcpwatch.console.ledger import Hold, Ledger
from mcpwatch.console.orders import AnswerHold
from mcpwatch.console.ring import Call
from mcpwatch.console.safe import fit, safe
from mcpwatch.console.seat import Seat
from mcpwatch.console.wording import caller, span

_NOBODY = "Calls that an approve_if rule matches stop here until you answer. p on a tool makes its calls wait."


class HoldList(Panel, can_focus=True):
    """Two lines a call; the one with the least time left on top."""

    BINDINGS = bindings(("down", "up", "top", "bottom"))

    class Moved(Message):
        """Another call is selected."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._waiting: list[Hold] = []
        self._chosen = ""
        self._now_ms = 0

    @property
    def selected(self) -> Call | None:
        index = self._index
        return self._waiting[index].call if index < len(self._waiting) else None

    def show(self, ledger: Ledger) -> None:
        """The selection stays on its call while others come and go."""
        before = self.selected
        changed = ledger.now_ms // 1000 != self._now_ms // 1000 or len(self._waiting) != len(ledger.holds)
        self._waiting, self._now_ms = ledger.waiting(), ledger.now_ms
        if self.selected is not None and not any(hold.call.call_id == self._chosen for hold in self._waiting):
            self._chosen = self.selected.call_id
        if changed or before is not self.selected:
            self.refresh()
        if before is not self.selected:
            self.post_message(self.Moved())

    def action_down(self) -> None:
        self._go(self._index + 1)

    def action_up(self) -> None:
        self._go(self._index - 1)

    def action_top(self) -> None:
        self._go(0)

    def action_bottom(self) -> None:
        self._go(len(self._waiting) - 1)

    def on_click(self, event: events.Click) -> None:
        self._go((event.y - 1) // 2)

    def render(self) -> Content:
        width = self.size.width
        lines = [title("WAITING FOR YOU", f"{len(self._waiting)}", width, focused=self.has_focus)]
        if not self._waiting:
            lines.append(Content.styled(" Nobody waits.", ""))
            lines += [Content.styled(f" {line}", "$muted") for line in wrap(_NOBODY, width - 2)]
        first = max(0, self._index - max(1, (self.size.height - 1) // 2) + 1)
        for index, hold in enumerate(self._waiting[first:], first):
            lines += self._lines(hold, width - 1, selected=index == self._index)
        return Content("\n").join(lines)

    @property
    def _index(self) -> int:
        ids = [hold.call.call_id for hold in self._waiting]
        return ids.index(self._chosen) if self._chosen in ids else 0

    def _go(self, index: int) -> None:
        if self._waiting:
            hold = self._waiting[min(max(0, index), len(self._waiting) - 1)]
            self._chosen = hold.call.call_id
            self.refresh()
            self.post_message(self.Moved())

    def _lines(self, hold: Hold, width: int, *, selected: bool) -> list[Content]:
        left = f"{span(hold.expires_at_ms - self._now_ms)} left" if hold.expires_at_ms else ""
        mark = (self.host.look.glyphs["cursor"], "bold $primary") if selected else (" ", "")
        tool = fit(safe(hold.call.tool, 80), max(8, width - len(left) - 4))
        since = f"   since {span(self._now_ms - hold.opened_at_ms)}"
        lines = [
            Content.assemble(mark, ("? ", "bold $decision-hold"), (tool, "bold"), (f" {left}", "bold $decision-hold")),
            Content.assemble(mark, (fit(f"  {caller(hold.call.record)}{since}", width), "$muted")),
        ]
        return [line.stylize_before("on $selection") for line in lines] if selected else lines


class HoldsScreen(CallOrders, Seat):
    """List of waiting calls, and the whole of the selected one."""

    seat = "holds"
    footer = ("approve", "refuse", "copy", "freeze", "rule")
    BINDINGS = bindings(("approve", "refuse", "copy", "rule", "back"))

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        del ledger
        self._list = HoldList(id="main")
        self._detail = DetailPanel(note="a let pass, d refuse", judging=True, id="hold-detail")

    def body(self) -> Iterable[Widget]:
        yield Horizontal(self._list, self._detail, id="holds")

    def show(self, ledger: Ledger) -> None:
        super().show(ledger)
        self._detail.display = bool(ledger.holds)
        if self.has_class("-narrow"):
            self._list.styles.height = min(7, 1 + 2 * max(2, len(ledger.holds))) if ledger.holds else "1fr"
        else:
            self._list.styles.height = "1fr"

    def on_hold_list_moved(self) -> None:
        self._detail.tell(self._list.selected)

    def target(self) -> Call | None:
        return self._list.selected

    def action_back(self) -> None:
        self._list.focus()

    def action_answer(self, action: Literal["approve", "refuse"]) -> None:
        call = self._list.selected
        if call is not None and host(self).may_change():
            self.post_message(AnswerHold(call.call_id, action))
