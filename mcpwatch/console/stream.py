"""The list of calls as they happen: drawn line by line out of the ring, so that its cost does not grow with traffic."""

from __future__ import annotations

from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mcpwatch.console.columns import Needs, Plan, plan
from mcpwatch.console.host import Host, host
from mcpwatch.console.keys import bindings
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.ring import Call
from mcpwatch.console.rows import RowPainter
from mcpwatch.console.safe import safe
from mcpwatch.console.theme import Look
from mcpwatch.console.view import Matcher, View
from mcpwatch.console.wire import number
from mcpwatch.console.wording import caller, fullest, plain

_CACHED = 2048
_NO_MATCH = {
    2: "No call in this list matches. esc shows all again.",
    3: "Names are matched whole; * stands for the rest: tool:list*",
}
"""What an empty list says, by line."""
_STRANGER = 22
"""A name that no upstream offers cannot make the column wider than this: an agent may call anything."""


class CallStream(ScrollView, can_focus=True):
    """Follows the newest call until the operator selects one or pauses; then it stands still and counts what is new."""

    BINDINGS = bindings(("down", "up", "half_down", "half_up", "top", "bottom", "next", "previous", "follow", "pause"))

    virtual_size = Reactive(Size(0, 0), repaint=False)  # pyright: ignore[reportAssignmentType]
    """Without a new layout for every call: the scrollbar is always there, so nothing depends on how many there are."""

    class Moved(Message):
        """The selection, following or the number of new calls changed."""

    def __init__(self, ledger: Ledger, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ledger = ledger
        self.view = View(ledger.calls)
        self.following = True
        self.cursor: int | None = None
        self.fresh = 0
        """Calls that arrived since the list stands still."""
        self._first = ledger.calls.first
        self._needs = Needs()
        self._painter: RowPainter | None = None
        self._drawn: tuple[Look, Plan, int] | None = None
        self._strips: dict[tuple[int, int, bool], Strip] = {}

    @property
    def host(self) -> Host:
        return host(self)

    @property
    def selected(self) -> Call | None:
        """The call under the cursor, None while following."""
        return None if self.cursor is None else self._ledger.calls.get(self.cursor)

    @property
    def current(self) -> Call | None:
        """The call an order is about: the selected one, else the newest in the list."""
        if self.selected is not None:
            return self.selected
        return self._ledger.calls.get(self.view.number_at(len(self.view) - 1)) if len(self.view) else None

    def take(self, changed: list[int]) -> None:
        """Once a frame: show what arrived and what changed since the last one."""
        added = self.view.take(changed)
        self._follow_ring()
        if added or (changed and self.view.filtered):
            self._measure(added)
            self._settle(added)
            self.refresh()
        elif changed:
            self._redraw(changed)

    def catch_up(self) -> None:
        """Look at the whole ring again, after a time in which `take` was not called."""
        before = len(self.view)
        self.view.look_again()
        self._follow_ring()
        self._measure(len(self.view))
        self._settle(max(0, len(self.view) - before))
        self.refresh()

    def use_filter(self, matcher: Matcher | None) -> None:
        """Show only what `matcher` lets through; the selection stays when it is still shown."""
        self.view.use(matcher)
        if self.cursor is not None and not self.view.shows(self.cursor):
            self.cursor = None
            self.following = True
        self._settle(0)
        self.refresh()
        self.post_message(self.Moved())

    def select(self, number: int | None) -> None:
        """Put the cursor on a call (and stand still), or take it away with None."""
        self.cursor = number
        if number is not None:
            self._stand()
            self._reveal(self.view.line_of(number))
        self.refresh()
        self.post_message(self.Moved())

    def hold_still(self) -> Call | None:
        """Select the call an order would be about, so that it stays in view while the operator answers."""
        call = self.current
        if call is not None and self.cursor is None:
            self.select(call.number)
        return call

    def repaint(self) -> None:
        """Another look is worn."""
        self._drawn = None
        self.refresh()

    def render_lines(self, crop):  # pyright: ignore
        self._prepare()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        painter = self._painter
        if painter is None:
            return Strip.blank(self.size.width)
        if y == 0:
            return painter.head()
        line = self.scroll_offset.y + y - 1
        if y in _NO_MATCH and not len(self.view) and self.view.filtered:
            return painter.note(_NO_MATCH[y])
        if line >= len(self.view):
            return Strip.blank(painter.width, self.rich_style)
        call = self._ledger.calls.get(self.view.number_at(line))
        return self._strip(painter, call) if call is not None else Strip.blank(painter.width, self.rich_style)

    def on_resize(self) -> None:
        self._settle(0)
        if self.cursor is not None:
            self._reveal(self.view.line_of(self.cursor))

    def on_click(self, event: events.Click) -> None:
        line = self.scroll_offset.y + event.y - 1
        if event.y >= 1 and line < len(self.view):
            self.select(self.view.number_at(line))

    def on_mouse_scroll_up(self) -> None:
        self._stand()

    def action_down(self) -> None:
        self._step(1)

    def action_up(self) -> None:
        self._step(-1)

    def action_half(self, direction: int) -> None:
        self._step(direction * max(1, (self.size.height - 1) // 2))

    def action_top(self) -> None:
        if len(self.view):
            self.select(self.view.number_at(0))

    def action_bottom(self) -> None:
        self.action_follow()

    def action_follow(self) -> None:
        """Follow the newest call; nothing is selected any more."""
        self.cursor = None
        self.following = True
        self._settle(0)
        self.refresh()
        self.post_message(self.Moved())

    def action_pause(self) -> None:
        """Stand still, or follow again."""
        if self.following:
            self._stand()
        else:
            self.action_follow()

    def action_next(self, direction: int) -> None:
        """The next call with the same decision as the selected one."""
        here = self.hold_still()
        if here is None:
            return
        line = self.view.line_of(here.number) + direction
        while 0 <= line < len(self.view):
            call = self._ledger.calls.get(self.view.number_at(line))
            if call is not None and call.word == here.word:
                self.select(call.number)
                return
            line += direction
        self.host.say(f"No {'later' if direction > 0 else 'earlier'} call with this decision in the list")

    def _step(self, count: int) -> None:
        if not len(self.view):
            return
        if self.cursor is None:
            line = len(self.view) - 1 if self.following else self.scroll_offset.y + self._page - 1
            line = min(line, len(self.view) - 1) + (0 if abs(count) == 1 else count)
        else:
            line = self.view.line_of(self.cursor) + count
        self.select(self.view.number_at(min(max(0, line), len(self.view) - 1)))

    def _stand(self) -> None:
        if self.following:
            self.following = False
            self.fresh = 0
            self.post_message(self.Moved())

    @property
    def _page(self) -> int:
        """Lines of calls in view; the first line of the widget has the titles."""
        return max(1, self.size.height - 1)

    def _redraw(self, numbers: list[int]) -> None:
        """Only the lines of these calls, where they are in view: most outcomes come one by one."""
        top = self.scroll_offset.y
        lines = {self.view.line_of(number) - top for number in numbers}
        for line in lines:
            if 0 <= line < self._page:
                self.refresh(Region(0, line + 1, self.size.width, 1))

    def _reveal(self, line: int) -> None:
        top = self.scroll_offset.y
        if line < top:
            self.scroll_to(y=line, animate=False)
        elif line >= top + self._page:
            self.scroll_to(y=line - self._page + 1, animate=False)

    def _settle(self, added: int) -> None:
        """Bring size and position in line with the view."""
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.view) + 1)
        self.vertical_scrollbar.window_virtual_size = self.virtual_size.height
        self.vertical_scrollbar.window_size = self.size.height
        if self.following:
            self.fresh = 0
            self.scroll_to(y=max(0, len(self.view) - self._page), animate=False)
        elif added:
            self.fresh += added
            self.post_message(self.Moved())

    def _follow_ring(self) -> None:
        """When old calls leave the ring under a list that stands still, its lines move up with them."""
        gone, self._first = self._ledger.calls.first - self._first, self._ledger.calls.first
        if gone and not self.following and not self.view.filtered:
            self.scroll_to(y=max(0, self.scroll_offset.y - gone), animate=False)

    def _measure(self, added: int) -> None:
        """Widen columns for the calls that arrived; they never get narrower, so that nothing jumps."""
        tool, who, used, most = self._needs.tool, self._needs.caller, self._needs.used, self._needs.most
        count = len(self.view)
        for line in range(max(0, count - min(added, 100)), count):
            call = self._ledger.calls.get(self.view.number_at(line))
            if call is None:
                continue
            name = len(safe(call.tool, 200))
            known = call.tool in self._ledger.offered
            tool, who = max(tool, name if known else min(name, _STRANGER)), max(who, len(caller(call.record)))
            counter = fullest(call.record)
            if counter is not None:
                used = max(used, len(plain(number(counter.get("used")))))
                most = max(most, len(plain(number(counter.get("max")))))
        self._needs = Needs(tool, who, used, most)

    def _prepare(self) -> None:
        width = self.scrollable_content_region.width
        wanted = (self.host.look, plan(width, self._needs), width)
        if wanted != self._drawn:
            self._drawn = wanted
            self._painter = RowPainter(wanted[0], wanted[1], width, self.host.zone)
            self._strips.clear()

    def _strip(self, painter: RowPainter, call: Call) -> Strip:
        key = (call.number, call.revision, call.number == self.cursor)
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) >= _CACHED:
                self._strips.clear()
            strip = self._strips[key] = painter.row(call, selected=key[2])
        return strip
