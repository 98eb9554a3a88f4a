"""The line at the bottom: the keys that matter here, as many as fit; each can be clicked."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from mcpwatch.console.host import Panel
from mcpwatch.console.keys import BY_ID, KEYS, Key, first_key
from mcpwatch.console.ledger import Ledger

_LAST = ("help", "palette", "quit")
_LAST_NARROW = ("help", "quit")
_ROOMY = 100


class FooterBar(Panel):
    """Screens on the left with the current one marked, then this screen's keys, then help, palette, quit."""

    DEFAULT_CSS = "FooterBar { height: 1; background: $surface; } FooterBar > Static { height: 1; }"

    def __init__(self, seat: str, offered: tuple[str, ...]) -> None:
        super().__init__()
        self._seat = seat
        self._offered = offered
        self._line = Static(markup=False)
        self._spots: list[tuple[int, int, Key]] = []
        self._drawn: tuple[int, bool] | None = None

    def compose(self) -> ComposeResult:
        return [self._line]

    def offer(self, offered: tuple[str, ...]) -> None:
        """Offer these commands from now on."""
        if offered != self._offered:
            self._offered, self._drawn = offered, None
            self.show(self.host.ledger)

    def on_resize(self) -> None:
        self.show(self.host.ledger)

    def show(self, ledger: Ledger) -> None:
        state = (self.size.width, self.host.read_only)
        if self.size.width > 0 and state != self._drawn:
            self._drawn = state
            self._line.update(self._content(self.size.width), layout=False)

    async def on_click(self, event: events.Click) -> None:
        for start, end, key in self._spots:
            if start <= event.x < end:
                await self.screen.run_action(key.action)
                return

    def _content(self, width: int) -> Content:
        """Commands from left to right; those that do not fit are in the help anyway."""
        narrow = width < _ROOMY
        gap = 1 if narrow else 2
        seats = [key for key in KEYS if key.group == "Screens"]
        tail = [BY_ID[name] for name in (_LAST_NARROW if narrow else _LAST)]
        room = width - 1 - sum(self._width(key) + gap for key in (*seats, *tail))
        middle: list[Key] = []
        for key in self._usable():
            if self._width(key) + gap <= room:
                middle.append(key)
                room -= self._width(key) + gap
        return self._assembled(seats, middle, tail, gap, max(0, room))

    def _usable(self) -> list[Key]:
        return [BY_ID[name] for name in self._offered if not (self.host.read_only and BY_ID[name].changes)]

    def _assembled(self, seats: list[Key], middle: list[Key], tail: list[Key], gap: int, room: int) -> Content:
        parts: list[tuple[str, str]] = [(" ", "")]
        self._spots, at = [], 1
        for key in (*seats, *middle, *tail):
            if key is tail[0]:
                parts.append((" " * room, ""))
                at += room
            style = (
                "bold $foreground on $selection"
                if key.id == self._seat
                else "$foreground"
                if key in middle
                else "$muted"
            )
            parts += [
                (first_key(key, self.host.keymap_user), "bold $primary"),
                (" ", ""),
                (key.label, style),
                (" " * gap, ""),
            ]
            self._spots.append((at, at + self._width(key), key))
            at += self._width(key) + gap
        return Content.assemble(*parts)

    def _width(self, key: Key) -> int:
        return len(first_key(key, self.host.keymap_user)) + 1 + len(key.label)
