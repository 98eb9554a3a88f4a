"""Patterns, look-alikes, pointers, moments and the wording of values."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpwatch.policy.instants import instant_ms, instant_text, minute_text
from mcpwatch.policy.messages import value_text
from mcpwatch.policy.names import compile_pattern, fold, pointer_part


@settings(max_examples=500, deadline=None, database=None)
@given(st.text("ab*", max_size=7), st.text("ab*\n", max_size=10))
def test_a_pattern_matches_what_its_regular_expression_matches(pattern: str, name: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None
    assert compile_pattern(pattern)(name) is expected


def test_a_pattern_of_many_stars_answers_at_once() -> None:
    assert not compile_pattern("*a" * 30 + "*b")("a" * 100_000)


@pytest.mark.parametrize(
    "name",
    [
        "Delete_Pod",
        " delete_pod\n",
        "delete\u200b_pod",
        "ｄｅｌｅｔｅ_ｐｏｄ",
        "delete_pod\ufe0f",
        "delete\u3164_pod",
        "\x7fdelete_pod",
        "delete_pod\U000e0100",
        "delete\u2800_pod",
    ],
)
def test_names_that_look_the_same_fold_to_one(name: str) -> None:
    assert fold(name) == "delete_pod"


@pytest.mark.parametrize("name", ["LIST", "l\u0130st", "l\u0131st", "LİST"])
def test_the_turkish_i_is_an_i(name: str) -> None:
    assert fold(name) == "list"


def test_names_that_look_different_do_not() -> None:
    assert fold("d\x01é\x7f\x9fl") == "dél"
    assert len({fold(name) for name in ("delete_pod", "delete-pod", "delete_pods", "dеlete_pod")}) == 4
    assert fold("Straße") == fold("STRASSE")


def test_names_in_pointers_are_escaped() -> None:
    assert pointer_part("a/b~c") == "a~1b~0c"


def test_moments_are_read_and_written_to_the_millisecond() -> None:
    assert instant_ms("1970-01-01T00:00:00.001Z") == 1
    assert instant_ms("1970-01-01T05:30:00+05:30") == 0
    assert instant_ms("1969-12-31T23:59:59.999Z") == -1
    assert instant_text(1_795_348_800_001) == "2026-11-22T12:00:00.001Z"
    assert instant_text(10**18) == "9999-12-31T23:59:59.999Z"
    assert minute_text(1_795_348_800_001) == "2026-11-22 12:00"
    with pytest.raises(ValueError, match="needs its zone"):
        instant_ms("2026-11-22T12:00:00")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ('"\\', '"\\"\\\\"'),
        ("\x1b[2J\u202e", '"\\x1b[2J\\u202e"'),
        ([1, "a", None, True], '[1, "a", null, true]'),
        ({"a": {"b": False}, "c": 1}, '{"a": {"b": false}, "c": 1}'),
        (2**320 - 1, str(2**320 - 1)[:79] + "…"),
        (2**320, "a number of 321 bits"),
        (2.5, "2.5"),
        (10**400, "a number of 1,329 bits"),
    ],
)
def test_values_are_shown_as_json_without_control_characters(value: Any, text: str) -> None:
    assert value_text(value) == text


def test_long_values_are_cut() -> None:
    assert len(value_text("x" * 1_000_000)) == 80
    many: list[Any] = ["x"] * 1_000_000
    assert len(value_text(many)) == 80
