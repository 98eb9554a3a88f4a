"""The editor: colours, faults in the margin, completion, and changes that undo takes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from mcpwatch.console.completion import rest_of
from mcpwatch.console.draft import read_draft, tool_at
from mcpwatch.console.editor import PolicyEditor, plain_lines
from mcpwatch.console.highlight import line_marks, mark_at
from mcpwatch.console.theme import Wardrobe
from mcpwatch.policy.values import Problem
from tests.console.hostile import ALL
from tests.console.policydesk import policy, tool


class Page(App[None]):
    """Nothing but the editor."""

    def compose(self) -> ComposeResult:
        yield PolicyEditor(id="main")


@asynccontextmanager
async def editing(text: str, *, write: bool = True) -> AsyncGenerator[tuple[PolicyEditor, Pilot[None]]]:
    app = Page()
    async with app.run_test(size=(80, 20)) as pilot:
        editor = app.query_one(PolicyEditor)
        wardrobe = Wardrobe(None)
        wardrobe.refresh()
        editor.wear(wardrobe.looks["night"], 1)
        editor.load_text(text)
        editor.read_only = not write
        editor.focus()
        await pilot.pause()
        yield editor, pilot


def test_json_and_yaml_are_coloured_word_by_word() -> None:
    line = '  "max": [10, true, "x"],'
    assert [(line[start:end], name) for start, end, name in line_marks(line)] == [
        ('"max"', "key"),
        (":", "punctuation"),
        ("[", "punctuation"),
        ("10", "number"),
        (",", "punctuation"),
        ("true", "keyword"),
        (",", "punctuation"),
        ('"x"', "string"),
        ("]", "punctuation"),
        (",", "punctuation"),
    ]
    line = "- max: 10 # why"
    assert [(line[start:end], name) for start, end, name in line_marks(line, yaml=True)] == [
        ("-", "punctuation"),
        ("max", "key"),
        ("10", "number"),
        ("# why", "comment"),
    ]


def test_places_count_bytes() -> None:
    assert line_marks('"é": 1') == [(0, 4, "key"), (4, 5, "punctuation"), (6, 7, "number")]
    assert mark_at("é1", 2, 1) == (2, 3, "problem")


@pytest.mark.parametrize(("line", "column"), [("", 1), ("", 9), ("ab", 99), ("ab", 0)])
def test_a_fault_beyond_the_line_marks_its_end(line: str, column: int) -> None:
    start, end, name = mark_at(line, column, 5)
    assert name == "problem"
    assert end is None or 0 <= start <= end <= len(line)


@pytest.mark.parametrize(
    ("before", "after", "rest"),
    [
        ('  "lim', '": []', "its"),
        ('  "get_p', '"', "od_logs"),
        ('  "get_pod_logs', '"', ""),
        ('  "', '"', ""),
        ("  lim", "", ""),
        ('  "lim', "x", ""),
        ('  "a": 1, "al', "", "l_tools"),
        ('  "zzz', "", ""),
    ],
)
def test_the_open_word_is_completed_tools_first(before: str, after: str, rest: str) -> None:
    assert rest_of(before, after, ["get_pod_logs"]) == rest


def test_a_hostile_name_is_never_offered() -> None:
    for name in ("get_\x1b]52;c;x\x07", "get_\u202ex", 'get_"x', "get_\\x", "get_\n"):
        assert rest_of('  "get', "", [name]) == ""


def test_a_draft_tells_its_faults_in_order_and_the_tool_of_a_line() -> None:
    draft = read_draft(policy({"a": {}, "b": {"limts": 1}}), "p.json", [])
    assert draft.document is None
    assert draft.errors == 1
    assert "limts" in draft.problems[0].message
    good = read_draft(policy({"a": {}, "b": {}}), "p.json", [tool("a")])
    assert good.document is not None
    assert good.errors == 0
    assert any('"b"' in problem.message or "b" in problem.message for problem in good.problems)
    assert [tool_at(good.document, line) for line in (1, 5, 6, 99)] == ["", "a", "b", ""]


@pytest.mark.parametrize("text", ["", "\ud800", "\x00", "[" * 5000, ALL, "- a\n b: [", '{"version"'])
def test_any_text_has_a_verdict(text: str) -> None:
    draft = read_draft(text, "p.json", [])
    assert draft.document is None
    assert draft.errors


async def test_the_colours_of_textual_are_filled_from_ours() -> None:
    """`_highlights` and `_build_highlight_map` are private to Textual: this fails when another version has others."""
    async with editing('{\n  "max": 10\n}') as (editor, _):
        strip = editor.render_line(1)
        styles = {segment.text: segment.style for segment in strip}
        number, key = styles["10"], styles['"max"']
        assert number is not None
        assert key is not None
        assert number.color != key.color, "Textual does not draw with the marks of _highlights any more"
        assert editor._highlights[1][0] == (2, 7, "key")  # pyright: ignore[reportPrivateUsage]


async def test_a_fault_is_underlined_and_signed_in_the_margin() -> None:
    async with editing('{\n  "max": 10,\n  "x": 1\n}') as (editor, _):
        editor.mark([Problem(2, 3, "", "no", length=5), Problem(3, 3, "", "hm", "warning", 3), Problem(99, 1, "", "?")])
        lines = [editor.render_line(y) for y in range(4)]
        assert [("✗" in line.text, "!" in line.text) for line in lines] == [
            (False, False),
            (True, False),
            (False, True),
            (False, False),
        ]
        underlined = [seg.text for seg in lines[1] if seg.style is not None and seg.style.underline]
        assert underlined == ['"max"']
        editor.mark([])
        assert "✗" not in editor.render_line(1).text


async def test_the_word_is_completed_with_right() -> None:
    async with editing("{\n  \n}") as (editor, pilot):
        editor.tool_names = ["get_pod_logs"]
        editor.goto(2, 3)
        for key in '"get':
            await pilot.press({'"': "quotation_mark"}.get(key, key))
        assert editor.suggestion == "_pod_logs"
        await pilot.press("right")
        assert editor.document.get_line(1) == '  "get_pod_logs'


CHANGES: list[tuple[str, str]] = [
    ("a\nb\nc\n", "a\nX\nc\n"),
    ("a\nb\nc\n", "a\nc\n"),
    ("a\nb\nc\n", "a\nb\nb2\nc\n"),
    ("a\nb", "a\nb\nc"),
    ("a\nb\n", "a\nb"),
    ("a\nb", "a\nb\n"),
    ("a\nb\nc", "a"),
    ("", "a\nb\n"),
    ("a\nb\n", ""),
    ("one", "two"),
    ("one", "one\ntwo"),
    ("\n\n\n", "\n\n"),
    ("a\n", "b\na\n"),
]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_a_change_replaces_what_differs_and_undo_takes_it_back(before: str, after: str, end: str) -> None:
    old, new = before.replace("\n", end), after.replace("\n", end)
    async with editing(old, write=False) as (editor, pilot):
        editor.change_to(new)
        assert plain_lines(editor.text) == after
        if "\n" in before:
            assert editor.document.newline == end
        await pilot.press("ctrl+z")
        assert editor.text == old
        editor.change_to(old)
        assert editor.text == old


async def test_only_the_changed_hunk_is_replaced() -> None:
    text = policy({f"tool_{number}": {} for number in range(100)})
    async with editing(text) as (editor, pilot):
        editor.goto(3, 1)
        seen: list[Any] = []
        replace = editor.replace

        def watched(insert: str, *args: Any, **more: Any) -> Any:
            seen.append(insert)
            return replace(insert, *args, **more)

        editor.replace = watched
        editor.change_to(text.replace('"tool_50": {}', '"tool_50": {"mode": "observe"}'))
        assert seen == ['    "tool_50": {"mode": "observe"},\n']
        await pilot.press("ctrl+z")
        assert editor.text == text


async def test_viewing_moves_with_letters_and_changes_nothing() -> None:
    async with editing("a\nb\nc", write=False) as (editor, pilot):
        await pilot.press("j", "j", "k", "x", "1")
        assert (editor.cursor_location[0], editor.text) == (1, "a\nb\nc")
        await pilot.press("G")
        assert editor.cursor_location[0] == 2
        await pilot.press("g")
        assert editor.cursor_location[0] == 0


async def test_hostile_text_is_drawn_without_acting() -> None:
    async with editing(policy({ALL: {}}, description=ALL)) as (editor, _):
        editor.mark([Problem(4, 1, "", ALL)])
        for y in range(10):
            assert not {"\x1b", "\x9b", "\x07"} & set(editor.render_line(y).text)
