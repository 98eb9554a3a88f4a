"""Tool names: patterns with `*`, the folding that finds look-alikes, and names inside JSON pointers."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | {
    chr(code) for code in (0x2065, *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000))
}
"""Characters that draw nothing though Unicode does not call them format characters: fillers, variation selectors,
places kept for later. Source: Unicode, DerivedCoreProperties.txt, Default_Ignorable_Code_Point."""
_TURKISH = str.maketrans("\u0130\u0131", "ii")
"""The i with a dot as capital and the i without one: Java's equalsIgnoreCase takes both for an i, casefold neither."""
_UNSEEN_ASCII = dict.fromkeys((*range(0x21), 0x7F))


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A whole-name match for `pattern`, where `*` is any characters, also none, and nothing else is special.

    Takes the leftmost place for each part in turn, which is enough and never needs to go back.
    """
    first, *middle = pattern.split("*")
    if not middle:
        return lambda name: name == pattern
    last = middle.pop()
    parts = tuple(part for part in middle if part)
    shortest = len(first) + len(last)

    def matches(name: str) -> bool:
        if len(name) < shortest or not name.startswith(first) or not name.endswith(last):
            return False
        at, end = len(first), len(name) - len(last)
        for part in parts:
            at = name.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return matches


def fold(name: str) -> str:
    """What is left of a name without all that people do not see: NFKC, case, blanks, zero-width, controls."""
    if name.isascii():
        return name.lower().translate(_UNSEEN_ASCII)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).translate(_TURKISH).casefold())
    return "".join(char for char in folded if not _unseen(char))


def _unseen(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cf") or char in _INVISIBLE


def pointer_part(text: str) -> str:
    """`text` inside a JSON pointer. Source: RFC 6901, section 3."""
    return text.replace("~", "~0").replace("/", "~1")
