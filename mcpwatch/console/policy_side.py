"""Beside the editor: faults and remarks, what saving would change, the tool under the cursor and its keys."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from mcpwatch.console.draft import Draft
from mcpwatch.console.draw import title
from mcpwatch.console.fitting import Piece
from mcpwatch.console.safe import safe
from mcpwatch.console.toolbook import State, ToolLine
from mcpwatch.policy.values import Problem

_SWITCH: tuple[tuple[str, str, tuple[State, ...]], ...] = (
    ("A", "Allow", ("allow",)),
    ("x", "Deny", ("deny", "absent")),
    ("h", "Hide", ("hide",)),
    ("p", "Ask", ("hold",)),
    ("l", "Custom", ("custom",)),
)


_ROOMY = 16
"""Lines from which on remarks may wrap and nothing is left out."""


class ProblemList(OptionList):
    """Faults and remarks; choosing one goes to its place."""

    DEFAULT_CSS = """
    ProblemList { height: auto; max-height: 40%; border: none; padding: 0 1; background: $background; }
    ProblemList:focus { border: none; }
    """

    class Chosen(Message):
        """The operator wants to see this place."""

        def __init__(self, problem: Problem) -> None:
            super().__init__()
            self.problem = problem

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._problems: tuple[Problem, ...] = ()
        self._room = -1

    def tell(self, problems: tuple[Problem, ...], room: int) -> None:
        """Show these instead, each in one line of `room` cells; 0 lets them wrap."""
        if (problems, room) == (self._problems, self._room):
            return
        self._problems, self._room = problems, room
        self.clear_options()
        lines = [_problem_line(problem) for problem in problems]
        self.add_options([Option(line.truncate(room, ellipsis=True) if room else line) for line in lines])
        self.display = bool(problems)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(self._problems[event.option_index]))


class PolicySide(Widget):
    """The column beside the editor."""

    DEFAULT_CSS = """
    PolicySide { layout: vertical; }
    PolicySide > Static { height: auto; }
    PolicySide > VerticalScroll { height: 1fr; }
    PolicySide VerticalScroll > Static { height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._head = Static(markup=False)
        self._list = ProblemList(id="problems")
        self._rest = Static(markup=False)
        self._told: tuple[Draft, ToolLine | None, list[str], str] | None = None

    def on_resize(self) -> None:
        if self._told is not None:
            self.tell(*self._told)

    def compose(self) -> ComposeResult:
        return [self._head, self._list, VerticalScroll(self._rest, can_focus=False)]

    def tell(self, draft: Draft, tool: ToolLine | None, words: list[str], summary: str) -> None:
        """`words`: what the draft changes; `summary`: what it would have done to recorded calls."""
        self._told = (draft, tool, words, summary)
        width = self.size.width
        if not width:
            return
        low = self.size.height < _ROOMY
        remarks = len(draft.problems) - draft.errors
        count = f"{_count(draft.errors, 'fault')}, {_count(remarks, 'remark')}" if draft.problems else "none"
        self._head.update(title("FAULTS AND REMARKS", count, width))
        self._list.styles.max_height = 2 if low else "40%"
        self._list.tell(draft.problems, width - 3 if low else 0)
        inner = width - 1  # the rest of the column scrolls
        changes = _changes(words, summary, inner)
        lines = [*changes, *([] if low and (changes or draft.problems) and tool is None else _tool(tool, inner))]
        self._rest.update(Content("\n").join(lines))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _changes(words: list[str], summary: str, width: int) -> list[Content]:
    if not words and not summary:
        return []
    lines = [title("SAVING CHANGES", "^s", width)]
    if summary:
        lines.append(Content.styled(" " + safe(summary, 300), "bold"))
    return lines + [Content(" " + safe(word.replace("`", ""), 300)) for word in words]


def _tool(tool: ToolLine | None, width: int) -> list[Content]:
    lines = [title("TOOL", safe(tool.name, 80) if tool else "under the cursor", width)]
    if tool is None:
        return [*lines, Content.styled(" Put the cursor on a tool, or use 2 Tools.", "$muted")]
    pieces: list[Piece] = [(" ", "")]
    for key, label, states in _SWITCH:
        here = tool.state in states
        pieces += [(f"{key} ", "$muted"), (f"●{label} " if here else f"○{label} ", "bold $primary" if here else "")]
    lines.append(Content.assemble(*pieces))
    lines.append(Content.styled(f" {tool.category}, {tool.risk} risk: {safe(tool.why, 80)}", "$muted"))
    if tool.note:
        lines.append(Content.styled(f" ! {safe(tool.note, 200)}", "$decision-limit"))
    return [*lines, *(Content(" " + safe(rule, 300)) for rule in tool.rules)]


def _problem_line(problem: Problem) -> Content:
    error = problem.severity == "error"
    style = "bold $error" if error else "bold $warning"
    place = f"{problem.line}:{problem.column} "
    return Content.assemble(("✗ " if error else "! ", style), (place, style), (safe(problem.message, 400), ""))
