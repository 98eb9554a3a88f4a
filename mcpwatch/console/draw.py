"""Bars, sparklines and small charts out of characters, each told by shape and not by colour alone."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from mcpwatch.console.fitting import Piece
from mcpwatch.console.meters import Meter
from mcpwatch.console.safe import shorten
from mcpwatch.console.theme import Look


def bar(share: float, width: int, style: str, look: Look) -> list[Piece]:
    """A bar of `width` cells filled to `share` (0 to 1); anything above zero shows, only a full one is filled whole."""
    filled = min(width, round(share * width))
    if 0 < share < 1:
        filled = min(max(1, filled), width - 1)
    return [(look.glyphs["bar"] * filled, style), (look.glyphs["bar_rest"] * (width - filled), "$line")]


def spark(values: Sequence[float], look: Look, top: float = 0) -> str:
    """One character a value, the highest (or `top`) as the tallest; zero is blank-like but keeps its place."""
    most = max(top, max(values, default=0))
    steps = look.glyphs["spark"]
    if most <= 0:
        return steps[0] * len(values)
    return "".join(steps[min(7, max(0, round(value / most * 7)))] for value in values)


def chart(values: Sequence[float], height: int, look: Look) -> list[str]:
    """A column chart of `height` lines, top line first; one column a value."""
    most = max(values, default=0) or 1
    levels = [
        round(value / most * height * 8) if value <= 0 else max(1, round(value / most * height * 8)) for value in values
    ]
    lines: list[str] = []
    for row in range(height - 1, -1, -1):
        lines.append("".join(_block(level - row * 8, look) for level in levels))
    return lines


def _block(level: int, look: Look) -> str:
    return " " if level <= 0 else look.glyphs["spark"][min(8, level) - 1]


def heat(meter: Meter, now_ms: int) -> str:
    """The style of a limit: calm, nearly used up, or full."""
    if meter.full and meter.live:
        return "$decision-limit"
    soon = meter.exhausted_in_ms(now_ms)
    return "$warning" if meter.share >= 0.8 or (soon is not None and soon < 60_000) else "$decision-allow"


def title(name: str, note: str, width: int, *, focused: bool = False) -> Content:
    """The first line of a panel: its name, a remark (shortened where it must be), and a rule to the edge."""
    style = "bold $primary" if focused else "bold $foreground"
    note = shorten(note, max(0, width - len(name) - 3))
    gap = "  " if note else ""
    made = Content.assemble(" ", (name, style), (gap + note, "$muted"), " ")
    return (made + Content.styled("─" * max(0, width - made.cell_length), "$line")).truncate(width)
