"""Strict JSON: the same values as the standard reader gives, places for all of them, no second way to read a text."""

from __future__ import annotations

import json
import math
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.policy.jsontext import read_json
from mcpwatch.policy.source import MAX_DEPTH, Broken, Node, Report, Source
from mcpwatch.policy.values import Json, PolicyError, Problem

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


def tree(text: str) -> Node:
    """The tree of a text without faults."""
    report = Report(Source(text))
    node = read_json(text, report)
    assert report.errors == ()
    return node


def fault(text: str) -> Problem:
    """The only fault of a text."""
    report = Report(Source(text))
    try:
        read_json(text, report)
    except PolicyError as error:
        return error.problems[0]
    return report.errors[0]


def plain(node: Node) -> Json:
    value = node.value
    assert not isinstance(value, Broken)
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def pieces(node: Node) -> list[Node]:
    """The node and everything below it."""
    value = node.value
    below = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [node, *(piece for child in below for piece in pieces(child))]


@given(VALUES, st.booleans(), st.sampled_from([None, 0, 2, "\t"]))
def test_every_value_is_read_as_the_standard_reader_reads_it(
    value: Json, ascii_only: bool, indent: int | str | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    found = plain(tree(text))
    assert json.dumps(found) == json.dumps(value)


@given(VALUES, st.sampled_from([None, 3]))
def test_the_text_at_a_place_is_the_value_there(value: Json, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    for piece in pieces(tree(text)):
        assert json.dumps(json.loads(text[piece.start : piece.end])) == json.dumps(plain(piece))
        if piece.key >= 0:
            assert text[piece.key] == '"'


def outcome(text: str) -> tuple[bool, bool, Json]:
    """Whether the syntax is accepted, whether all is, and the value when all is."""
    report = Report(Source(text))
    try:
        node = read_json(text, report)
    except PolicyError:
        return False, False, None
    return True, not report.errors, None if report.errors else plain(node)


def standard(text: str) -> tuple[bool, Json]:
    try:
        return True, json.loads(text)
    except ValueError:
        return False, None


@given(VALUES, st.data())
def test_a_text_with_one_character_changed_is_read_like_the_standard_reader_or_refused(
    value: Json, data: st.DataObject
) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("{}[],:\"\\0123456789.eE+-tfn \n\x00a'/#"))
    changed = text[:at] + other + text[at + 1 :]
    well_formed, accepted, found = outcome(changed)
    expected_form, expected = standard(changed)
    assert well_formed == expected_form
    if accepted:
        assert json.dumps(found) == json.dumps(expected)


@given(st.text(alphabet='{}[],:"\\01.eE-truefalsn \n', max_size=40))
def test_the_same_texts_are_well_formed_as_for_the_standard_reader(text: str) -> None:
    well_formed, accepted, found = outcome(text)
    expected_form, expected = standard(text)
    assert well_formed == expected_form
    assert not accepted or found == expected


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, 1, "empty"),
        (" \n ", 1, 1, "empty"),
        ('{"a": 1,}', 1, 9, "comma before the end"),
        ("[1,\n]", 2, 1, "comma before the end"),
        ('{"a"}', 1, 5, "a colon"),
        ('{"a":}', 1, 6, "expected a value"),
        ('{"a"::1}', 1, 6, "expected a value"),
        ("{1: 2}", 1, 2, "a key in double quotes"),
        ("{'a': 2}", 1, 2, "single quotes"),
        ("['a']", 1, 2, "single quotes"),
        ('{"a": 1 "b": 2}', 1, 9, "a comma or }"),
        ('{"a": 1, 2}', 1, 10, "a key in double quotes"),
        ('["a" "b"]', 1, 6, "a comma or ]"),
        ('["a": 1]', 1, 5, "a comma or ]"),
        ("[1 2]", 1, 4, "a comma or ]"),
        ("[1}", 1, 3, "a comma or ]"),
        ('{"a": 1]', 1, 8, "a comma or }"),
        ("{]", 1, 2, "a key in double quotes"),
        ("[}", 1, 2, "expected a value"),
        ("[,1]", 1, 2, "expected a value"),
        ("[[,1]]", 1, 3, "expected a value"),
        ("{,}", 1, 2, "a key in double quotes"),
        ("[1,,2]", 1, 4, "expected a value"),
        ("]", 1, 1, "expected a value"),
        ("1,", 1, 2, "after the end"),
        ("[1,2],", 1, 6, "after the end"),
        ('{"a\\u0062":}', 1, 12, "expected a value"),
        ('{"a\\u0062":1,}', 1, 14, "comma before the end"),
        ("{} {}", 1, 4, "after the end"),
        ("[]]", 1, 3, "after the end"),
        ('"a": 1', 1, 4, "expected the end"),
        ('{"a": 1', 1, 8, "ends too early"),
        ('{"a": ', 1, 7, "ends too early"),
        ('{"a"', 1, 5, "ends too early"),
        ("{", 1, 2, "ends too early"),
        ("[1", 1, 3, "ends too early"),
        ('{"a', 1, 2, "closing quote"),
        ('["a\nb"]', 1, 4, "end on its line"),
        ('["a\x00b"]', 1, 4, "end on its line"),
        ('["a\\qb"]', 1, 4, "unknown escape"),
        ('["a\\u12g4"]', 1, 4, "unknown escape"),
        ('{"a\\x": 1}', 1, 4, "unknown escape"),
        ('["a\\', 1, 4, "unknown escape"),
        ("[01]", 1, 2, "found '01'"),
        ("[1.]", 1, 2, "found '1.'"),
        ("[.5]", 1, 2, "found '.5'"),
        ("[+1]", 1, 2, "found '+1'"),
        ("[1e]", 1, 2, "found '1e'"),
        ("[0x10]", 1, 2, "found '0x10'"),
        ("[- 1]", 1, 2, "found '-'"),
        ("[1_0]", 1, 2, "found '1_0'"),
        ("[\u0661]", 1, 2, r"found '\u0661'"),
        ("[True]", 1, 2, "found 'True'"),
        ("[truest]", 1, 2, "found 'truest'"),
        ("[undefined]", 1, 2, "found 'undefined'"),
        ("[nulL]", 1, 2, "found 'nulL'"),
        ("// x\n{}", 1, 1, "no comments"),
        ("{ /* x */ }", 1, 3, "no comments"),
        ('{"a": 1 # x\n}', 1, 9, "no comments"),
        ("\ufeff{}", 1, 1, "expected a value"),
        ("{}\x0c", 1, 3, "after the end"),
        ("{}\x00", 1, 3, "after the end"),
        ("\u00a0{}", 1, 1, "expected a value"),
    ],
)
def test_faults_of_syntax_are_shown_where_they_are(text: str, line: int, column: int, words: str) -> None:
    problem = fault(text)
    assert words in problem.message
    assert (problem.line, problem.column, problem.pointer) == (line, column, "")


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "-NaN", "1e400", "-1e400", "9" * 400, "1" + "0" * 310 + ".5"]
)
def test_numbers_that_are_none_are_refused_at_their_value(text: str) -> None:
    problem = fault(f'{{"a": [1, {text}]}}')
    assert (problem.line, problem.column, problem.pointer, problem.length) == (1, 11, "/a/1", len(text))


