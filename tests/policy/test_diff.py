"""What changes between two policies, in words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.diff import policy_diff
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Caller, ToolCall, Verdict
from tests.policy.texts import NOTHING, condition, limit, policy, read
from tests.policy.writings import POLICIES, Object

ALWAYS: Object = {"conditions": NOTHING}
TWENTY = limit(max=20)
EMPTY: Object = {}


def changes(a: str, b: str) -> list[str]:
    return policy_diff(read(a), read(b))


def of_tool(a: Any, b: Any) -> list[str]:
    """What changes for the tool `t`."""
    return changes(policy(a), policy(b))


def only(a: Any, b: Any) -> str:
    (line,) = of_tool(a, b)
    return line


def test_a_denied_tool_that_gets_a_limit() -> None:
    assert only({"action": "deny"}, {"limits": [TWENTY]}) == "`t`: deny -> 20 a minute per grant"


@pytest.mark.parametrize(
    ("a", "b", "line"),
    [
        (EMPTY, {"action": "deny"}, "`t`: allow -> deny"),
        (EMPTY, {"action": "hide"}, "`t`: allow -> hidden"),
        ({"action": "hide"}, {"action": "deny"}, "`t`: hidden -> deny"),
        ({"action": "deny"}, {"deny_if": [ALWAYS], "mode": "observe"}, "`t`: deny -> observed only; deny if called"),
        (EMPTY, {"approve_if": [ALWAYS]}, "`t`: new: ask an operator if called"),
        (EMPTY, {"approve_if": [{**ALWAYS, "timeout": "90s"}]}, "`t`: new: ask an operator if called, for 90s"),
        (EMPTY, {"require": [ALWAYS]}, "`t`: new: require nothing"),
        (EMPTY, {"deny_if": [{**ALWAYS, "mode": "observe"}]}, "`t`: new: deny if called, observed only"),
        (EMPTY, {"mode": "observe"}, "`t`: mode enforce -> observe"),
        (EMPTY, {"validate": "schema"}, "`t`: validate off -> schema"),
        ({"risk": "low"}, {"risk": "high"}, "`t`: risk low -> high"),
        ({"category": "Read"}, EMPTY, "`t`: category Read -> not said"),
        ({"limits": [TWENTY]}, EMPTY, "`t`: no longer: 20 a minute per grant"),
        ({"limits": [TWENTY]}, {"limits": [limit(max=5)]}, "`t`: 20 a minute per grant -> 5 a minute per grant"),
        ({"limits": [TWENTY]}, {"limits": [limit(max=20, on_deny="x")]}, '`t`: 20 a minute per grant -> message "x"'),
        ({"limits": [limit(on_deny="x")]}, {"limits": [limit()]}, "`t`: 1 a minute per grant -> the usual message"),
        (EMPTY, {"limits": [limit(window="hour", scope="global")]}, "`t`: new: 1 an hour for all together"),
        (EMPTY, {"limits": [limit(window="5m", scope="args.a")]}, "`t`: new: 1 per 5m per args.a"),
        (EMPTY, {"limits": [limit(window="day", increment=3)]}, "`t`: new: 1 a day per grant, each call 3"),
        (
            EMPTY,
            {"limits": [limit(increment_from='args["a.b"]', algorithm="sliding", mode="observe")]},
            '`t`: new: 1 of args["a.b"] a minute per grant, sliding, observed only',
        ),
    ],
)
def test_each_kind_of_change_has_its_words(a: Any, b: Any, line: str) -> None:
    assert only(a, b) == line


def test_rules_are_told_by_their_conditions() -> None:
    rule = {"conditions": [condition(op="in", value=["dev"]), condition(path="args.y", op="gt", value=2)]}
    told = 'require args.x in ["dev"] and args.y gt 2'
    assert only(EMPTY, {"require": [rule]}) == f"`t`: new: {told}"
    assert only({"require": [rule]}, EMPTY) == f"`t`: no longer: {told}"
    assert only({"require": [rule]}, {"require": [{**rule, "on_deny": "no"}]}) == f'`t`: {told} -> on_deny "no"'
    assert only({"require": [{**rule, "name": "n"}]}, {"require": [rule]}) == (
        f"`t`: {told} -> no more than its conditions"
    )
    both = [rule, {"conditions": [condition()]}]
    assert only({"require": both}, {"require": both[::-1]}) == "`t`: require in another order"


def test_a_whole_entry_is_told_in_one_line() -> None:
    tool = {"validate": "schema", "require": [{"conditions": [condition()]}], "limits": [TWENTY]}
    assert only({"action": "hide"}, tool) == (
        "`t`: hidden -> arguments as the schema says; require args.x eq 1; 20 a minute per grant"
    )


def test_tools_that_come_and_go_are_told_by_what_becomes_of_them() -> None:
    assert changes(policy(tools={}), policy(tools={"b": {}, "a": {"limits": [TWENTY]}})) == [
        "`b`: deny -> allow",
        "`a`: deny -> 20 a minute per grant",
    ]
    assert changes(policy(), policy(tools={})) == ["`t`: allow -> deny"]
    assert changes(policy(tools={"t*": {"limits": [TWENTY]}, "t": {}}), policy(tools={"t*": {"limits": [TWENTY]}})) == [
        "`t`: new: 20 a minute per grant"
    ]
    assert changes(policy(default="allow"), policy(default="allow", tools={})) == []


def test_hidden_names_and_patterns_are_told() -> None:
    assert changes(policy(), policy(hide=["x", "t*"])) == [
        "`t*` (hide): not hidden -> hidden",
        "`t`: allow -> hidden",
        "`x`: deny -> hidden",
    ]
    assert changes(policy(hide=["x*"]), policy()) == ["`x*` (hide): hidden -> not hidden"]


def test_the_order_of_patterns_is_told() -> None:
    a, b = {"x*": EMPTY, "*y": EMPTY}, {"*y": EMPTY, "x*": EMPTY}
    (line,) = changes(policy(tools=a), policy(tools=b))
    assert line.endswith("x*, *y -> *y, x*")


def test_the_top_of_the_policy_is_told() -> None:
    a = policy(mode="observe", prompts="deny", redact=["args.a", "args.c"])
    b = policy(
        default="allow",
        tools={"t": {}},
        approvals={"timeout": "1m", "remember": "1h"},
        redact=["args.c", "args.b"],
        resources={"default": "deny", "allow": ["a", "b"], "deny": ["c"]},
        all_tools={"limits": [TWENTY]},
    )
    assert changes(a, b) == [
        "tools not listed: deny -> allow",
        "the whole policy: observe -> enforce",
        "all tools: new: 20 a minute per grant",
        "resources: as tools not listed -> deny, allow a, b, deny c",
        "prompts: deny -> as tools not listed",
        "approvals wait: 45s -> 1m",
        "approvals are remembered: 10m -> 1h",
        "args.a: redacted -> stored",
        "args.b: stored -> redacted",
    ]


def test_names_cannot_break_a_line() -> None:
    assert changes(policy(tools={}), policy(tools={"a\n\x1b": {}})) == ["`a\\n\\x1b`: deny -> allow"]


def test_other_dialects_of_the_same_policy_differ_in_nothing() -> None:
    short = {"rate_limit": "20/minute"}
    assert of_tool(short, {"limits": [limit(counter="t._rate_minute", max=20)]}) == []


def verdict(document: PolicyDocument, tool: str, args: Any) -> Verdict:
    engine = Engine()
    engine.install(compile_policy(document))
    return engine.admit(ToolCall(Caller("g"), tool, args), 0).verdict


@given(POLICIES, POLICIES)
def test_policies_that_decide_differently_differ_in_words(a: Object, b: Object) -> None:
    old, new = read(json.dumps(a)), read(json.dumps(b))
    assert policy_diff(old, old) == []
    differ = any(
        verdict(old, tool, args) != verdict(new, tool, args)
        for tool in ("t", "a.b", "get_pods", "other", "delete_x")
        for args in ({}, {"x": 9, "y": 1, "n": 1})
    )
    assert not differ or policy_diff(old, new)
