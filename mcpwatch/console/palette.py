"""Every command for the palette and for the `:` line: the keys' table, and one command a theme."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from mcpwatch.console.keys import KEYS, key_text
from mcpwatch.console.safe import safe

if TYPE_CHECKING:
    from mcpwatch.console.app import ConsoleApp


class ConsoleCommands(Provider):
    """What `ctrl+p` offers."""

    @property
    def _console(self) -> ConsoleApp:
        return cast("ConsoleApp", self.app)

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
