"""Limits, nearest to exhaustion first: how full, when empty again, when used up at this rate, and by whom."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.message import Message

from mcpwatch.console.draw import bar, heat, spark, title
from mcpwatch.console.fitting import Piece
from mcpwatch.console.keys import bindings
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.meters import Meter
from mcpwatch.console.safe import fit, safe, shorten
from mcpwatch.console.seat import Panel
from mcpwatch.console.theme import Look
from mcpwatch.console.wording import amount, span

_WIDE = 66
_BARS = 12


class LimitsPanel(Panel, can_focus=True):
    """Cards of three lines, or a table of one line each where there is room in width (or little in height)."""

    DEFAULT_CSS = "LimitsPanel { height: 1fr; }"
    BINDINGS = bindings(("down", "up", "top", "bottom"))

    class Moved(Message):
        """Another limit is selected."""

    def __init__(self, *, table: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._table = table
        self._meters: list[Meter] = []
        self._now_ms = 0
        self._cursor = 0
        self._drawn: tuple[int, int] = (0, 0)

    @property
    def selected(self) -> Meter | None:
        """The limit under the cursor, None when the panel has no focus."""
        return self._meters[self._cursor] if self.has_focus and self._cursor < len(self._meters) else None

    def show(self, ledger: Ledger) -> None:
        """Redraws once a second; the order changes only then, too."""
        state = (ledger.now_ms // 1000, len(ledger.meters))
        if self.display and state != self._drawn:
            self._drawn = state
            kept = self.selected
            self._meters, self._now_ms = ledger.limits(), ledger.now_ms
            if kept is not None and kept in self._meters:
                self._cursor = self._meters.index(kept)
            self.refresh()

    def action_down(self) -> None:
        self._move(1)

    def action_up(self) -> None:
        self._move(-1)

    def action_top(self) -> None:
        self._move(-len(self._meters))

    def action_bottom(self) -> None:
        self._move(len(self._meters))

    def render(self) -> Content:
        width, height = self.size.width, self.size.height
        if width < 20 or height < 1:
            return Content("")
        table = self._table or width >= _WIDE
        blocks = [self._block(index, meter, width, table) for index, meter in enumerate(self._meters)]
        shown, hidden = _window(blocks, self._cursor if self.has_focus else 0, height - 1)
        lines = [line for block in shown for line in block]
        if not self._meters:
            lines = [Content.styled(shorten(" No limit in the policy: press l on a call to set one.", width), "$muted")]
        note = f"{hidden} more, tab and j" if hidden else "nearest to exhaustion first" if width > 50 else ""
        return Content("\n").join([title("LIMITS", note, width, focused=self.has_focus), *lines])

    def _move(self, count: int) -> None:
        self._cursor = min(max(0, self._cursor + count), max(0, len(self._meters) - 1))
        self.refresh()
        self.post_message(self.Moved())

    def _block(self, index: int, meter: Meter, width: int, table: bool) -> list[Content]:
        selected = self.has_focus and index == self._cursor
        look = self.host.look
        if table or not meter.live:
            lines = [_table_line(meter, self._now_ms, width - 1, look)]
        else:
            lines = _card(meter, self._now_ms, width - 1, look)
        mark: Piece = (look.glyphs["cursor"], "bold $primary") if selected else (" ", "")
        made = [Content.assemble(mark, *line) for line in lines]
        return [line.stylize_before("on $selection") for line in made] if selected else made


def _window(blocks: list[list[Content]], cursor: int, height: int) -> tuple[list[list[Content]], int]:
    """The blocks that fit, the one under the cursor among them; and how many do not."""
    first = 0
    while first < cursor and sum(len(block) for block in blocks[first : cursor + 1]) > height:
        first += 1
    shown: list[list[Content]] = []
    for block in blocks[first:]:
        if sum(len(other) for other in shown) + len(block) > height:
            break
        shown.append(block)
    return shown, len(blocks) - len(shown)


def _card(meter: Meter, now_ms: int, width: int, look: Look) -> list[list[Piece]]:
    style = heat(meter, now_ms)
    used = f"{amount(meter.used)}/{amount(meter.max)}"
    name = fit(_name(meter), width - len(used) - 2)
    status = _status(meter, now_ms)
    reset = _reset(meter, now_ms)
    room = width - len(status) - len(reset) - 3
    line = spark(meter.series.bars(now_ms, _BARS, 5), look)
    who = fit(_who(meter), width - len(line) - 2)
    return [
        [(name, "bold"), ("  ", ""), (used, f"bold {style}")],
        [*bar(meter.share, max(4, room), style, look), (" ", ""), (status, style), (" " * 2, ""), (reset, "$muted")],
        [(who, "$muted"), ("  ", ""), (line, style)],
    ]


def _table_line(meter: Meter, now_ms: int, width: int, look: Look) -> list[Piece]:
    """`name  bar  used/max  status  reset  who  spark` in one line; what there is no room for is left out from the right."""
    if not meter.live:
        every = f"{amount(meter.used)}/{amount(meter.max)} a {meter.window}"
        return [(fit(_name(meter), max(10, width - len(every) - 2)), "$muted"), ("  ", ""), (every, "$muted")]
    style = heat(meter, now_ms)
    used = f"{amount(meter.used)}/{amount(meter.max)}".rjust(9)
    status, reset = _status(meter, now_ms), _reset(meter, now_ms)
    name_width = 28 if width >= 76 else 25
    fixed = name_width + 1 + len(used) + 2 + 12 + 1 + 13
    bar_width = max(5, min(24, width - fixed - 2 - (26 if width >= 100 else 0)))
    line: list[Piece] = [
        (fit(_name(meter), name_width), "bold"),
        (" ", ""),
        *bar(meter.share, bar_width, style, look),
        (used, f"bold {style}"),
        ("  ", ""),
        (status.ljust(12), style),
        (" ", ""),
        (reset.ljust(13), "$muted"),
    ]
    room = width - sum(cell_len(text) for text, _ in line) - 1
    if room >= _BARS + 8:
        line += [(" ", ""), (fit(_who(meter), room - _BARS - 1), "$muted"), (" ", "")]
        line.append((spark(meter.series.bars(now_ms, _BARS, 5), look), style))
    return line


def _name(meter: Meter) -> str:
    plain = meter.scope in ("grant", "global", "") or not meter.value
    return safe(meter.name if plain else f"{meter.name} {meter.value}", 80)


def _status(meter: Meter, now_ms: int) -> str:
    if meter.full:
        return "FULL"
    left = meter.exhausted_in_ms(now_ms)
    return "ok" if left is None else f"full in {span(left)}"


def _reset(meter: Meter, now_ms: int) -> str:
    return (
        f"resets {span(meter.resets_at_ms - now_ms)}" if meter.resets_at_ms > now_ms else f"per {safe(meter.window, 8)}"
    )


def _who(meter: Meter) -> str:
    refused = f" · {amount(meter.refused)} refused" if meter.refused else ""
    names = [meter.value] if meter.scope == "grant" else [name for name, _ in meter.who[:3]]
    shares = {name: share for name, share in meter.who[:3]}
    texts = [safe(name, 24) + (f" {amount(shares[name])}" if len(shares) > 1 else "") for name in names if name]
    return (", ".join(texts) or "–") + refused
