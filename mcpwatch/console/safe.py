"""The border between text that others wrote and the terminal: nothing that passes here can act on either.

Tool names, arguments, results, client names, error texts and file names come from agents and upstream servers. Textual
strips no control characters, so every such text goes through `safe` once, and `ControlFilter` looks at every line again
just before it is written.
"""

from __future__ import annotations

import json
import re

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from mcpwatch.console.wire import table

MAX_TEXT = 20_000
"""Characters of one text that are ever shown; what is longer ends in an ellipsis and its length."""

REPLACEMENT = "\ufffd"
_INVISIBLE = (
    "\x80-\x9f"  # C1, among them the one-character CSI and OSC
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero-width, bidi, separators
    "\u115f\u1160\u3164\uffa0"  # fillers that look like nothing
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # surrogates, noncharacters
    "\ufe00-\ufe0f\U000e0000-\U000e0fff"  # variation selectors and tags change what stands before them
)
_HOSTILE = re.compile(f"[\x00-\x1f\x7f{_INVISIBLE}]|[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]{{3,}}")
_HOSTILE_BUT_LINES = re.compile(_HOSTILE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def safe(text: object, limit: int = MAX_TEXT) -> str:
    """One line of visible text of at most `limit`: C0 as pictures; C1, bidi, zero-width and surrogates as U+FFFD."""
    value = text if isinstance(text, str) else str(text)
    if len(value) > limit:
        value = _capped(value, limit)
    if value.isascii() and value.isprintable():
        return value
    return _HOSTILE.sub(_picture, value)


def safe_lines(text: object, limit: int = MAX_TEXT) -> str:
    """As `safe`, but line feeds stay and tabs become blanks: for texts that are shown over several lines."""
    value = text if isinstance(text, str) else str(text)
    if len(value) > limit:
        value = _capped(value, limit)
    return _HOSTILE_BUT_LINES.sub(_picture, value.replace("\r\n", "\n")).replace("\t", "    ")


def shorten(text: str, width: int) -> str:
    """`text` (safe already) in at most `width` cells, its end replaced by an ellipsis when it is longer."""
    if len(text) * 2 <= width or cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def fit(text: str, width: int) -> str:
    """`text` (safe already) in exactly `width` cells."""
    return set_cell_size(shorten(text, width), width) if width > 0 else ""


class ControlFilter(LineFilter):
    """Replaces every control character that is about to be written as text; control segments of Textual itself stay."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        del background
        return [_checked(segment) for segment in segments]


def _checked(segment: Segment) -> Segment:
    text = segment.text
    if segment.control or (text.isascii() and text.isprintable()):
        return segment
    cleaned = _HOSTILE.sub(_picture, text)
    return segment if cleaned == text else Segment(cleaned, segment.style)


def _picture(match: re.Match[str]) -> str:
    character = match.group()
    if len(character) > 1:
        return character[:2] + REPLACEMENT
    if character == "\x7f":
        return "\u2421"
    return chr(0x2400 + ord(character)) if character < " " else REPLACEMENT


def _capped(text: str, limit: int) -> str:
    tail = f"… ({len(text):,} characters)"
    return text[: max(0, limit - len(tail))] + tail if limit > 2 * len(tail) else text[: max(0, limit - 1)] + "…"


def safe_json(value: object, limit: int = MAX_TEXT) -> str:
    """A JSON value on one line as people read it: `kind=Pod namespace=prod` for an object, JSON text below that."""
    pairs = table(value)
    return safe(" ".join(f"{key}={_inner(item)}" for key, item in pairs.items()) if pairs else _inner(value), limit)


def safe_values(value: object, limit: int = MAX_TEXT) -> str:
    """The values of an object on one line, without their names: `prod-1 shop Pod`."""
    pairs = table(value)
    return safe(" ".join(_inner(item) for item in pairs.values()) if pairs else _inner(value), limit)


def _inner(value: object) -> str:
    if value in ({}, None):
        return ""
    if isinstance(value, str):
        return f'"{value}"' if value == "" or " " in value[:200] else value[:2000]
    return _dumped(value)


def _dumped(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return repr(type(value).__name__)
