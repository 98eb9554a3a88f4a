"""The frame around every screen: header, banner, footer, and what is between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from mcpwatch.console.footer import FooterBar
from mcpwatch.console.header import Banner, HeaderBar
from mcpwatch.console.host import Host, Panel, host
from mcpwatch.console.ledger import Ledger


class Seat(Screen[Any]):
    """A screen with header, banner and footer; subclasses give `body` and may extend `show`.

    `seat` names it as in `keys.KEYS`; `footer` lists the command ids the footer offers, most wanted first.
    """

    AUTO_FOCUS: ClassVar[str | None] = "#main"  # pyright: ignore[reportIncompatibleVariableOverride]
    HORIZONTAL_BREAKPOINTS: ClassVar[list[tuple[int, str]] | None] = [(0, "-narrow"), (116, "-normal"), (164, "-wide")]  # pyright: ignore[reportIncompatibleVariableOverride]
    VERTICAL_BREAKPOINTS: ClassVar[list[tuple[int, str]] | None] = [(0, "-low"), (34, "-high"), (46, "-tall")]  # pyright: ignore[reportIncompatibleVariableOverride]

    seat: ClassVar[str] = ""
    footer: ClassVar[tuple[str, ...]] = ()

    @property
    def host(self) -> Host:
        return host(self)

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        yield Banner()
        yield from self.body()
        yield FooterBar(self.seat, self.footer)

    def body(self) -> Iterable[Widget]:
        """The widgets between banner and footer; the one with the id `main` gets the focus."""
        return ()

    def on_screen_resume(self) -> None:
        self.show(self.host.ledger)

    @property
    def unsaved(self) -> str:
        """What would be lost if the console ended now, "" for nothing."""
        return ""

    def upstream_in_view(self) -> str:
        """The upstream whose policy is meant here, "" when that is told by the selected call."""
        return ""

    def flow(self, ledger: Ledger) -> None:
        """Every frame in which something happened: draw what streams."""

    def show(self, ledger: Ledger) -> None:
        """A few times a second: let every panel draw what changed."""
        for panel in self.query(Panel):
            panel.show(ledger)

    def look_changed(self) -> None:
        """Another theme is worn: forget what was drawn in the old one."""
        for panel in self.query(Panel):
            panel.refresh()
        self.show(self.host.ledger)
