"""Every command for the palette and for the `:` line: the keys' table, and one command a theme."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.dom import DOMNode

from mcpwatch.console.keys import KEYS, Key, key_text
from mcpwatch.console.safe import safe
from mcpwatch.console.theme import Wardrobe


class Commanded(Protocol):
    """The app as the palette sees it."""

    wardrobe: Wardrobe
    keymap_user: dict[str, str]
    read_only: bool

    def reaches(self, key: Key, start: DOMNode) -> bool: ...

    async def obey(self, line: str) -> None: ...


class ConsoleCommands(Provider):
    """What `ctrl+p` offers."""

    @property
    def _console(self) -> Commanded:
        return cast(Commanded, self.app)

    async def discover(self) -> Hits:
        for name, help_text, line in self._commands():
            yield DiscoveryHit(name, lambda line=line: self._console.obey(line), help=help_text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, help_text, line in self._commands():
            score = matcher.match(f"{name} {help_text}")
            if score > 0:
                highlighted = matcher.highlight(name)
                yield Hit(score, highlighted, lambda line=line: self._console.obey(line), help=help_text)

    def _commands(self) -> Iterator[tuple[str, str, str]]:
        """(name, help, command line)."""
        console = self._console
        for key in KEYS:
            if (
                key.group != "Move"
                and key.id != "palette"
                and not (console.read_only and key.changes)
                and console.reaches(key, self.focused or self.screen)
            ):
                yield f"{key.label}", f"{key.help}  ·  {key_text(console.keymap_user.get(key.id, key.keys))}", key.id
        for name in sorted(console.wardrobe.looks):
            shown = safe(name, 40)
            yield f"Theme {shown}", "wear this theme", f"theme {name}"
