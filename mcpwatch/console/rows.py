"""Draws one call as one line. The cells are made safe here; styles come from the look."""

from __future__ import annotations

from datetime import tzinfo

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from mcpwatch.console.columns import Column, Plan
from mcpwatch.console.ring import Call
from mcpwatch.console.safe import fit, safe, safe_json, safe_values
from mcpwatch.console.theme import Look
from mcpwatch.console.wire import number
from mcpwatch.console.wording import WORDS, answer_time, caller, clock, fullest, plain, share, why

_NAMES_FROM = 44


def arguments_text(args: object, width: int) -> str:
    """Arguments in one line: `kind=Pod namespace=shop`, the values alone where there is little room."""
    return safe_json(args, width + 40) if width >= _NAMES_FROM else safe_values(args, width + 40)


class RowPainter:
    """Draws lines in one look and one plan of columns."""

    def __init__(self, look: Look, plan: Plan, width: int, zone: tzinfo | None) -> None:
        colors = look.colors
        self.width = width
        self._look, self._plan, self._zone = look, plan, zone
        self._selected = Style.parse(f"on {colors['selection']}")
        self._ground = Style.parse(f"on {colors['background']}")
        self._plain, self._muted = Style.parse(colors["foreground"]), Style.parse(colors["muted"])
        self._tool = Style.parse(f"bold {colors['foreground']}")
        self._cursor = Style.parse(f"bold {colors['primary']}")
        self._fault, self._warn = Style.parse(look.decision["limit"]), Style.parse(colors["warning"])
        self._full = Style.parse(f"bold {look.decision['limit']}")
        self._words = {word: Style.parse(f"bold {look.decision[word]}") for word in WORDS}
        self._words["allow"] = Style.parse(look.decision["allow"])

    def head(self) -> Strip:
        """The line of column titles."""
        cells = [Segment(" ", self._muted)]
        for column in self._plan.columns:
            title = column.title[: column.width]
            cells.append(Segment(title.rjust(column.width) if column.right else title.ljust(column.width), self._muted))
            cells.append(Segment(" ", self._muted))
        return Strip(cells).apply_style(self._ground).adjust_cell_length(self.width, self._ground)

    def note(self, text: str) -> Strip:
        """A remark in place of a call."""
        return Strip([Segment(f" {text}", self._muted + self._ground)]).adjust_cell_length(self.width, self._ground)

    def row(self, call: Call, *, selected: bool) -> Strip:
        """One call; a selected one has a mark and another ground."""
        ground = self._selected if selected else self._ground
        cells = [Segment(self._look.glyphs["cursor"] if selected else " ", self._cursor + ground)]
        for column in self._plan.columns:
            text, style = self._cell(column, call)
            cells += [Segment(text, style + ground), Segment(" ", ground)]
        return Strip(cells).adjust_cell_length(self.width, ground)

    def _cell(self, column: Column, call: Call) -> tuple[str, Style]:
        width, record = column.width, call.record
        match column.name:
            case "time":
                return clock(call.at_ms, self._zone, ms=self._plan.ms).ljust(width), self._muted
            case "decision":
                return f"{self._look.glyphs[call.word]} {WORDS[call.word]}".ljust(width), self._words[call.word]
            case "tool":
                return fit(safe(call.tool, 200), width), self._tool
            case "caller":
                return fit(caller(record), width), self._plain
            case "counter":
                return self._counter(call, width)
            case "latency":
                text, kind = answer_time(record)
                style = {"": self._plain, "running": self._muted, "fault": self._fault}[kind]
                return text.rjust(width), style
            case "why":
                return fit(why(record) or "·", width), self._plain if record.get("rule") else self._muted
            case "args":
                return fit(arguments_text(record.get("args"), width), width), self._muted

    def _counter(self, call: Call, width: int) -> tuple[str, Style]:
        counter = fullest(call.record)
        if counter is None:
            return " " * width, self._muted
        used_text = plain(number(counter.get("used"))).rjust(self._plan.used)
        text = f"{used_text}/{plain(number(counter.get('max')))}"
        used = share(counter)
        style = self._full if used >= 1 else self._warn if used >= 0.8 else self._plain
        return fit(text, width), style
