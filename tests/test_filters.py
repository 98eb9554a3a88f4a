"""The filter language, on audit records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.errors import ConfigError
from mcpwatch.filters import fold, glob, parse_filter, parse_time
from mcpwatch.records import from_rfc3339, record_json
from tests.test_records import OUTCOME, RECORD

NOW_MS = from_rfc3339("2026-11-22T10:40:00Z")


def _record(**changes: Any) -> dict[str, Any]:
    """A call of 10:30 to `apply_yaml` by alice with claude-code."""
    return {**record_json(RECORD, OUTCOME), **changes}


def _matches(text: str, **changes: Any) -> bool:
    return parse_filter(text, NOW_MS).matches(_record(**changes))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "tool:apply_yaml",
        "tool:APPLY*",
        "tool:*yaml",
        "tool:x,apply_yaml",
        'tool:"apply_yaml"',
        "-tool:delete*",
        "upstream:eks",
        "up:eks",
        "grant:alice",
        "client:claude*",
        "agent:alice",
        "agent:claude-code",
        "session:s-1",
        "method:tools/call",
        "instance:default",
        "by:root",
        "dec:allow",
        "decision:allow",
        "dec:a*",
        "dec:observe",
        "dec:deny,allow",
        "rule:/tools/apply_yaml/*",
        "outcome:ok",
        "policy:abab",
        "policy:abababababababab",
        "id:c-",
        "ms>12",
        "ms>=12.25",
        "ms<13",
        "ms<=12.25",
        "ms=12.25",
        "ms:12.25",
        "-ms>13",
        "bytes=345",
        "held>1000",
        "seq=7",
        "arg:body",
        "arg:n",
        "arg:body.n",
        "arg:x>1",
        "arg:x=true",
        "arg:x=null",
        "arg:x=é*",
        "-arg:ns",
        "since:10m",
        "since:1h",
        "since:2026-11-22",
        "since:2026-11-22T10:30",
        "since:10:30",
        "until:10:31",
        "-until:10:30",
        "yaml",
        '"apply_yaml"',
        "allowed",
        "claude",
        '-"two words"',
        "tool:apply* dec:allow agent:alice ms>5 arg:body yaml",
    ],
)
def test_terms_that_hold(text: str) -> None:
    assert _matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "tool:apply",
        "-tool:apply*",
        "grant:bob",
        "agent:bob",
        "client:cursor",
        "dec:deny",
        "dec:limit",
        "dec:hidden",
        "outcome:timeout",
        "outcome:open",
        "ms>12.25",
        "-ms>12",
        "seq>7",
        "arg:nope",
        "arg:y",
        "arg:body=1",
        "arg:x>2",
        "since:9m",
        "until:10:30",
        "nope",
        "tool:apply* nope",
        "id:x",
        "policy:cd",
    ],
)
def test_terms_that_do_not_hold(text: str) -> None:
    assert not _matches(text)


def test_the_words_for_decisions_tell_limits_and_hidden_tools_apart() -> None:
    limited = {"decision": "deny", "rule": "/tools/t/limits/rate", "would_deny": ""}
    hidden = {"decision": "deny", "rule": "(hidden)", "would_deny": ""}
    assert _matches("dec:limit", **limited)
    assert _matches("dec:deny", **limited)
    assert not _matches("dec:hidden", **limited)
    assert _matches("dec:hidden", **hidden)
    assert not _matches("dec:limit", **hidden)
    assert not _matches("dec:observe", **hidden)


def test_a_call_without_an_outcome_is_open_and_has_no_time() -> None:
    under_way: dict[str, Any] = {"outcome": None, "latency_ms": None}
    assert _matches("outcome:open", **under_way)
    assert not _matches("ms<1000", **under_way)
    assert _matches("-ms>5", **under_way)


def test_arguments_are_found_at_any_depth_and_in_lists() -> None:
    args = {"items": [{"metadata": {"namespace": "Prod", "labels": {"app": "web"}}}], "replicas": 3, "dry": True}
    assert _matches("arg:ns=prod", args=args)
    assert _matches("arg:namespace=pr*,x", args=args)
    assert _matches("arg:metadata.ns=prod", args=args)
    assert _matches("arg:labels.app=web", args=args)
    assert _matches("arg:replicas>=3 arg:dry=true", args=args)
    assert _matches('arg:app="web"', args=args)
    assert not _matches("arg:space=prod", args=args)
    assert not _matches("arg:dry>0", args=args)
    assert not _matches("arg:items.app=web", args=args)


def test_texts_are_looked_for_in_arguments_messages_and_errors() -> None:
    assert _matches("nginx", args={"image": "NGINX:1"})
    assert _matches('"try again"', message="Try again in 23 s.")
    assert _matches("region", error="no region")
    assert _matches('"arn:aws:x"', args={"role": "arn:aws:x"})
    assert not _matches("stringData", args=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tol:x", 'column 1: unknown field "tol", did you mean "tool"?'),
        ("dec:deny zzz:x", 'column 10: unknown field "zzz". Known: tool, '),
        ("tool:", "column 6: a value is missing here"),
        ("tool: x", "column 6: a value is missing here"),
        ('tool:"x', "column 6: this quote is not closed"),
        ('a "b', "column 3: this quote is not closed"),
        ("ms>fast", "column 4: a number is expected here"),
        ("arg:x>y", "column 5: a number is expected here"),
        ("tool>x", 'column 5: "tool" is compared with a colon: tool:VALUE'),
        ("dec:maybe", 'column 5: "dec" is one of allow, deny, hold'),
        ("outcome:nice", 'column 9: "outcome" is one of ok, tool_error'),
        ("since:yesterday", "column 7: this is no time"),
        ("arg:=x", "column 5: write arg:NAME or arg:NAME=VALUE"),
        ("x -tol:y", 'column 4: unknown field "tol"'),
    ],
)
def test_a_mistake_is_told_with_its_column(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_filter(text)
    assert raised.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", "2026-11-22T10:38:30Z"),
        ("5m", "2026-11-22T10:35:00Z"),
        ("2d", "2026-11-20T10:40:00Z"),
        ("1w", "2026-11-15T10:40:00Z"),
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("2026-11-20T14:02", "2026-11-20T14:02:00Z"),
        ("2026-11-20T14:02:03+02:00", "2026-11-20T12:02:03Z"),
        ("09:15", "2026-11-22T09:15:00Z"),
    ],
)
def test_times_are_read_in_utc(text: str, at: str) -> None:
    assert parse_time(text, NOW_MS) == from_rfc3339(at)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_mistake_with_a_column(text: str) -> None:
    try:
        found = parse_filter(text, NOW_MS)
    except ConfigError as fault:
        message = fault.message
    else:
        message = "column 0: none" if found.matches(_record()) in (True, False) else ""
    assert message.startswith("column ")


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=8))
def test_a_star_stands_for_any_characters(pattern: str, text: str) -> None:
    def slow(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(slow(pattern[1:], text[start:]) for start in range(len(text) + 1))
        return text[:1] == pattern[0] and slow(pattern[1:], text[1:])

    assert glob(pattern, text) == slow(pattern, text)


def test_upper_and_lower_case_are_the_same_for_latin_letters_only() -> None:
    assert fold("ÄBC\u212a") == "Äbc\u212a"
