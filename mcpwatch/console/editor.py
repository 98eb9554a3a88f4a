"""The editor of a policy text: colours, faults underlined and signed in the margin, words completed.

Textual's TextArea colours text from `_highlights`, which it fills from tree-sitter; here they are made line by line
when they are drawn. That name is private to Textual: a test says so when it changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme

from mcpwatch.console.completion import rest_of
from mcpwatch.console.highlight import Mark, line_marks, mark_at
from mcpwatch.console.theme import Look
from mcpwatch.policy.values import Problem


class _Lazy(defaultdict[int, list[Mark]]):
    """Marks of a line, made when the line is drawn. Never empty, or Textual would draw without colours."""

    def __init__(self, make: Callable[[int], list[Mark]]) -> None:
        super().__init__(list)
        self._make = make
        self[-1] = []

    def __missing__(self, line: int) -> list[Mark]:
        marks = self[line] = self._make(line)
        return marks


def plain_lines(text: str) -> str:
    """The text with every line end as a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


class PolicyEditor(TextArea):
    """Read-only until the operator edits: then letters are text, before they are keys of the console."""

    BINDINGS = [  # noqa: RUF012 (Textual reads it from the class)
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "ends(0)", "First line", show=False),
        Binding("G", "ends(-1)", "Last line", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        self._problems: dict[int, list[Problem]] = {}
        self._signs: tuple[Style, Style] = (Style(), Style())
        self.yaml = False
        self.tool_names: Sequence[str] = ()
        super().__init__(
            id=id, soft_wrap=False, show_line_numbers=True, read_only=True, tab_behavior="focus", max_checkpoints=200
        )
        self.cursor_blink = False

    def wear(self, look: Look, number: int) -> None:
        """Colours of a theme; `number` tells one wearing from another."""
        colours, syntax = look.colors, {name: Style(color=value) for name, value in look.syntax.items()}
        syntax["problem"] = Style(color=look.syntax["problem"], underline=True)
        syntax["remark"] = Style(color=colours["warning"], underline=True)
        self._signs = (Style(color=look.syntax["problem"], bold=True), Style(color=colours["warning"], bold=True))
        self.register_theme(
            TextAreaTheme(
                name=f"policy-{number}",
                base_style=Style(color=colours["foreground"], bgcolor=colours["background"]),
                gutter_style=Style(color=colours["muted"], bgcolor=colours["background"]),
                cursor_line_gutter_style=Style(color=colours["primary"], bgcolor=colours["surface"], bold=True),
                cursor_style=Style(reverse=True),
                cursor_line_style=Style(bgcolor=colours["surface"]),
                selection_style=Style(bgcolor=colours["selection"]),
                bracket_matching_style=Style(bold=True, underline=True),
                syntax_styles=syntax,
            )
        )
        self.theme = f"policy-{number}"

    def mark(self, problems: Sequence[Problem]) -> None:
        """Underline the places of problems and sign their lines in the margin."""
        self._problems.clear()
        for problem in problems:
            self._problems.setdefault(problem.line - 1, []).append(problem)
        self._build_highlight_map()
        self.refresh()

    def change_to(self, text: str) -> None:
        """Replace only what differs, as one step that undo takes back."""
        text = plain_lines(text)
        old, new = list(self.document.lines), text.split("\n")
        changes = [op for op in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if op[0] != "equal"]
        if not changes:
            return
        first, last, start, end = changes[0][1], changes[-1][2], changes[0][3], changes[-1][4]
        self.history.checkpoint()
        if last < len(old):
            self.replace("".join(f"{line}\n" for line in new[start:end]), (first, 0), (last, 0))
        elif first == 0:
            self.replace(text, (0, 0), self.document.end)
        else:
            tail = "".join(f"\n{line}" for line in new[start:end])
            self.replace(tail, (first - 1, len(old[first - 1])), self.document.end)
        self.history.checkpoint()

    def action_ends(self, row: int) -> None:
        """To the first line (0) or the last (-1)."""
        self.goto(1 if row == 0 else self.document.line_count)

    def goto(self, line: int, column: int = 1) -> None:
        """Put the cursor at a place, both from 1, and show it in the middle."""
        row = max(0, min(line - 1, self.document.line_count - 1))
        self.move_cursor((row, max(0, min(column - 1, len(self.document.get_line(row))))), center=True)

    def update_suggestion(self) -> None:
        if self.read_only or self.yaml or self.selection.start != self.selection.end:
            self.suggestion = ""
            return
        row, column = self.cursor_location
        line = self.document.get_line(row)
        self.suggestion = rest_of(line[:column], line[column:], self.tool_names)

    def _build_highlight_map(self) -> None:
        self._line_cache.clear()  # pyright: ignore[reportUnknownMemberType]  (its keys are not typed)
        self._highlights = _Lazy(self._marks)

    def _render_line(self, y: int) -> Strip:
        strip = super()._render_line(y)
        problems = self._problems.get(y + self.scroll_offset.y)
        if not problems:
            return strip
        first, *rest = strip
        worst = any(problem.severity == "error" for problem in problems)
        sign = Segment("✗" if worst else "!", (first.style or Style()) + self._signs[0 if worst else 1])
        return Strip([Segment(first.text[:-1], first.style), sign, *rest], strip.cell_length)

    def _marks(self, row: int) -> list[Mark]:
        if not 0 <= row < self.document.line_count:
            return []
        line = self.document.get_line(row)
        marks = line_marks(line, yaml=self.yaml)
        for problem in self._problems.get(row, ()):
            start, end, _ = mark_at(line, problem.column, problem.length)
            marks.append((start, end, "problem" if problem.severity == "error" else "remark"))
        return marks
