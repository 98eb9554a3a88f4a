"""One line of facts that never overflows: what matters least is shortened first, then left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content

Piece = tuple[str, str]
"""(safe text, style)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """`forms` from the longest to the shortest, each a run of pieces; `weight`: the lightest gives way first."""

    weight: int
    forms: tuple[tuple[Piece, ...], ...]
    right: bool = False


def fact(weight: int, *forms: str | Sequence[Piece], style: str = "", right: bool = False) -> Fact:
    """A fact whose forms are plain text in `style`, or runs of pieces; empty forms are left out."""
    made = tuple(((form, style),) if isinstance(form, str) else tuple(form) for form in forms if form)
    return Fact(weight, made, right)


def fit_line(facts: Sequence[Fact], width: int, gap: int = 2) -> Content:
    """The facts in one line of exactly `width` cells: those of the left side, blanks, those of the right side."""
    chosen = {index: 0 for index, item in enumerate(facts) if item.forms}
    while chosen and _total(facts, chosen, gap) > width:
        _give_way(facts, chosen)
    left = _side(facts, chosen, gap, right=False)
    right = _side(facts, chosen, gap, right=True)
    blank = max(0, width - _length(left) - _length(right))
    return Content.assemble(*left, (" " * blank, ""), *right)


def _give_way(facts: Sequence[Fact], chosen: dict[int, int]) -> None:
    lightest = min(chosen, key=lambda index: (facts[index].weight, -index))
    if chosen[lightest] + 1 < len(facts[lightest].forms):
        chosen[lightest] += 1
    else:
        del chosen[lightest]


def _total(facts: Sequence[Fact], chosen: dict[int, int], gap: int) -> int:
    widths = [_length(facts[index].forms[form]) for index, form in chosen.items()]
    return sum(widths) + gap * (len(widths) - 1)


def _side(facts: Sequence[Fact], chosen: dict[int, int], gap: int, *, right: bool) -> list[Piece]:
    line: list[Piece] = []
    for index, form in chosen.items():
        if facts[index].right == right:
            line += [(" " * gap, "")] * bool(line) + list(facts[index].forms[form])
    return line


def _length(pieces: Sequence[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)
