"""Limits, nearest to exhaustion first: how full, when empty again, when used up at this rate, and by whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual.content import Content
from textual.message import Message

from mcpwatch.console.draw import bar, heat, spark, title
from mcpwatch.console.fitting import Piece
from mcpwatch.console.host import Panel
from mcpwatch.console.keys import bindings
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.meters import Meter
from mcpwatch.console.safe import fit, safe, shorten
from mcpwatch.console.theme import Look
from mcpwatch.console.wording import amount, span

_CARD = 35
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
        rows = self._rows(width)
        across = max(1, len(rows[0])) if rows else 1
        shown, left = _window(rows, (self._cursor if self.has_focus else 0) // across, height - 1)
        lines = [line for row in rows[left : left + shown] for line in _beside(row, width // across)]
        rest = self._meters[(left + shown) * across :]
        brief = rest[: max(0, height - 1 - len(lines))] if not self._table else []
        lines += [_brief(meter, width - 1) for meter in brief]
        hidden = max(0, len(self._meters) - shown * across - len(brief))
        if not self._meters:
            lines = [Content.styled(shorten(" No limit in the policy: l on a call sets one.", width), "$muted")]
        note = f"{hidden} more: tab, j" if hidden else "nearest to exhaustion first" if width > 50 else ""
        return Content("\n").join([title("LIMITS", note, width, focused=self.has_focus), *lines])

    def _rows(self, width: int) -> list[list[list[Content]]]:
        """Blocks in rows: one a row, or as many cards beside each other as the width takes."""
        if self._table:
            widths = _Widths.of(self._meters, self._now_ms, width - 1)
            return [[self._marked(i, [_table_line(m, self._now_ms, widths, self.host.look)])] for i, m in self._each()]
        across = max(1, width // _CARD)
        blocks = [self._marked(i, _card(m, self._now_ms, width // across - 2, self.host.look)) for i, m in self._each()]
        return [blocks[start : start + across] for start in range(0, len(blocks), across)]

    def _each(self) -> Iterable[tuple[int, Meter]]:
        return enumerate(self._meters)

    def _move(self, count: int) -> None:
        self._cursor = min(max(0, self._cursor + count), max(0, len(self._meters) - 1))
        self.refresh()
        self.post_message(self.Moved())

    def _marked(self, index: int, lines: list[list[Piece]]) -> list[Content]:
        selected = self.has_focus and index == self._cursor
        mark: Piece = (self.host.look.glyphs["cursor"], "bold $primary") if selected else (" ", "")
        made = [Content.assemble(mark, *line).truncate(self.size.width) for line in lines]
        return [line.stylize_before("on $selection") for line in made] if selected else made


def _window(rows: list[list[list[Content]]], cursor: int, height: int) -> tuple[int, int]:
    """(how many rows fit, which is the first) so that the one with the cursor is among them."""
    heights = [max(len(block) for block in row) for row in rows]
    first = 0
    while first < cursor and sum(heights[first : cursor + 1]) > height:
        first += 1
    count, used = 0, 0
    for tall in heights[first:]:
        used += tall
        if used > height:
            break
        count += 1
    return count, first


def _beside(row: list[list[Content]], width: int) -> list[Content]:
    """The lines of blocks that stand beside each other, each block `width` cells wide."""
    tall = max(len(block) for block in row)
    lines: list[Content] = []
    for index in range(tall):
        cells = [block[index] if index < len(block) else Content("") for block in row]
        lines.append(Content("").join([cell.pad_right(max(0, width - cell.cell_length)) for cell in cells]))
    return lines


def _card(meter: Meter, now_ms: int, width: int, look: Look) -> list[list[Piece]]:
    """Three lines: name and use, bar and times, who and the last minute. A limit that nobody used yet is told dimly."""
    style = heat(meter, now_ms)
    used = f"{amount(meter.used)}/{amount(meter.max)}"
    name = fit(_name(meter), width - len(used) - 2)
    status, reset = _status(meter, now_ms), _reset(meter, now_ms)
    line = spark(meter.series.bars(now_ms, _BARS, 5), look)
    room = width - len(status) - len(reset) - 3
    return [
        [(name, "bold" if meter.live else "$muted"), ("  ", ""), (used, f"bold {style}" if meter.live else "$muted")],
        [*bar(meter.share, max(4, room), style, look), (" ", ""), (status, style), ("  ", ""), (reset, "$muted")],
        [(fit(_who(meter), width - len(line) - 2), "$muted"), ("  ", ""), (line, style)],
    ]


def _brief(meter: Meter, width: int) -> Content:
    """One line, where there is no room for a card any more."""
    used = _used(meter)
    return Content.assemble(" ", (fit(_name(meter), max(4, width - len(used) - 3)), "$muted"), "  ", (used, "$muted"))


@dataclass(frozen=True, slots=True)
class _Widths:
    """Columns of the table, as wide as the limits need: what is left over goes to who, the bar, the last minute."""

    name: int
    used: int
    status: int
    reset: int
    bar: int
    who: int
    spark: bool

    @classmethod
    def of(cls, meters: list[Meter], now_ms: int, width: int) -> _Widths:
        longest = [(len(_name(m)), len(_used(m)), len(_status(m, now_ms)), len(_reset(m, now_ms))) for m in meters]
        name, used, status, reset = (max(column) for column in zip(*longest, strict=True)) if longest else (8, 3, 4, 6)
        name = min(name, max(12, width // 3))
        left = width - name - used - status - reset - 5
        who = min(24, left - 6) if left >= 13 else 0
        left -= who + 1 if who else 0
        wide = left >= 30 + _BARS
        return cls(name, used, status, reset, max(5, min(30, left - (_BARS + 1 if wide else 0))), who, wide)


def _table_line(meter: Meter, now_ms: int, widths: _Widths, look: Look) -> list[Piece]:
    """`name bar used/max status reset who spark` in one line."""
    style = heat(meter, now_ms) if meter.live else "$muted"
    line: list[Piece] = [
        (fit(_name(meter), widths.name), "bold" if meter.live else "$muted"),
        (" ", ""),
        *bar(meter.share, widths.bar, style, look),
        (" ", ""),
        (_used(meter).rjust(widths.used), f"bold {style}" if meter.live else "$muted"),
        (" ", ""),
        (_status(meter, now_ms).ljust(widths.status), style),
        ("  ", ""),
        (_reset(meter, now_ms).ljust(widths.reset), "$muted"),
    ]
    if widths.who:
        line += [(" ", ""), (fit(_who(meter, brief=widths.who < 20), widths.who), "$muted")]
    if widths.spark:
        line += [(" ", ""), (spark(meter.series.bars(now_ms, _BARS, 5), look), style)]
    return line


def _used(meter: Meter) -> str:
    return f"{amount(meter.used)}/{amount(meter.max)}"


def _name(meter: Meter) -> str:
    plain = meter.scope in ("grant", "global", "") or not meter.value
    return safe(meter.name if plain else f"{meter.name} {meter.value}", 80)


def _status(meter: Meter, now_ms: int) -> str:
    if not meter.live:
        return "unused"
    if meter.full:
        return "FULL"
    left = meter.exhausted_in_ms(now_ms)
    return "ok" if left is None else f"full in {span(left)}"


def _reset(meter: Meter, now_ms: int) -> str:
    return (
        f"resets {span(meter.resets_at_ms - now_ms)}" if meter.resets_at_ms > now_ms else f"per {safe(meter.window, 8)}"
    )


def _who(meter: Meter, *, brief: bool = False) -> str:
    refused = f" · {amount(meter.refused)} refused" if meter.refused and not brief else ""
    names = [meter.value] if meter.scope == "grant" else [name for name, _ in meter.who[:3]]
    shares = dict(meter.who[:3])
    texts = [safe(name, 24) + (f" {amount(shares[name])}" if len(shares) > 1 else "") for name in names if name]
    return (", ".join(texts) or "–") + refused