def test_every_fault_that_is_not_of_syntax_is_found_in_one_pass() -> None:
    text = '{"a": NaN, "a": 1e999,\n "b": "\\ud800", "\\udc00": 1, "c/~": {"x": 1, "\\u0078": 2}}'
    report = Report(Source(text))
    read_json(text, report)
    assert [problem.pointer for problem in report.errors] == ["/a", "/a", "/a", "/b", "/\\udc00", "/c~1~0/x"]


def test_numbers_keep_their_kind_and_size() -> None:
    text = "[1, 1.0, 1e2, -0, 123456789012345678901234567890, 0.1, 1E-7, " + "9" * 305 + "]"
    found = cast("list[int | float]", plain(tree(text)))
    assert found == [1, 1.0, 100.0, 0, 123456789012345678901234567890, 0.1, 1e-7, int("9" * 305)]
    assert [type(number) for number in found] == [int, float, float, int, int, float, float, int]
    assert math.isfinite(found[-1])


def test_surrogate_pairs_are_one_character() -> None:
    assert plain(tree('{"\\ud83d\\udd25": "\\ud83d\\udd25"}')) == {"🔥": "🔥"}


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000, 500_000])
def test_depth_has_a_bound_that_is_no_recursion(bracket: str, depth: int) -> None:
    problem = fault(bracket * depth)
    assert problem.message == f"nested more than {MAX_DEPTH} levels deep"


def test_the_deepest_allowed_text_is_read() -> None:
    assert tree("[" * MAX_DEPTH + "]" * MAX_DEPTH).value


@pytest.mark.parametrize("size", [1_000, 4_000_000])
def test_long_texts_take_no_stack(size: int) -> None:
    assert tree('["' + "a" * size + '"]').end == size + 4
    assert plain(tree('["' + "\\n" * (size // 2) + '"]')) == ["\n" * (size // 2)]
    assert fault('["' + "\\" * size).message.startswith(("unknown escape", "a text without"))
    assert fault('["' + " " * size).message == "a text without its closing quote"
    assert fault("[" + " " * size).message.startswith("the file ends too early")
    assert fault("[1" + "," * size).message.startswith("expected a value")


def test_a_key_with_an_escape_needs_its_colon_too() -> None:
    found = fault('{"a\\u0062"\n 1}')
    assert (found.line, found.column) == (2, 2)
    assert "colon" in found.message or ":" in found.message
