"""What the list of calls says while there are none: how an agent gets here."""

from __future__ import annotations

from textwrap import wrap

from textual.content import Content

from mcpwatch.console.connecting import Recipe, recipes
from mcpwatch.console.dialogs import Ask, Choice
from mcpwatch.console.host import Panel, app_of
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.safe import safe
from mcpwatch.console.wire import table


class EmptyList(Panel):
    """The URL and a ready-made line for each client; `y` copies one, with the token that the screen does not show."""

    DEFAULT_CSS = "EmptyList { height: 1fr; padding: 0 2; }"

    def __init__(self) -> None:
        super().__init__()
        self._text = Content("")

    def on_resize(self) -> None:
        self.show(self.host.ledger)

    def show(self, ledger: Ledger) -> None:
        text = _lesson(ledger, self.size.width, self.size.height)
        if not text.is_same(self._text):
            self._text = text
            self.refresh()

    def render(self) -> Content:
        return self._text

    def copy(self) -> None:
        """Ask which line to copy."""
        connect = self.host.ledger.connect
        found = recipes(connect)
        if not found:
            self.host.say("The gateway has no endpoint yet")
            return
        url = str(next(iter(table(connect.get("endpoints")).values())))
        texts = {recipe.client: recipe.text for recipe in found} | {"URL": url}
        choices = [Choice(recipe.key, recipe.client, recipe.client) for recipe in found]

        def chosen(client: str | None) -> None:
            if client:
                self.host.copy(texts[client], client if client == "URL" else f"{client} line")

        app_of(self).push_screen(Ask("Copy the line for", [], [*choices, Choice("l", "the URL alone", "URL")]), chosen)


def _lesson(ledger: Ledger, width: int, height: int) -> Content:
    found = recipes(ledger.connect)
    if not found:
        return Content.styled("No calls yet. The gateway is starting.", "$muted")
    blocks = [[Content.assemble(("No calls yet. ", "bold"), "Connect an agent and its calls appear here.")]]
    for url in table(ledger.connect.get("endpoints")).values():
        blocks[0].append(Content.assemble(("  ", ""), (safe(url, 200), "bold $primary")))
    blocks += [_recipe(recipe, width) for recipe in found]
    blocks.append(
        [Content.assemble(("y", "bold $primary"), (" copies one of them, with the token filled in.", "$muted"))]
    )
    airy = sum(len(block) for block in blocks) + len(blocks) - 1 <= height
    lines: list[Content] = []
    for block in blocks:
        lines += [Content("")] * (airy and bool(lines)) + block
    return Content("\n").join(lines)


def _recipe(recipe: Recipe, width: int) -> list[Content]:
    text = wrap(safe(recipe.shown, 600), max(20, width - 2), break_on_hyphens=False)
    head = Content.assemble((recipe.client, "bold"), (f"  {recipe.where}", "$muted"))
    return [head, *(Content.styled(f"  {line}", "$foreground") for line in text)]
