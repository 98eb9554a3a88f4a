"""Everything that was recorded, searched with the same filter language as the live list."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from textual import on, work
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from mcpwatch.console.archive import PAGE, Archive, Page
from mcpwatch.console.callorders import CallOrders
from mcpwatch.console.detail import DetailPanel
from mcpwatch.console.draw import title
from mcpwatch.console.filterbar import FilterBar
from mcpwatch.console.host import host
from mcpwatch.console.keys import bindings
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.ring import Call
from mcpwatch.console.safe import safe, shorten
from mcpwatch.console.seat import Seat
from mcpwatch.console.stream import CallStream
from mcpwatch.console.wire import number, tables
from mcpwatch.console.wording import moment
from mcpwatch.errors import ConfigError

_ADVICE = {True: "esc takes the filter away, / changes it.", False: "r looks again."}


class ArchiveList(CallStream):
    """The list of Live over found records; asks for older ones when the operator goes above the first."""

    class Older(Message):
        """The operator wants to see what was before."""

    def __init__(self, ledger: Ledger, *, id: str | None = None) -> None:
        super().__init__(ledger, id=id)
        self.empty = ""
        """What is said instead of a list."""

    def render_line(self, y: int) -> Strip:
        if y == 2 and self.empty and self._painter is not None:
            return self._painter.note(self.empty)
        return super().render_line(y)

    def action_up(self) -> None:
        self._maybe_older()
        super().action_up()

    def action_half(self, direction: int) -> None:
        if direction < 0:
            self._maybe_older()
        super().action_half(direction)

    def action_top(self) -> None:
        super().action_top()
        self.post_message(self.Older())

    def _maybe_older(self) -> None:
        if self.cursor is not None and self.view.line_of(self.cursor) == 0:
            self.post_message(self.Older())


class AuditScreen(CallOrders, Seat):
    """A line that says what is shown, the list, the detail below."""

    seat = "audit"
    footer = ("filter", "detail", "copy", "rule", "refresh")
    BINDINGS = bindings(("filter", "detail", "copy", "rule", "back", "refresh"))

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._live = ledger
        self._archive = Archive()
        self._title = Static(markup=False, id="audit-title")
        self._list = ArchiveList(self._archive.ledger, id="main")
        self._filter = FilterBar()
        self._hint = Static(markup=False, id="audit-hint")
        self._below = DetailPanel(id="detail-below")
        self._asked = False

    def body(self) -> Iterable[Widget]:
        yield Vertical(self._title, self._list, self._hint, self._filter, self._below, id="audit")

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if not self._asked:
            self._search(self._filter.text)

    def on_resize(self) -> None:
        self.call_after_refresh(self._tell)

    def target(self) -> Call | None:
        return self._list.hold_still()

    def selected_call(self) -> Call | None:
        return self._list.selected

    def look_changed(self) -> None:
        self._list.repaint()
        super().look_changed()

    def action_filter(self) -> None:
        self._filter.open()

    def action_refresh(self) -> None:
        """Search again, for what was recorded since."""
        self._search(self._filter.text)

    def action_back(self) -> None:
        if self.has_class("-detail"):
            self.remove_class("-detail")
        elif self._filter.text:
            self._filter.clear()
        self._list.focus()

    @on(CallStream.Moved)
    def tell_detail(self) -> None:
        self._below.tell(self._list.selected)

    @on(FilterBar.Changed)
    def _filtered(self, event: FilterBar.Changed) -> None:
        if event.done:
            self._search(self._filter.text)
            self._list.focus()

    @on(ArchiveList.Older)
    def _wants_older(self) -> None:
        if len(self._archive) and not self._archive.whole:
            self._older()

    @work(exclusive=True, group="audit")
    async def _search(self, text: str) -> None:
        page = await self._ask(text, 0)
        if page is None:
            return
        self._asked = True
        self._archive.begin(text, page)
        self._list.cursor = None
        self._list.following = True
        self._list.catch_up()
        self.tell_detail()
        self._tell()

    @work(exclusive=True, group="audit")
    async def _older(self) -> None:
        page = await self._ask(self._archive.filter, self._archive.before_seq)
        if page is None:
            return
        here = self._list.selected
        self._archive.older(page)
        self._list.catch_up()
        again = self._archive.named(here.call_id) if here is not None else None
        if again is not None:
            self._list.select(again.number)
        self._tell()

    async def _ask(self, text: str, before_seq: int) -> Page | None:
        """The next page with anything on it: the gateway ends a long search early and says where to go on."""
        while True:
            try:
                found = await host(self).desk.search(text, 0, before_seq, PAGE)
            except ConfigError as fault:
                host(self).say(fault.message, error=True)
                return None
            page = Page(tables(found.get("rows")), int(number(found.get("before_seq"))))
            if page.rows or not page.before_seq:
                return page
            before_seq = page.before_seq

    def _tell(self) -> None:
        width = self.size.width
        archive = self._archive
        if not len(archive):
            known = "nothing matches" if archive.filter else "nothing recorded yet"
            note = known if self._asked else "searching"
            self._list.empty = f"{note[:1].upper()}{note[1:]}. {_ADVICE[bool(archive.filter)]}"
        else:
            self._list.empty = ""
            zone = host(self).zone
            days = f"{moment(archive.first_at_ms, zone)[:19]} – {moment(archive.last_at_ms, zone)}"
            count = f"{len(archive):,}{'' if archive.whole else ' newest'}"
            note = f"{count} · {days}" if width >= 70 else count
        if archive.filter:
            note += f" · {shorten(safe(archive.filter, 200), 40)}"
        self._list.refresh()
        self._title.update(title("AUDIT", note, width, focused=True))
        words = f" {shlex.quote(safe(archive.filter, 200))}" if archive.filter else ""
        older = [] if archive.whole else ["k at the top: older"]
        hints = ["r looks again", *older, "/ until:14:02 jumps, UTC", f"mcpwatch audit export{words} > calls.jsonl"]
        # A command that is cut cannot be typed: what has no room is left out.
        while len(hints) > 1 and len("   ".join(hints)) > width - 2:
            hints.pop()
        self._hint.update(Content.styled(f" {'   '.join(hints)}", "$muted"))
