"""What panels and screens stand on: the app with its ledger, desk and look, as they see it, and the panel itself."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, Protocol, cast

from textual.app import App
from textual.dom import DOMNode
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
    # What the app returns at its end is typed there, and of no concern here.
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
