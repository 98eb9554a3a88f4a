"""Colours of a policy text, line by line: neither JSON nor YAML needs more than the line for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

Mark = tuple[int, int | None, str]
"""(first byte, byte after the last or None for the end of the line, name in the theme's `syntax`)."""

_JSON = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<string>"(?:[^"\\]|\\.)*"?)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)'
    r"|(?P<keyword>\b(?:true|false|null)\b)|(?P<punctuation>[{}\[\],:])"
)
_YAML = re.compile(
    r"(?P<comment>(?:^|(?<=\s))#.*)|(?P<key>[\w.$*/-]+(?=:(?:\s|$))|\"[^\"]*\"(?=:)|'[^']*'(?=:))"
    r"|(?P<string>\"(?:[^\"\\]|\\.)*\"?|'[^']*'?)|(?P<number>(?<=[\s\[,])-?\d+(?:\.\d+)?(?=[\s,\]]|$))"
    r"|(?P<keyword>\b(?:true|false|null)\b)|(?P<punctuation>[{}\[\],]|(?:^|(?<=\s))-(?=\s))"
)


def line_marks(line: str, *, yaml: bool = False) -> list[Mark]:
    """What is coloured in one line, places counted in bytes of UTF-8 as Textual's editor wants them."""
    found = (_YAML if yaml else _JSON).finditer(line)
    return list(_in_bytes(line, ((match.start(), match.end(), match.lastgroup or "") for match in found)))


def mark_at(line: str, column: int, length: int) -> Mark:
    """A fault at a column (from 1); at the end of a line the last character is marked."""
    start = max(0, min(column - 1, len(line) - 1))
    end = min(len(line), start + max(1, length))
    return next(iter(_in_bytes(line, [(start, end, "problem")])), (0, None, "problem"))


def _in_bytes(line: str, marks: Iterator[tuple[int, int, str]] | list[tuple[int, int, str]]) -> Iterator[Mark]:
    if line.isascii():
        yield from marks
        return
    for start, end, name in marks:
        yield _size(line[:start]), _size(line[:end]), name


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
