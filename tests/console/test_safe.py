"""Nothing that others wrote passes the border as something a terminal acts on."""

from __future__ import annotations

import string

import pytest
from rich.segment import ControlType, Segment
from rich.style import Style
from textual.color import Color

from mcpwatch.console.safe import ControlFilter, fit, safe, safe_json, safe_lines, safe_values, shorten

BLACK = Color(0, 0, 0)
HOSTILE = [
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\x9d0;title\x9c",
    "a\rb\nc",
    "\u202egnp.exe",
    "pay\u200bload",
    "\ud800lone",
    "\ufeffbom",
    "\U000e0041tag",
    "a\ufe0fb",
    "\x00\x7f",
]


def test_plain_text_passes_unchanged() -> None:
    text = string.ascii_letters + string.digits + string.punctuation + " é ü 漢字 ✓"
    assert safe(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_control_or_invisible_character_passes(text: str) -> None:
    shown = safe(text)
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    assert not any(c in shown for c in "\u202e\u200b\ufeff\ufe0f\U000e0041")


def test_control_characters_are_shown_as_pictures() -> None:
    assert safe("a\x1b[0m\x07\x7f") == "a␛[0m␇␡"


def test_towers_of_combining_marks_are_cut() -> None:
    assert len(safe("e" + "\u0301" * 500)) <= 4
    assert safe("é") == "é"


def test_long_texts_are_cut_and_say_how_long_they_are() -> None:
    shown = safe("x" * 1_000_000, 100)
    assert len(shown) <= 100
    assert shown.endswith("… (1,000,000 characters)")


def test_lines_stay_lines_where_lines_are_wanted() -> None:
    assert safe_lines("a\tb\r\nc\x1b\rd") == "a    b\nc␛␍d"


def test_text_is_shortened_by_cells_not_by_characters() -> None:
    assert shorten("漢字漢字", 5) == "漢字…"
    assert fit("漢", 4) == "漢  "
    assert shorten("abc", 0) == ""


def test_arguments_read_as_names_and_values() -> None:
    args = {"kind": "Pod", "note": "two words", "n": 3, "deep": {"a": [1, None]}, "empty": ""}
    assert safe_json(args) == 'kind=Pod note="two words" n=3 deep={"a":[1,null]} empty=""'
    assert safe_values({"cluster": "prod-1", "kind": "Pod"}) == "prod-1 Pod"
    assert safe_json({}) == ""
    assert safe_json(["a"]) == '["a"]'


def test_the_filter_cleans_text_and_keeps_style_and_control_segments() -> None:
    bold = Style(bold=True)
    control = Segment("\x1b[2J", None, [(ControlType.CLEAR,)])
    cleaned = ControlFilter().apply([Segment("ok", bold), Segment("\x1b]0;x\x07", bold), control], BLACK)
    assert cleaned == [Segment("ok", bold), Segment("␛]0;x␇", bold), control]
