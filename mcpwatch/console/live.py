"""The first screen: what happens, what is refused, what is close to its limit, who waits."""

from __future__ import annotations

from collections.abc import Iterable

from textual import on
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget

from mcpwatch.console.callorders import ORDERS, CallOrders
from mcpwatch.console.detail import DetailPanel
from mcpwatch.console.draw import title
from mcpwatch.console.emptiness import EmptyList
from mcpwatch.console.filterbar import FilterBar
from mcpwatch.console.host import Panel
from mcpwatch.console.keys import bindings
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.limits_panel import LimitsPanel
from mcpwatch.console.meters import Meter
from mcpwatch.console.peek import PolicyPeek
from mcpwatch.console.ring import Call
from mcpwatch.console.safe import shorten
from mcpwatch.console.seat import Seat
from mcpwatch.console.side import HealthPanel, ToolsPanel
from mcpwatch.console.stream import CallStream
from mcpwatch.console.traffic_panel import TrafficPanel
from mcpwatch.console.wording import amount


class ListTitle(Panel):
    """What the list shows and whether it moves."""

    DEFAULT_CSS = "ListTitle { height: 1; }"

    def __init__(self, stream: CallStream) -> None:
        super().__init__()
        self._stream = stream
        self._filter = ""
        self._drawn: tuple[object, ...] = ()
        self._line = Content("")

    def on_resize(self) -> None:
        self.say(self._filter)

    def say(self, filter_text: str) -> None:
        """Draw again when anything that it tells changed."""
        stream, self._filter = self._stream, filter_text
        state = (stream.following, stream.fresh, len(stream.view), filter_text, stream.has_focus, self.size.width)
        if state != self._drawn and self.size.width:
            self._drawn = state
            if stream.following:
                note = "following"
            else:
                note = f"paused, {amount(stream.fresh)} new ↓" if stream.fresh else "paused"
            count = f"{len(stream.view):,}"
            note += f" · {count} match {shorten(filter_text, 40)}" if filter_text else f" · {count}"
            self._line = title("CALLS", note, self.size.width, focused=stream.has_focus)
            self.refresh()

    def show(self, ledger: Ledger) -> None:
        del ledger

    def render(self) -> Content:
        return self._line


class LiveScreen(CallOrders, Seat):
    """List on the left, panels on the right or below, by size."""

    seat = "live"
    footer = (
        "filter",
        "detail",
        "pause",
        "limit",
        "deny",
        "hide",
        "freeze",
        "copy",
        "approval",
        "rule",
        "approve",
        "refuse",
    )
    BINDINGS = bindings(("filter", "detail", "back", *ORDERS))

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._share = 0
        self.stream = CallStream(ledger, id="main")
        self._title = ListTitle(self.stream)
        self._empty = EmptyList()
        self._filter = FilterBar()
        self._below = DetailPanel(id="detail-below")
        self._beside = DetailPanel(id="detail-beside")
        self._limits = LimitsPanel(id="limits")
        self._strip = LimitsPanel(table=True, id="limits-strip")
        self._peek = PolicyPeek(id="peek")

    def body(self) -> Iterable[Widget]:
        left = Vertical(self._title, self.stream, self._empty, self._filter, self._below, self._strip, id="left")
        side = Vertical(
            TrafficPanel(id="traffic"),
            self._limits,
            HealthPanel(),
            ToolsPanel(id="busiest"),
            self._beside,
            self._peek,
            id="side",
        )
        yield Horizontal(left, side, id="live")

    def flow(self, ledger: Ledger) -> None:
        self.stream.take(ledger.changed)

    def on_screen_resume(self) -> None:
        """What happened while another screen was in view was not drawn."""
        self.stream.catch_up()
        super().on_screen_resume()

    def show(self, ledger: Ledger) -> None:
        self._empty.display = len(ledger.calls) == 0
        self.set_class(self._empty.display, "-empty")
        self.stream.display = not self._empty.display
        self._title.say(self._filter.text)
        super().show(ledger)

    def look_changed(self) -> None:
        self.stream.repaint()
        super().look_changed()

    def target(self) -> Call | None:
        return self.stream.hold_still()

    def selected_call(self) -> Call | None:
        return self.stream.selected

    def limit_target(self) -> Meter | None:
        return self._limits.selected or self._strip.selected

    def enlarge(self, step: int) -> None:
        """Give the panels more or less room beside the list."""
        self._share = max(-3, min(3, self._share + step * (-1 if self.stream.has_focus else 1)))
        self.query_one("#side").styles.width = f"{(40 if self.has_class('-wide') else 34) + 6 * self._share}%"

    @on(CallStream.Moved)
    def tell_detail(self) -> None:
        call = self.stream.selected
        if call is None:
            self.remove_class("-detail")
        self._below.tell(call)
        self._beside.tell(call)
        self._title.say(self._filter.text)
        self._peek.follow(call)
        self._peek.show(self._ledger)

    @on(FilterBar.Changed)
    def _filtered(self, event: FilterBar.Changed) -> None:
        self.stream.use_filter(event.matcher)
        if event.done:
            self.stream.focus()

    def action_filter(self) -> None:
        self._filter.open()

    def action_back(self) -> None:
        """Close the detail, then the filter, then the selection."""
        if self.has_class("-detail"):
            self.remove_class("-detail")
        elif self._filter.text:
            self._filter.clear()
        else:
            self.stream.action_follow()
        self.stream.focus()

    def action_copy(self) -> None:
        if len(self._ledger.calls):
            super().action_copy()
        else:
            self._empty.copy()
