"""Every key, in groups, from the same table as the bindings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from mcpwatch.console.keys import KEYS, Key, key_text

_DECISIONS = (
    ("allow", "forwarded to the upstream"),
    ("deny", "refused by a rule, or by default"),
    ("limit", "refused because a limit is used up"),
    ("hold", "waits for an operator"),
    ("observe", "forwarded, though an observing rule would refuse it"),
    ("hidden", "a tool that agents do not see was called"),
    ("reject", "refused before the policy: malformed, or no token"),
)


class HelpScreen(ModalScreen[None]):
    """Keys and what the words mean; escape or ? closes it."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll { width: 78; max-width: 100%; height: auto; max-height: 96%; padding: 0 2; background: $panel; border: round $primary; scrollbar-size-vertical: 1; }
    HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", show=False)]

    def __init__(self, keymap: Mapping[str, str], glyphs: Mapping[str, str], *, read_only: bool) -> None:
        super().__init__()
        self._keymap, self._glyphs, self._read_only = keymap, glyphs, read_only

    def compose(self) -> Iterable[Widget]:
        with VerticalScroll():
            yield Static(self._content(), markup=False)

    def _content(self) -> Content:
        lines = [Content.assemble(("KEYS", "bold $primary"), ("   j k scroll, esc closes", "$muted"))]
        for group in dict.fromkeys(key.group for key in KEYS):
            lines += [Content(""), Content.styled(group, "bold")]
            lines += [self._line(key) for key in KEYS if key.group == group]
        lines += [Content(""), Content.styled("Decisions", "bold")]
        lines += [
            Content.assemble(
                (f"  {self._glyphs[word]} {word.upper():<14}", f"bold $decision-{word}"), (meaning, "$foreground")
            )
            for word, meaning in _DECISIONS
        ]
        return Content("\n").join(lines)

    def _line(self, key: Key) -> Content:
        off = self._read_only and key.changes
        note = "  (not in a read-only console)" if off else ""
        keys = key_text(self._keymap.get(key.id, key.keys))
        return Content.assemble(
            (f"  {keys:<14}", "$muted" if off else "bold $primary"),
            (f"  {key.help}", "$muted" if off else ""),
            (note, "$muted"),
        )
