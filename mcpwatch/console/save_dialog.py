"""The last look before a policy is saved: what changes in words, as a diff, and for the calls that are known."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from mcpwatch.console.changes import Change
from mcpwatch.console.fitting import Piece
from mcpwatch.console.safe import safe
from mcpwatch.console.whatif import WhatIf, in_words
from mcpwatch.policy import edit

_SHOWN_WORDS = 8
_SHOWN_FLIPS = 6
_FRAME = 6
"""Lines of the dialog that are its border, its padding, and the keys with a blank line before."""


class SaveDialog(ModalScreen[bool]):
    """Closes with True when the operator saves."""

    DEFAULT_CSS = """
    SaveDialog { align: center middle; background: $background 60%; }
    SaveDialog > Vertical {
        width: 92; max-width: 96%; height: auto; max-height: 92%; padding: 1 2;
        background: $panel; border: round $primary;
    }
    SaveDialog VerticalScroll { height: auto; }
    SaveDialog .diff { background: $background; padding: 0 1; }
    SaveDialog Static { height: auto; width: 1fr; }
    """

    def __init__(self, change: Change, what_if: WhatIf, file: str) -> None:
        super().__init__()
        self._change, self._what_if, self._file = change, what_if, file

    def compose(self) -> Iterable[Widget]:
        with Vertical():
            yield Static(Content.styled(safe(self._change.title, 200), "bold"), markup=False, classes="above")
            yield Static(Content.styled(safe(self._file, 200), "$muted"), markup=False, classes="above")
            with VerticalScroll(can_focus=False):
                yield Static(_lines(self._words()), markup=False)
                yield Static(_lines(self._consequences()), markup=False)
                yield Static(diff_lines(self._change.before, self._change.after), markup=False, classes="diff")
            yield Static(markup=False, id="keys")

    def on_resize(self) -> None:
        self.call_after_refresh(self._arrange)

    def _arrange(self) -> None:
        """What does not fit scrolls; the keys stay in view."""
        above = sum(line.size.height for line in self.query(".above"))
        self.query_one(VerticalScroll).styles.max_height = max(3, self.size.height * 92 // 100 - _FRAME - above)

    def on_mount(self) -> None:
        self.watch(self.query_one(VerticalScroll), "show_vertical_scrollbar", self._tell_keys)

    def _tell_keys(self) -> None:
        more: list[Piece] = []
        if self.query_one(VerticalScroll).show_vertical_scrollbar:
            more = [("   j k ", "bold $primary"), ("Scroll", "")]
        keys = [("enter ", "bold $primary"), ("Save   ", ""), ("esc ", "bold $primary"), ("Leave it as it is", "")]
        self.query_one("#keys", Static).update(Content.assemble("\n", *keys, *more))

    def on_key(self, event: events.Key) -> None:
        event.stop()
        if event.key in ("down", "up", "pagedown", "pageup", "j", "k"):
            step = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": 10, "pageup": -10}[event.key]
            self.query_one(VerticalScroll).scroll_relative(y=step, animate=False)
        elif event.key == "enter":
            self.dismiss(True)
        elif event.key == "escape":
            self.dismiss(False)

    def _words(self) -> list[list[Piece]]:
        words = in_words(self._change.before, self._change.after)
        more = [f"and {len(words) - _SHOWN_WORDS} more"] if len(words) > _SHOWN_WORDS else []
        return [[("", "")], *([(safe(line.replace("`", ""), 200), "")] for line in (*words[:_SHOWN_WORDS], *more))]

    def _consequences(self) -> list[list[Piece]]:
        flips = self._what_if.flips
        more = [f"and {len(flips) - _SHOWN_FLIPS} more kinds"] if len(flips) > _SHOWN_FLIPS else []
        lines: list[list[Piece]] = [[("What if  ", "$muted"), (safe(self._what_if.summary, 400), "bold")]]
        lines += [[("         " + safe(line, 200), "$muted")] for line in (*flips[:_SHOWN_FLIPS], *more)]
        return [*lines, [("", "")]]


def diff_lines(before: str, after: str) -> Content:
    """A unified diff with line numbers of hunks, additions and removals told apart by sign and colour."""
    lines = edit.diff(before, after)[2:]
    styles = {"+": "$decision-allow", "-": "$decision-deny", "@": "$muted"}
    shown = [Content.styled(safe(line, 500), styles.get(line[:1], "")) for line in lines]
    return Content("\n").join(shown or [Content.styled("nothing changes", "$muted")])


def _lines(lines: Iterable[list[Piece]]) -> Content:
    return Content("\n").join([Content.assemble(*line) for line in lines])
