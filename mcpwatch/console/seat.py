"""What panels and screens stand on: the ledger, the desk and the look of the app, and the frame around a screen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from typing import Any, ClassVar, Protocol, cast

from textual.app import App, ComposeResult
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget

from mcpwatch.console.desk import Desk
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.theme import Look


class Host(Protocol):
    """The app as panels and screens see it."""

    ledger: Ledger
    desk: Desk
    look: Look
    keymap_user: dict[str, str]
    read_only: bool
    by: str
    zone: tzinfo | None

    @property
    def linked(self) -> bool: ...

    @property
    def link_error(self) -> str: ...

    def say(self, text: str, *, error: bool = False) -> None:
        """A short message in the corner; `text` may hold anything, it is made safe."""
        ...

    def copy(self, text: str, what: str) -> None:
        """Put `text` on the clipboard and say so."""
        ...

    def may_change(self) -> bool:
        """Whether this console may change things; says why not when it may not."""
        ...


def app_of(node: DOMNode) -> App[Any]:
    """The app that `node` belongs to."""
    return cast("App[Any]", node.app)  # pyright: ignore[reportUnknownMemberType]


def host(node: DOMNode) -> Host:
    """The same, as panels and screens see it."""
    return cast(Host, app_of(node))


class Panel(Widget):
    """A part of a screen that draws something of the ledger."""

    def show(self, ledger: Ledger) -> None:
        """Draw what changed. Called several times a second while in view: return early when nothing did."""
        del ledger
        self.refresh()

    @property
    def host(self) -> Host:
        return host(self)


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
        from mcpwatch.console.footer import FooterBar
        from mcpwatch.console.header import Banner, HeaderBar

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
