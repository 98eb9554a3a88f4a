"""Patterns of RE2: what is one, what the engine here would take differently, and what classes mean."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mcpwatch.policy.patterns import LONGEST, regex_fault
from mcpwatch.policy.re2 import engine_pattern
from mcpwatch.policy.regex import compile_regex


def test_a_pattern_has_a_length_that_is_the_most() -> None:
    assert regex_fault("a" * LONGEST) == ""
    assert regex_fault("a" * (LONGEST + 1)) == "a pattern of more than 10,000 characters"


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "a",
            "^a$",
            "a|b|",
            "(a)",
            "(?:a)",
            "(?i)a",
            "(?ims-U:a)",
            "(?P<n>a)",
            "a+?b*?c??",
            "a{2}",
            "a{2,}?",
            "a{0,1000}",
        ),
        *(
            r"\.\-\_\/\{",
            r"\d\D\w\W\s\S\b\B",
            r"\pL\PN\p{Greek}\P{Greek}",
            r"\x41\x{1F525}",
            r"\Aa\z",
            r"\t\n\r\f\v\a",
        ),
        *("[abc]", "[^abc]", "[]a]", "[^]a]", "[a-z-]", r"[\[\]\d&|~-]", "[[:alpha:][:^digit:]]", "[&|~a]", "工具|é+"),
    ],
)
def test_patterns_of_the_language(pattern: str) -> None:
    assert regex_fault(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        *[(pattern, "look-around") for pattern in ("(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b")],
        *[(pattern, "backreferences") for pattern in (r"(a)\1", r"\8")],
        *[(pattern, "unrecognized escape") for pattern in (r"\Z", r"\h", r"\K", r"\e", r"\Qa\E")],
        *[(pattern, "unclosed") for pattern in ("[a", "(a", "[[]", "a{", "a{2", "[[a]")],
        *[(pattern, "flag") for pattern in ("(?>a)", "(?#a)", "(?x)a", "(?R)", "(?u:a)")],
        *[(pattern, "repeated again") for pattern in ("a**", "a++", "a?*", "a{2}{3}", "a+?+", "(a)*{2}")],
        *[(pattern, "missing expression") for pattern in ("*", "+a", "|*", "(?:*)")],
        *[(pattern, "must be escaped") for pattern in ("[a[b]c]", "[a&&b]", "[a--b]", "[a~~b]", r"[\d[a]]")],
        *[(pattern, "not an escape of RE2") for pattern in (r"\<a", r"a\>", r"\u0041", r"\U00000041")],
        *[(pattern, "more than 1,000 repetitions") for pattern in ("a{1001}", "a{1,1001}", "a{1001,}")],
        *[(pattern, "size limit") for pattern in ("(a{1000}){1000}", "((a{100}){100}){100}")],
        ("a{2,1}", "repetition count"),
        ("a{,2}", "decimal"),
        ("[z-a]", "range"),
        (")", "unopened"),
        (r"\p{Elvish}", "property not found"),
        ("a" * (LONGEST + 1), "more than 10,000 characters"),
    ],
)
def test_what_is_no_pattern_or_means_something_else(pattern: str, words: str) -> None:
    fault = regex_fault(pattern)
    assert words in fault
    assert "\n" not in fault
    assert not fault.endswith(".")


@given(st.text(alphabet=r"ab[]()^$|*+?{}1,\.-:dwsxPi=!<>&~", max_size=12))
def test_a_fault_is_found_exactly_when_there_is_one(pattern: str) -> None:
    fault = regex_fault(pattern)
    if fault == "":
        assert compile_regex(engine_pattern(pattern))("") in (True, False)


CLASSES = st.sampled_from([r"\d", r"\D", r"\s", r"\S", r"\w", r"\W", r"\b", r"\B", "a", "-", ".", "[0-9]", r"\."])
INNER = st.sampled_from([r"\d", r"\D", r"\s", r"\S", r"\w", r"\W", "a", "é", r"\-", r"\]"])
TEXT = st.text(alphabet="a0_ -\t\u00a0é٣K]ſ", max_size=6)


@given(st.lists(CLASSES, max_size=5), TEXT)
def test_classes_know_ascii_only(parts: list[str], text: str) -> None:
    assume(text)  # Python alone says that \\B does not match in an empty text
    pattern = "".join(parts)
    expected = re.search(pattern.replace(r"\s", r"[\t\n\f\r ]").replace(r"\S", r"[^\t\n\f\r ]"), text, re.ASCII)
    assert compile_regex(engine_pattern(pattern))(text) == (expected is not None)


@given(st.lists(INNER, min_size=1, max_size=4), st.booleans(), TEXT)
def test_classes_within_brackets_know_ascii_only(parts: list[str], negated: bool, text: str) -> None:
    pattern = f"[{'^' * negated}{''.join(parts)}]"
    expected = re.search(pattern, text, re.ASCII)
    assert compile_regex(engine_pattern(pattern))(text) == (expected is not None)


def test_everything_else_stays_as_written() -> None:
    for pattern in (r"^(?i)a\.b\\d$", "[]a-z]", r"\pL[^\pN]", "[[:alpha:]]", "(?P<d>x)", "[a", "\\"):
        assert engine_pattern(pattern) == pattern
    assert engine_pattern(r"[^]\d]\d") == "[^]0-9][0-9]"
    assert engine_pattern(r"\\\d") == r"\\[0-9]"
