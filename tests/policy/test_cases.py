"""The written form of the language: every case file, and what a case that fails says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.policy.cases import CaseResult, run_cases

CASES = Path(__file__).parents[1] / "data" / "cases"
ALLOW_ALL: dict[str, Any] = {"version": "1", "default": "allow", "tools": {}}
AT = "2026-11-22T10:30:00Z"


def beside(file: Path) -> Callable[[str], bytes]:
    return lambda name: (file.parent / name).read_bytes()


def run_one(**fields: Any) -> CaseResult:
    return run_cases([case_of(fields)], lambda name: b"")[0]


def case_of(fields: dict[str, Any]) -> dict[str, Any]:
    case: dict[str, Any] = {"id": "one", "policy": ALLOW_ALL, "calls": []}
    return case | fields


def call(**expect: Any) -> dict[str, Any]:
    return {"at": AT, "tool": "t", "args": {}, "expect": expect}


@pytest.mark.parametrize("file", sorted(CASES.glob("*.json")), ids=lambda file: file.stem)
def test_every_case_of_the_language_holds(file: Path) -> None:
    cases = json.loads(file.read_bytes())
    results = run_cases(cases, beside(file))
    assert len(results) == len(cases)
    assert sum(result.calls for result in results) == sum(len(case["calls"]) for case in cases)
    assert [(result.id, line) for result in results for each in result.differences for line in each.lines()] == []


def test_a_difference_names_the_call_what_was_expected_and_the_step() -> None:
    policy = {
        "version": "1",
        "default": "deny",
        "tools": {"t": {"deny_if": [{"conditions": [{"path": "args.n", "op": "gt", "value": 5}]}]}},
    }
    made = {"at": AT, "tool": "t", "args": {"n": 9}, "expect": {"decision": "allow", "rule": ""}}
    result = run_one(policy=policy, calls=[call(decision="allow", rule=""), made])
    assert not result.ok
    assert [line for each in result.differences for line in each.lines()] == [
        "call 2: decision",
        "  expected  allow",
        "  got       deny",
        "  step      deny_if deny: args.n gt 5: holds",
        "call 2: rule",
        '  expected  ""',
        "  got       /tools/t/deny_if/args.n-gt",
        "  step      deny_if deny: args.n gt 5: holds",
    ]


def test_a_counter_that_differs_is_named() -> None:
    result = run_one(calls=[call(decision="allow", counters={"r": 1})])
    assert [(each.what, each.expected, each.got) for each in result.differences] == [("counter r", "1", "0")]
    broken = run_one(calls={})
    assert broken.differences[0].lines() == ["the case cannot be run", "  expected  calls is a list", "  got       {}"]


@pytest.mark.parametrize(
    ("fields", "got"),
    [
        ({"policy": {"version": "2", "default": "deny"}}, '1:13 /version expected the text "1", found the text "2"'),
        ({"policy_file": "broken.json"}, "broken.json"),
        ({"polcy": {}, "callz": 1}, "callz, polcy"),
        ({"calls": {}}, "{}"),
        ({"policy_file": 5}, "policy_file is 5, not the name of a file"),
        ({"schemas": 5}, "5"),
        ({"schemas": {"t": 5}}, "{'t': 5}"),
    ],
)
def test_a_case_that_cannot_be_run_says_why(fields: dict[str, Any], got: str) -> None:
    def nowhere(name: str) -> bytes:
        raise FileNotFoundError(f"no file {name}")

    result = run_cases([case_of(fields)], nowhere)[0]
    assert not result.ok
    assert result.differences[0].what == "the case cannot be run"
    assert got in result.differences[0].got


def test_schemas_of_a_wrong_kind_are_told_with_what_they_should_be() -> None:
    (difference,) = run_one(schemas=[]).differences
    assert difference.expected == "schemas is an object: tool names, each with its inputSchema"
    assert difference.got == "[]"


def test_a_case_without_a_policy_is_told_from_one_where_the_policy_is_null() -> None:
    missing = run_cases([{"id": "one", "calls": []}], lambda name: b"")[0]
    assert missing.differences[0].got == "neither policy nor policy_file"
    assert run_one(policy=None, calls=[call(decision="deny", rule="(no policy)")]).ok


@pytest.mark.parametrize(
    ("fields", "got"),
    [
        ({"at": "2026-11-22T10:30:00"}, "2026-11-22T10:30:00: a time needs its zone, as in 2026-11-22T10:30:00Z"),
        ({"at": "soon"}, "soon is no time like 2026-11-22T10:30:00Z"),
        ({"at": 5}, "at is missing or no text"),
        ({"tool": None}, "tool is missing or no text"),
        ({"grant": 5}, "grant is missing or no text"),
        ({"client": {}}, "client is missing or no text"),
        ({"session": True}, "session is missing or no text"),
        ({"outcome": 0}, "outcome is missing or no text"),
        ({"args": []}, "args is missing or no object"),
        ({"args": None}, "args is missing or no object"),
        ({"expect": "deny"}, "expect is missing or no object"),
        ({"expect": {"counters": 1}}, "counters is missing or no object"),
        ({"tols": "t", "expect": {"decison": "deny", "b": 1}}, "unknown: tols, b, decison"),
    ],
)
def test_a_call_that_cannot_be_made_is_a_difference(fields: dict[str, Any], got: str) -> None:
    result = run_one(calls=[call(decision="allow"), call(decision="allow") | fields])
    assert [each.lines() for each in result.differences] == [
        ["call 2: the call cannot be made", "  expected  at, tool, args and expect", f"  got       {got}"]
    ]


def test_what_is_no_call_is_a_difference() -> None:
    result = run_one(calls=[5, None, {"at": AT}])
    assert [each.got for each in result.differences] == [
        "a call is missing or no object",
        "a call is missing or no object",
        "expect is missing or no object",
    ]
    nameless = run_one(calls=[{"at": AT, "expect": {}}, {"tool": "t", "expect": {}}])
    assert [each.got for each in nameless.differences] == ["tool is missing or no text", "at is missing or no text"]


def test_what_is_no_case_is_a_difference() -> None:
    results = run_cases([5, "x"], lambda name: b"")
    assert [(result.id, result.calls, result.differences[0].lines()) for result in results] == [
        ("#0", 0, ["the case cannot be run", "  expected  a case is an object", "  got       5"]),
        ("#1", 0, ["the case cannot be run", "  expected  a case is an object", "  got       x"]),
    ]


def test_a_call_that_names_no_caller_is_of_the_grant_local_without_client_and_session() -> None:
    for scope in ("grant", "client", "session"):
        limits = [{"counter": "c", "window": "minute", "max": 9, "scope": scope}]
        policy = {"version": "1", "default": "deny", "tools": {"t": {"limits": limits}}}
        named = call(counters={"c": 2}) | {"grant": "local", "client": "", "session": ""}
        assert run_one(policy=policy, calls=[call(counters={"c": 1}), named]).ok


def test_a_case_without_a_name_is_called_by_its_place() -> None:
    nameless = case_of({})
    del nameless["id"]
    assert [result.id for result in run_cases([case_of({}), nameless], lambda name: b"")] == ["one", "#1"]


def test_a_message_that_differs_is_a_difference() -> None:
    (difference,) = run_one(calls=[call(message="no")]).differences
    assert (difference.what, difference.expected, difference.got) == ("message", "no", "")
    assert difference.lines()[2] == '  got       ""'


def test_a_case_may_bring_the_schemas_of_its_tools() -> None:
    policy = {"version": "1", "default": "deny", "tools": {"t": {"validate": "schema"}}}
    calls = [call(decision="allow"), call(decision="deny") | {"args": {"n": "x"}}]
    schemas = {"t": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    assert run_one(policy=policy, calls=calls, schemas=schemas).ok
    assert not run_one(policy=policy, calls=calls).ok


def test_a_policy_file_is_read_once() -> None:
    asked: list[str] = []

    def base(name: str) -> bytes:
        asked.append(name)
        return json.dumps(ALLOW_ALL).encode()

    case = {"id": "one", "policy_file": "p.json", "calls": [call(decision="allow")]}
    assert all(result.ok for result in run_cases([case, case], base))
    assert asked == ["p.json"]
