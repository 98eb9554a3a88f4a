r"""RE2's meaning for the engine that runs here: \d, \s, \w and \b know ASCII only.

The Rust engine takes them for all of Unicode: a `require` on `^\w+$` would let homoglyphs pass that RE2 stops.
Source: RE2 syntax (github.com/google/re2/wiki/Syntax), Perl character classes, "all ASCII-only".
"""

from __future__ import annotations

import re
from typing import Final

_DIGIT, _SPACE, _WORD = "0-9", r"\t\n\f\r ", "0-9A-Za-z_"
_OUTSIDE: Final = {
    "d": f"[{_DIGIT}]",
    "D": f"[^{_DIGIT}]",
    "s": f"[{_SPACE}]",
    "S": f"[^{_SPACE}]",
    "w": f"[{_WORD}]",
    "W": f"[^{_WORD}]",
    "b": r"(?-u:\b)",
    "B": r"(?-u:\B)",
}
_INSIDE: Final = {**_OUTSIDE, "d": _DIGIT, "s": _SPACE, "w": _WORD, "b": r"\b", "B": r"\B"}
_PIECE: Final = re.compile(r"\\(?P<escape>.)|\[\^?\]?(?P<body>(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*)\]|.", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def engine_pattern(pattern: str) -> str:
    """The pattern of the Rust engine that means what `pattern` means in RE2. Broken patterns stay broken."""
    return _PIECE.sub(_piece, pattern)


def _piece(found: re.Match[str]) -> str:
    if found["escape"] is not None:
        return _OUTSIDE.get(found["escape"], found[0])
    if found["body"] is None:
        return found[0]
    head = found[0][: found.start("body") - found.start()]
    return head + _ESCAPE.sub(lambda escape: _INSIDE.get(escape[1], escape[0]), found["body"]) + "]"
