"""Policies suggested from recorded calls, or from what a server offers."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwatch.policy.classes import classify
from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.replay import replay
from mcpwatch.policy.suggest import Suggestion, suggest
from tests.policy.test_replay import held, record

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"ns": {"type": "string"}, "n": {}, "dry": {}, "token": {}}}


def flips(suggestion: Suggestion, records: list[dict[str, Any]]) -> int:
    policy = compile_policy(read_policy(suggestion.json().encode()))
    return replay(records, policy, schemas={"t": SCHEMA}).flipped


def many(count: int, **args: list[Any]) -> list[dict[str, Any]]:
    """`count` calls, a second apart, whose arguments take the given values in turn."""
    return [record(seq, {name: values[seq % len(values)] for name, values in args.items()}) for seq in range(count)]


def test_a_suggestion_allows_what_was_allowed_and_no_other_tool() -> None:
    records = [
        *many(50, ns=["dev", "staging"], n=list(range(9))),
        record(90, tool="u", decision="deny", rule="(hidden)"),
    ]
    suggestion = suggest(records, [{"name": "t", "inputSchema": SCHEMA}, {"name": "delete_it"}])
    assert suggestion.policy == {
        "version": "1",
        "default": "deny",
        "hide": ["delete_it"],
        "tools": {
            "t": {
                "category": "Other",
                "risk": "medium",
                "validate": "schema",
                "require": [{"conditions": [{"path": "args.ns", "op": "in", "value": ["dev", "staging"]}]}],
                "limits": [{"counter": "t_rate", "window": "minute", "max": 75, "scope": "grant"}],
            }
        },
    }
    assert flips(suggestion, records) == 0


def test_the_summary_says_from_when_to_when_calls_were_seen() -> None:
    records = [record(1), record(2, decision="deny", rule="(hidden)"), record(61), record(7_200)]
    suggestion = suggest([*records, record(9_000, decision="deny", rule="(hidden)")], [])
    assert suggestion.evidence[""] == "1 tool in 3 allowed calls, 2026-11-22 12:00 to 2026-11-22 14:00"


def test_eight_values_are_few() -> None:
    assert "require" in suggest(many(32, ns=list("abcdefgh")), []).policy["tools"]["t"]
    assert "require" not in suggest(many(90, ns=list("abcdefghi")), []).policy["tools"]["t"]


def test_values_are_few_from_four_calls_a_value_on() -> None:
    names = [f"ns{at}" for at in range(6)]
    assert "require" in suggest(many(24, ns=names), []).policy["tools"]["t"]
    assert "require" not in suggest(many(23, ns=names), []).policy["tools"]["t"]
    assert "require" in suggest(many(20, ns=["dev"]), []).policy["tools"]["t"]
    assert "require" not in suggest(many(19, ns=["dev"]), []).policy["tools"]["t"]


def test_each_line_carries_its_evidence() -> None:
    records = many(40, ns=["dev"])
    suggestion = suggest(records, [{"name": "t", "inputSchema": SCHEMA}, {"name": "u"}])
    assert suggestion.evidence == {
        "": "1 of 2 tools in 40 allowed calls, 2026-11-22 12:00 to 2026-11-22 12:00",
        "/hide/0": "offered, never allowed",
        "/tools/t": "40 calls by 1 grant",
        "/tools/t/category": "its name says nothing known",
        "/tools/t/validate": "40 calls looked at, all satisfy it",
        "/tools/t/require/0": "given in each of 40 calls, 1 value",
        "/tools/t/limits/0": "peak 40 a minute of one grant on 2026-11-22 12:00; "
        "the limit is half as much again, rounded up",
    }


def test_the_text_with_evidence_reads_back_as_the_same_policy() -> None:
    odd = [record(seq, {"a.b": "x\u202e"}, tool='get: "it" #1/~\u202e') for seq in range(30)]
    suggestion = suggest([*many(30, ns=["dev"], dry=[True]), *odd], [{"name": "t"}, {"name": "- x"}])
    text = suggestion.yaml()
    assert "   # peak 30 a minute of one grant" in text
    assert "\u202e" not in text
    written = read_policy(text.encode(), name="policy.yaml")
    assert gist(written) == gist(read_policy(suggestion.json().encode()))
    assert written.hide == ("- x",)


def gist(document: PolicyDocument) -> list[Any]:
    """What is compared of a policy: all but the places in the text."""
    return [
        (
            name,
            entry.category,
            entry.limits[0].max,
            [[(c.path, c.op, c.value) for c in r.conditions] for r in entry.require],
        )
        for name, entry in document.tools.items()
    ]


@pytest.mark.parametrize(
    ("values", "count"),
    [
        (list("abcdefghi"), 90),
        (["dev"], 19),
        (list("abcdef"), 23),
        ([1, 2], 50),
        ([None, "a"], 50),
        (["a", None], 50),
        (["a", 5], 50),
        (["[redacted]"], 50),
        (["x" * 65], 50),
        ([["a"]], 50),
    ],
)
def test_an_argument_of_many_or_odd_values_is_left_alone(values: list[Any], count: int) -> None:
    entry = suggest(many(count, ns=values)).policy["tools"]["t"]
    assert "require" not in entry
    assert "deny_if" not in entry


def test_an_argument_that_is_not_always_given_may_stay_away() -> None:
    records = [*many(40, ns=["dev"], dry=[True, False]), *[record(41, {"ns": "dev"})]]
    suggestion = suggest(records)
    entry = suggestion.policy["tools"]["t"]
    assert entry["deny_if"] == [{"conditions": [{"path": "args.dry", "op": "not_in", "value": [True, False]}]}]
    assert suggestion.evidence["/tools/t/deny_if/0"] == "given in 40 of 41 calls, 2 values"
    assert flips(suggestion, records) == 0


def test_a_schema_that_some_call_did_not_satisfy_is_not_asked_for() -> None:
    records = [*many(5, ns=["dev"]), record(6, {"other": 1})]
    assert "validate" not in suggest(records, [{"name": "t", "inputSchema": SCHEMA}]).policy["tools"]["t"]
    redacted = [record(1, {"token": "[redacted]"})]
    assert "validate" not in suggest(redacted, [{"name": "t", "inputSchema": SCHEMA}]).policy["tools"]["t"]


def test_peaks_are_of_one_grant_in_one_minute() -> None:
    records = [record(seq, grant=f"g{seq % 2}") for seq in range(80)]
    suggestion = suggest(records)
    assert suggestion.policy["tools"]["t"]["limits"][0]["max"] == 45
    assert suggestion.evidence["/tools/t"] == "80 calls by 2 grants"
    assert suggest([record(1)]).policy["tools"]["t"]["limits"][0]["max"] == 2


def test_a_tool_that_was_only_used_with_approval_keeps_it() -> None:
    records = [row | {"approved_by": "ops"} if row["decision"] == "allow" else row for row in held(1, "allow")]
    suggestion = suggest(records)
    assert suggestion.policy["tools"]["t"]["approve_if"] == [{"conditions": []}]
    assert suggestion.evidence["/tools/t/approve_if/0"] == "each of 1 call was approved by an operator"
    assert "approve_if" not in suggest([*records, record(9)]).policy["tools"]["t"]


def test_other_methods_and_denied_calls_are_no_use() -> None:
    records = [
        record(1, method="resources/read", tool="", args={"uri": "x"}),
        record(2, decision="deny", rule="(hidden)"),
    ]
    assert suggest(records).policy["tools"] == {}
    assert read_policy(suggest(records).yaml().encode(), name="p.yaml").default == "deny"


def test_arguments_that_are_no_object_do_not_matter() -> None:
    assert suggest([record(1, args=None) | {"args": None}]).policy["tools"]["t"]["limits"][0]["max"] == 2


def test_a_name_with_a_star_is_no_pattern_by_accident() -> None:
    suggestion = suggest([record(1), record(2, tool="a*")], [{"name": "b*"}, {"name": "t"}])
    assert list(suggestion.policy["tools"]) == ["t"]
    assert "hide" not in suggestion.policy
    assert suggest([], [{"name": "b*"}]).policy["tools"] == {}


def test_from_tools_alone_come_the_defaults_of_each_class() -> None:
    names = ["list_pods", "create_pod", "run_job", "delete_pod", "create_refund", "frobnicate"]
    suggestion = suggest([], [{"name": name} for name in names])
    entries = suggestion.policy["tools"]
    assert {
        name: (entry["category"], entry["limits"][0]["max"], entry["limits"][0]["window"])
        for name, entry in entries.items()
    } == {
        "list_pods": ("Read", 60, "minute"),
        "create_pod": ("Write", 20, "minute"),
        "run_job": ("Execute", 10, "minute"),
        "delete_pod": ("Destructive", 5, "hour"),
        "create_refund": ("Financial", 5, "hour"),
        "frobnicate": ("Other", 10, "minute"),
    }
    assert [name for name, entry in entries.items() if "approve_if" in entry] == ["delete_pod", "create_refund"]
    assert all(entry["validate"] == "schema" for entry in entries.values())
    assert suggestion.evidence["/tools/delete_pod/category"] == 'its name says "delete"'
    assert len(read_policy(suggestion.yaml().encode(), name="p.yaml").tools) == 6


@pytest.mark.parametrize(
    ("tool", "category"),
    [
        ({"name": "getPodLogs"}, "Read"),
        ({"name": "pods.list"}, "Read"),
        ({"name": "get_or_delete"}, "Destructive"),
        ({"name": "list_deleted_items"}, "Read"),
        ({"name": "list_charges"}, "Read"),
        ({"name": "transferFunds"}, "Financial"),
        ({"name": "add_inline_policy"}, "Write"),
        ({"name": "invoke_agent_runtime"}, "Execute"),
        ({"name": ""}, "Other"),
        ({}, "Other"),
        ({"name": "manage", "annotations": {"destructiveHint": True}}, "Destructive"),
        ({"name": "delete_pod", "annotations": {"readOnlyHint": True}}, "Destructive"),
        ({"name": "frob", "annotations": {"readOnlyHint": True}}, "Read"),
        ({"name": "frob", "annotations": {"readOnlyHint": False}}, "Other"),
        ({"name": "frob", "annotations": []}, "Other"),
        ({"name": "get_x", "annotations": {"destructiveHint": True}}, "Destructive"),
        ({"name": "pay_x", "annotations": {"destructiveHint": True}}, "Financial"),
    ],
)
def test_a_tool_is_classed_by_its_name_and_annotations_only_make_it_worse(tool: dict[str, Any], category: str) -> None:
    assert classify(tool).category == category


@pytest.mark.parametrize(
    ("tool", "why"),
    [
        ({"name": "delete_x", "annotations": {"destructiveHint": True}}, 'its name says "delete"'),
        ({"name": "pay_x", "annotations": {"destructiveHint": True}}, 'its name says "pay"'),
        ({"name": "get_x", "annotations": {"destructiveHint": True}}, "upstream annotates it as destructive"),
        (
            {"name": "frob", "annotations": {"readOnlyHint": True}},
            "upstream annotates it as read-only, and its name says nothing else",
        ),
        ({"name": "list_x", "annotations": {"readOnlyHint": True}}, 'its name begins with "list"'),
        ({"name": "x_list"}, 'its name says "list"'),
        ({"name": "apply_it"}, 'its name says "apply"'),
        ({"name": "frob"}, "its name says nothing known"),
    ],
)
def test_the_class_says_what_it_comes_from(tool: dict[str, Any], why: str) -> None:
    assert classify(tool).why == why
