"""The selected call, whole: as a panel where there is room, as a screen where there is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from mcpwatch.console.draw import title
from mcpwatch.console.host import Panel
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.ring import Call
from mcpwatch.console.seat import Seat
from mcpwatch.console.story import story


class DetailPanel(Panel):
    """Title and the call's story; scrolls."""

    DEFAULT_CSS = """
    DetailPanel { layout: vertical; }
    DetailPanel > .title { height: 1; }
    DetailPanel > VerticalScroll { padding: 0 1; height: 1fr; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    DetailPanel VerticalScroll > Static { height: auto; }
    """

    def __init__(
        self, *, note: str = "enter whole screen, esc close", judging: bool = False, id: str | None = None
    ) -> None:
        """`judging`: the operator decides on the call, so its arguments come first."""
        super().__init__(id=id)
        self._note, self._judging = note, judging
        self._title = Static(markup=False, classes="title")
        self._text = Static(markup=False)
        self._scroll = VerticalScroll(self._text)
        self._call: Call | None = None
        self._drawn: tuple[Any, ...] = ()

    def compose(self) -> ComposeResult:
        return [self._title, self._scroll]

    def tell(self, call: Call | None) -> None:
        """Show this call from now on."""
        if call is not self._call:
            self._call = call
            self._scroll.scroll_home(animate=False)
        self.show(self.host.ledger)

    def show(self, ledger: Ledger) -> None:
        call = self._call
        if not self.display or not self.size.width:
            return
        state = (call, call.revision if call else 0, self.size.width, ledger.now_ms // 1000, self.host.look)
        if state == self._drawn:
            return
        self._drawn = state
        self._title.update(title("CALL", self._note, self.size.width), layout=False)
        width = self.size.width - 3
        nothing = Content.styled("No call selected: j k or a click selects one.", "$muted")
        look, zone = self.host.look, self.host.zone
        told = story(call, ledger, look, zone, width, arguments_first=self._judging) if call else nothing
        self._text.update(told)

    def on_resize(self) -> None:
        self.show(self.host.ledger)


class DetailScreen(Seat):
    """One call on the whole screen."""

    seat = "live"
    footer = ("back", "copy", "limit", "deny", "hide", "approval", "rule", "approve", "refuse")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "app.pop_screen", "Back", show=False),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
    ]

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call

    def body(self) -> Iterable[Widget]:
        yield DetailPanel(note="j k scroll, esc back", id="main")

    def on_mount(self) -> None:
        self.call_after_refresh(self.query_one(DetailPanel).tell, self.call)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
