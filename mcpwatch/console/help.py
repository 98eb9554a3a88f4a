"""Every key, in groups, from the same table as the bindings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from mcpwatch.console.host import app_of
from mcpwatch.console.keys import KEYS, Key, key_text

_TWO = 120
_COLUMN = 55
_LEFT = ("Screens", "Move", "Calls", "Console")

_DECISIONS = (
    ("allow", "forwarded to the upstream"),
    ("deny", "refused by a rule, or by default"),
    ("limit", "refused because a limit is used up"),
    ("hold", "waits for an operator"),
    ("observe", "forwarded, an observing rule objects"),
    ("hidden", "a hidden tool was called"),
    ("reject", "malformed, or without a token"),
)


class HelpScreen(ModalScreen[None]):
    """Keys and what the words mean; escape or ? closes it."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 78; max-width: 100%; height: auto; max-height: 96%; padding: 0 2;
        background: $panel; border: round $primary; scrollbar-size-vertical: 1;
    }
    HelpScreen.-two > VerticalScroll { width: 118; }
    HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", show=False),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
    ]

    def __init__(self, keymap: Mapping[str, str], glyphs: Mapping[str, str], *, read_only: bool) -> None:
        super().__init__()
        self._keymap, self._glyphs, self._read_only = keymap, glyphs, read_only

    def compose(self) -> Iterable[Widget]:
        with VerticalScroll():
            yield Static(self._content(wide=app_of(self).size.width >= _TWO), markup=False)

    def on_mount(self) -> None:
        self.set_class(app_of(self).size.width >= _TWO, "-two")

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def _content(self, *, wide: bool) -> Content:
        groups = sorted(dict.fromkeys(key.group for key in KEYS), key=lambda group: group not in _LEFT)
        blocks = [[Content.styled(group, "bold"), *self._lines(group), Content("")] for group in groups]
        blocks.append([Content.styled("Decisions", "bold"), *self._decisions()])
        head = Content.assemble(("KEYS", "bold $primary"), ("   j k scroll, esc closes", "$muted"))
        lines = [line for block in blocks for line in block]
        if wide:
            left = [line for block in blocks[: len(_LEFT)] for line in block]
            right = [line for block in blocks[len(_LEFT) :] for line in block]
            lines = [_pair(one, other) for one, other in zip_longest(left, right, fillvalue=Content(""))]
        return Content("\n").join([head, Content(""), *lines])

    def _decisions(self) -> list[Content]:
        return [
            Content.assemble(
                (f"  {self._glyphs[word]} {word.upper():<12}", f"bold $decision-{word}"), (meaning, "$foreground")
            )
            for word, meaning in _DECISIONS
        ]

    def _lines(self, group: str) -> list[Content]:
        return [self._line(key) for key in KEYS if key.group == group]

    def _line(self, key: Key) -> Content:
        off = self._read_only and key.changes
        note = "  (read-only)" if off else ""
        keys = key_text(self._keymap.get(key.id, key.keys))
        return Content.assemble(
            (f"  {keys:<12}", "$muted" if off else "bold $primary"),
            (f"  {key.help}", "$muted" if off else ""),
            (note, "$muted"),
        )


def _pair(left: Content, right: Content) -> Content:
    left = left.truncate(_COLUMN - 1, ellipsis=True)
    return Content("").join(
        [left.pad_right(max(0, _COLUMN - left.cell_length)), right.truncate(_COLUMN, ellipsis=True)]
    )
