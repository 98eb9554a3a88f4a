"""What agents can reach: every tool of every upstream, with what the policy makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from mcpwatch.console.draw import title
from mcpwatch.console.fitting import Piece
from mcpwatch.console.host import Panel, app_of, host
from mcpwatch.console.keys import bindings
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.orders import EditKind, QuickEdit, ShowRule
from mcpwatch.console.safe import fit, safe, safe_lines
from mcpwatch.console.seat import Seat
from mcpwatch.console.theme import Look
from mcpwatch.console.toolbook import State, ToolLine, schema_lines, tool_lines
from mcpwatch.console.wording import age, amount, latency
from mcpwatch.policy.names import pointer_part


@dataclass(frozen=True, slots=True)
class _Face:
    """How a state is shown: the word, and the decision whose glyph and colour it wears."""

    word: str
    decision: str


_FACES: Mapping[State, _Face] = {
    "allow": _Face("ALLOW", "allow"),
    "deny": _Face("DENY", "deny"),
    "hide": _Face("HIDE", "hidden"),
    "hold": _Face("HOLD", "hold"),
    "custom": _Face("RULES", "observe"),
    "absent": _Face("ABSENT", "reject"),
}
_RISKS = ("low", "medium", "high", "critical")


class ToolList(Panel, can_focus=True):
    """One line a tool; the selection stays on its tool while others come and go."""

    BINDINGS = bindings(("down", "up", "half_down", "half_up", "top", "bottom"))

    class Moved(Message):
        """Another tool is selected."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[ToolLine] = []
        self._chosen = ("", "")
        self._now_ms = 0

    @property
    def selected(self) -> ToolLine | None:
        return self._lines[self._index] if self._lines else None

    def show(self, ledger: Ledger) -> None:
        second = ledger.now_ms // 1000
        if second == self._now_ms // 1000 and self._lines:
            return
        before, self._now_ms = self.selected, ledger.now_ms
        self._lines = tool_lines(ledger)
        self.refresh()
        if before != self.selected:
            self.post_message(self.Moved())

    def renew(self) -> None:
        """The next `show` draws whatever the time is."""
        self._now_ms = 0

    def action_down(self) -> None:
        self._go(self._index + 1)

    def action_up(self) -> None:
        self._go(self._index - 1)

    def action_half(self, direction: int) -> None:
        self._go(self._index + direction * max(1, self.size.height // 2))

    def action_top(self) -> None:
        self._go(0)

    def action_bottom(self) -> None:
        self._go(len(self._lines) - 1)

    def on_click(self, event: events.Click) -> None:
        self._go(self._first() + event.y - 2)

    def render(self) -> Content:
        width, height = self.size.width, self.size.height
        reach = sum(1 for line in self._lines if line.state in ("allow", "custom", "hold"))
        note = f"{reach} of {len(self._lines)} within reach · enter shows one" if self._lines else ""
        lines = [title("TOOLS", note, width, focused=self.has_focus), _heads(width)]
        if not self._lines:
            lines.append(Content.styled(" The upstream has not said yet what it offers.", "$muted"))
        first = self._first()
        look = self.host.look
        for index, line in enumerate(self._lines[first : first + height - 2], first):
            made = _row(line, width, self._now_ms, look, selected=index == self._index, many=self._many)
            lines.append(made)
        return Content("\n").join(lines)

    @property
    def _many(self) -> bool:
        return len({line.upstream for line in self._lines}) > 1

    @property
    def _index(self) -> int:
        names = [(line.upstream, line.name) for line in self._lines]
        return names.index(self._chosen) if self._chosen in names else 0

    def _first(self) -> int:
        room = max(1, self.size.height - 2)
        return max(0, min(self._index - room // 2, len(self._lines) - room))

    def _go(self, index: int) -> None:
        if self._lines:
            line = self._lines[min(max(0, index), len(self._lines) - 1)]
            self._chosen = (line.upstream, line.name)
            self.refresh()
            self.post_message(self.Moved())


class ToolDetail(Panel):
    """The selected tool: what the policy says of it, what it takes, what became of its calls."""

    DEFAULT_CSS = """
    ToolDetail { layout: vertical; }
    ToolDetail > .title { height: 1; }
    ToolDetail > VerticalScroll { padding: 0 1; height: 1fr; }
    ToolDetail VerticalScroll > Static { height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = Static(markup=False, classes="title")
        self._text = Static(markup=False)
        self._drawn: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        return [self._title, VerticalScroll(self._text)]

    def tell(self, line: ToolLine | None, now_ms: int) -> None:
        """Show this tool."""
        drawn = (line, now_ms // 1000, self.size.width, self.host.look)
        if drawn == self._drawn or not self.size.width:
            return
        self._drawn = drawn
        self._title.update(title("TOOL", "enter schema", self.size.width))
        self._text.update(_story(line, now_ms, self.host.look) if line else Content(""))


class ToolsScreen(Seat):
    """List and detail, side by side where there is room."""

    seat = "tools"
    footer = ("deny", "allow", "hide", "approval", "limit", "undo", "rule", "detail")
    BINDINGS = bindings(("detail", "allow", "deny", "hide", "approval", "limit", "rule", "back"))

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._list = ToolList(id="main")
        self._detail = ToolDetail(id="tool-detail")

    def body(self) -> Iterable[Widget]:
        yield Horizontal(self._list, self._detail, id="tools")

    def show(self, ledger: Ledger) -> None:
        super().show(ledger)
        self._tell()

    def look_changed(self) -> None:
        self._list.renew()
        super().look_changed()

    def on_screen_resume(self) -> None:
        self._list.renew()
        super().on_screen_resume()

    def on_tool_list_moved(self) -> None:
        self._tell()

    def action_quick(self, kind: EditKind) -> None:
        line = self._list.selected
        if line is None:
            host(self).say("No tool is selected")
        elif host(self).may_change():
            self.post_message(QuickEdit(kind, line.upstream, line.name))

    def action_rule(self) -> None:
        line = self._list.selected
        if line is not None:
            place = "(hidden)" if line.state == "hide" else "/tools/" + pointer_part(line.name)
            self.post_message(ShowRule(line.upstream, place, line.name))

    def action_detail(self) -> None:
        line = self._list.selected
        if line is not None:
            app_of(self).push_screen(ToolScreen(line))

    def action_back(self) -> None:
        self._list.focus()

    def _tell(self) -> None:
        self._detail.tell(self._list.selected, self._ledger.now_ms)


class ToolScreen(Seat):
    """One tool on the whole screen, with its schema as the upstream gave it."""

    seat = "tools"
    footer = ("back",)
    BINDINGS = [  # noqa: RUF012 (Textual reads it from the class)
        ("escape,enter", "app.pop_screen", "Back"),
        ("j,down", "scroll(1)", "Down"),
        ("k,up", "scroll(-1)", "Up"),
    ]

    def __init__(self, line: ToolLine) -> None:
        super().__init__()
        self._line = line

    def body(self) -> Iterable[Widget]:
        story = _story(self._line, host(self).ledger.now_ms, host(self).look)
        text = json.dumps(self._line.tool.get("inputSchema", {}), indent=2, ensure_ascii=False)
        schema = Content.styled(safe_lines(text, 50_000), "$muted")
        whole = Content("\n").join([story, Content.styled("\nSCHEMA", "bold"), schema])
        yield VerticalScroll(Static(whole, markup=False), id="main")

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def _heads(width: int) -> Content:
    figures = f"{'CALLS':>7}{'REFUSED':>9}" + (f"{'P95':>8}{'LAST':>6}" if width >= 84 else "")
    left = f" {'POLICY':<11}{'RISK':<10}"
    return Content.styled(left + fit("TOOL", max(10, width - len(left) - len(figures) - 1)) + figures, "$muted")


def _row(line: ToolLine, width: int, now_ms: int, look: Look, *, selected: bool, many: bool) -> Content:
    face = _FACES[line.state]
    stats = line.stats
    p95 = stats.latencies.percentile(now_ms, 0.95)
    last = age(now_ms - stats.last_at_ms) if stats.last_at_ms else "·"
    more = f"{latency(p95) if p95 is not None else '·':>8}{last:>6}" if width >= 84 else ""
    figures = f"{amount(stats.calls) if stats.calls else '·':>7}"
    refused = f"{amount(stats.refused) if stats.refused else '·':>9}"
    name = f"{line.upstream}/{line.name}" if many else line.name
    room = max(10, width - 21 - len(figures) - len(refused) - len(more) - 1)
    glyph = look.glyphs[face.decision]
    risk = line.risk if line.risk in _RISKS else "medium"
    pieces: list[Piece] = [
        (look.glyphs["cursor"] if selected else " ", "bold $primary"),
        (f"{glyph} {face.word:<8}", f"bold $decision-{face.decision}"),
        (fit(f" {line.risk}", 10), f"$risk-{risk}"),
        (fit(" " + safe(name, 120), room), "bold" if line.state != "absent" else "$muted"),
        (figures, ""),
        (refused, "$decision-deny" if stats.refused else "$muted"),
        (more, "$muted"),
    ]
    made = Content.assemble(*pieces)
    return made.pad_right(max(0, width - made.cell_length)).stylize_before("on $selection") if selected else made


def _story(line: ToolLine, now_ms: int, look: Look) -> Content:
    face = _FACES[line.state]
    lines: list[list[Piece]] = [
        [(safe(line.name, 200), "bold")],
        [
            (f"{look.glyphs[face.decision]} {face.word}", f"bold $decision-{face.decision}"),
            ("  " + _MEANS[line.state], ""),
        ],
        [(f"{line.category}, {line.risk} risk", ""), (f"  {safe(line.why, 120)}", "$muted")],
    ]
    if line.note:
        lines.append([(f"! {safe(line.note, 200)}", "$decision-limit")])
    description = line.tool.get("description")
    if description:
        lines += [[("", "")], [(safe(description, 1000), "")]]
    if line.rules:
        lines += [[("", "")], [("RULES", "bold")], *([("  " + safe(rule, 400), "")] for rule in line.rules)]
    arguments = schema_lines(line.tool)
    if arguments:
        wide = max(len(name) for name, _ in arguments)
        lines += [[("", "")], [("ARGUMENTS", "bold"), ("  * must be given", "$muted")]]
        for name, kind in arguments:
            lines.append([(f"  {safe(name, 80):<{min(wide, 32)}}  ", ""), (safe(kind, 120), "$muted")])
    stats = line.stats
    p95 = stats.latencies.percentile(now_ms, 0.95)
    took = f", p95 {latency(p95)}" if p95 is not None else ""
    counted = f"{amount(stats.calls)} calls, {amount(stats.refused)} refused, {amount(stats.failed)} failed{took}"
    lines += [[("", "")], [("SEEN HERE", "bold")], [("  " + counted, "")]]
    return Content("\n").join([Content.assemble(*pieces) for pieces in lines])


_MEANS: Mapping[State, str] = {
    "allow": "every call passes, within the limits of all tools",
    "deny": "every call is refused",
    "hide": "not listed, and refused when called",
    "hold": "every call waits for an operator",
    "custom": "it depends on arguments or counters",
    "absent": "named in the policy only",
}
