"""What the list of calls says while there are none: how an agent gets here."""

from __future__ import annotations

from textual.content import Content

from mcpwatch.console.connecting import recipes
from mcpwatch.console.dialogs import Ask, Choice
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.safe import safe
from mcpwatch.console.seat import Panel


class EmptyList(Panel):
    """The URL and a ready-made line for each client; `y` copies one, with the token that the screen does not show."""

    DEFAULT_CSS = "EmptyList { height: 1fr; padding: 1 2; overflow-y: auto; }"

    def __init__(self) -> None:
        super().__init__()
        self._text = Content("")

    def show(self, ledger: Ledger) -> None:
        text = _lesson(ledger)
        if not text.is_same(self._text):
            self._text = text
            self.refresh(layout=True)

    def render(self) -> Content:
        return self._text

    def copy(self) -> None:
        """Ask which line to copy."""
        connect = self.host.ledger.connect
        found = recipes(connect)
        if not found:
            self.host.say("The gateway has no endpoint yet")
            return
        url = str(next(iter((connect.get("endpoints") or {}).values())))
        texts = {recipe.client: recipe.text for recipe in found} | {"URL": url}
        choices = [Choice(recipe.key, recipe.client, recipe.client) for recipe in found]

        def chosen(client: str | None) -> None:
            if client:
                self.host.copy(texts[client], client if client == "URL" else f"{client} line")

        self.app.push_screen(Ask("Copy the line for", [], [*choices, Choice("l", "the URL alone", "URL")]), chosen)


def _lesson(ledger: Ledger) -> Content:
    found = recipes(ledger.connect)
    if not found:
        return Content.styled("No calls yet. The gateway is starting.", "$muted")
    lines = [
        Content.assemble(("No calls yet. ", "bold"), "Connect an agent and its calls appear here."),
        Content(""),
    ]
    for url in (ledger.connect.get("endpoints") or {}).values():
        lines.append(Content.assemble(("  ", ""), (safe(url, 200), "bold $primary")))
    for recipe in found:
        lines += [
            Content(""),
            Content.assemble((recipe.client, "bold"), (f"  {recipe.where}", "$muted")),
            Content.assemble(("  ", ""), (safe(recipe.shown, 600), "$foreground")),
        ]
    lines += [
        Content(""),
        Content.assemble(("y", "bold $primary"), (" copies one of them, with the token filled in.", "$muted")),
    ]
    return Content("\n").join(lines)
