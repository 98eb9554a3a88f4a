"""What the lint says, and what it stays silent about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwatch.policy.lint import lint
from mcpwatch.policy.lintrules import is_anchored
from tests.policy.texts import NOTHING, condition, limit, policy, read

Found = list[tuple[str, str]]
EMPTY: dict[str, Any] = {}
SLIDING = limit(algorithm="sliding")
READS: dict[str, Any] = {"require": [{"conditions": [condition()]}]}


def remarks(text: str, tools: list[dict[str, Any]] | None = None) -> Found:
    """(pointer, message) of every remark."""
    found = lint(read(text), tools)
    assert all(problem.severity == "warning" and problem.length >= 1 for problem in found)
    return [(problem.pointer, problem.message) for problem in found]


def only(text: str, tools: list[dict[str, Any]] | None = None) -> tuple[str, str]:
    (remark,) = remarks(text, tools)
    return remark


def rule(*conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"conditions": list(conditions), **more}


def offered(*names: str, **schema: Any) -> list[dict[str, Any]]:
    return [{"name": name, "inputSchema": {"type": "object", **schema}} for name in names]


def test_a_policy_that_says_what_it_means_gets_no_remark() -> None:
    tool = {
        "require": [rule(condition(op="exists", value=True), condition(op="regex", value="^(dev|staging)$"))],
        "deny_if": [rule(condition(op="gt", value=5)), rule(condition(path="args.y", op="exists", value=True))],
        "approve_if": [rule(condition(op="eq", value=4))],
        "limits": [SLIDING],
    }
    assert remarks(policy(tool, hide=["gone"]), offered("t", "gone", "unlisted")) == []


def test_an_approval_that_a_number_in_quotes_walks_past_is_told() -> None:
    asks = {"approve_if": [rule(condition(op="eq", value=1), condition(op="gt", value=5))]}
    pointer, message = only(policy(asks, all_tools={"limits": [SLIDING]}))
    assert pointer == "/tools/t/approve_if/0"
    assert message.startswith('a call with args.x as a text, like "500", is not held by this rule')
    refused_else = (
        {"require": [rule(condition(op="gte", value=0), condition(op="exists", value=True))]},
        {"deny_if": [rule(condition(op="lt", value=0)), rule(condition(op="exists", value=False))]},
        {"validate": "schema"},
    )
    for guard in refused_else:
        assert remarks(policy(asks | guard, all_tools={"limits": [SLIDING]})) == []
        assert remarks(policy(asks, all_tools=guard | {"limits": [SLIDING]})) == []
    no_guard = (
        {"require": [rule(condition(op="gte", value=0), mode="observe")]},
        {"require": [rule(condition(path="args.y", op="gte", value=0))]},
        {"deny_if": [rule(condition(op="lt", value=0), condition(op="exists", value=True))]},
    )
    for guard in no_guard:
        found = remarks(policy(asks | guard, all_tools={"limits": [SLIDING]}))
        assert "/tools/t/approve_if/0" in [pointer for pointer, _ in found]


def test_a_fixed_window_is_told_once_with_how_much_can_pass() -> None:
    rest = (
        'up to twice the maximum, here 2 x 1 = 2, can pass around its edge; "algorithm": "sliding" allows no such burst'
    )
    assert remarks(policy({"limits": [limit()]})) == [("/tools/t/limits/0", f"a fixed window: {rest}")]
    several = {"limits": [limit(), limit(counter="d", scope="global"), limit(counter="e", scope="client")]}
    assert remarks(policy(several))[0] == ("/tools/t/limits/0", f"a fixed window (and 2 more like it): {rest}")


def test_a_value_that_is_in_no_list_is_told_at_the_list() -> None:
    never = {"require": [rule(condition(op="in", value=[]))], "limits": [SLIDING]}
    assert only(policy(never)) == (
        "/tools/t/require/0/conditions/0/value",
        "nothing is in an empty list: this never holds",
    )


def test_tools_that_the_upstream_does_not_offer_are_named_with_the_nearest() -> None:
    text = policy(tools={"get_pod_log": {}, "list_*": {}, "x*": {}}, hide=["lst_pods", "y*", "list_p*"])
    found = remarks(text, offered("get_pod_logs", "list_pods"))
    assert found == [
        ("/tools/get_pod_log", 'the upstream offers no tool "get_pod_log"; did you mean "get_pod_logs"?'),
        ("/tools/x*", 'no tool that the upstream offers matches "x*"'),
        ("/hide/0", 'the upstream offers no tool "lst_pods"; did you mean "list_pods"?'),
        ("/hide/1", 'no tool that the upstream offers matches "y*"'),
    ]
    assert remarks(text) == []


def test_unknown_tools_without_a_near_name_and_many_of_them_are_named_too() -> None:
    assert only(policy(tools={"zzz": {}}), offered("get_pods")) == (
        "/tools/zzz",
        'the upstream offers no tool "zzz"',
    )
    many = remarks(policy(tools=dict.fromkeys([f"get_pods{at}" for at in range(60)], EMPTY)), offered("get_pods"))
    assert ["did you mean" in message for _, message in many] == [True] * 50 + [False] * 10


def test_a_tool_that_is_listed_and_hidden_is_unknown_once() -> None:
    assert only(policy({"action": "hide"}), NOTHING)[0] == "/tools/t"


def test_a_pattern_behind_a_wider_one_never_decides() -> None:
    found = remarks(policy(tools={"get_*": {}, "get_p*": {}, "*_pods": {}, "get_pods": {}}))
    assert [pointer for pointer, _ in found] == ["/tools/get_p*"]
    assert '"get_*" stands before it' in found[0][1]


def test_deny_if_on_an_argument_that_may_be_left_out() -> None:
    pointer, message = only(policy({"deny_if": [rule(condition(op="gt")), rule()]}))
    assert pointer == "/tools/t/deny_if/0"
    assert message.startswith("a call without args.x is not denied")


@pytest.mark.parametrize(
    "tool",
    [
        {"require": [rule(condition(op="exists", value=True))], "deny_if": [rule(condition(op="gt"))]},
        {"require": [rule(condition(op="in", value=[1, 2]))], "deny_if": [rule(condition(op="gt"))]},
        {"deny_if": [rule(condition(op="gt")), rule(condition(op="exists", value=False))]},
        {"deny_if": [rule(condition(op="exists", value=True))]},
    ],
)
def test_an_argument_that_must_be_there_needs_no_remark(tool: dict[str, Any]) -> None:
    assert remarks(policy(tool)) == []
    assert remarks(policy({"deny_if": [rule(condition(op="gt"))]}, all_tools={"require": READS["require"]})) == []


@pytest.mark.parametrize(
    "tool",
    [
        {"require": [rule(condition(op="exists", value=False))]},
        {"require": [rule(condition(path="args.y"))]},
        {"require": [rule(condition(), mode="observe")]},
    ],
)
def test_other_requirements_do_not_make_an_argument_certain(tool: dict[str, Any]) -> None:
    denial = {
        "deny_if": [rule(condition(op="gt")), rule(condition(op="exists", value=False), condition(path="args.y"))]
    }
    assert "/tools/t/deny_if/0" in [pointer for pointer, _ in remarks(policy({**tool, **denial}))]


def test_the_schema_makes_an_argument_certain_only_when_it_is_enforced() -> None:
    tool = {"deny_if": [rule(condition(op="gt"))]}
    tools = offered("t", required=["x"])
    assert only(policy(tool), tools)[0] == "/tools/t/deny_if/0"
    assert remarks(policy({**tool, "validate": "schema"}), tools) == []
    assert remarks(policy(tool, all_tools={"validate": "schema"}), tools) == []
    assert len(remarks(policy({**tool, "validate": "schema"}))) == 1


def test_arguments_that_the_tool_does_not_declare() -> None:
    tools = offered("t", properties={"namespace": {}})
    tool = {"require": [rule(condition(path="args.namspace")), rule(condition(path="args.q"))]}
    assert remarks(policy(tool), tools) == [
        ("/tools/t/require/0/conditions/0/path", 'the tool declares no argument "namspace"; did you mean "namespace"?'),
        ("/tools/t/require/1/conditions/0/path", 'the tool declares no argument "q"'),
    ]
    assert remarks(policy({"require": [rule(condition(path="args.namespace.x"))]}), tools) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "^((a|b)|c)$",
        "^(?:a(b|(c)))$|^d$",
        "^a$",
        r"\Aa\z",
        "^a$|^b$",
        "(?i)^a$",
        "^(a|b)$",
        "^[|$]$",
        r"^\|$",
        r"^a\\$",
        "^[]|]$",
        "^$",
        r"^a\\\z",
    ],
)
def test_anchored_patterns(pattern: str) -> None:
    assert is_anchored(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "",
        "^a",
        "a$",
        "^((a)b)|c$",
        "a|^b$",
        "^dev|staging$",
        "^a$|b",
        r"^a\$",
        r"^a\\z",
        "(^a$)",
        "^az",
        r"\^a$",
        r"^a\\\$",
    ],
)
def test_patterns_that_match_within_a_text(pattern: str) -> None:
    assert not is_anchored(pattern)


@pytest.mark.parametrize("key", ["require", "approve_if"])
def test_an_unanchored_pattern_is_remarked_in_every_list(key: str) -> None:
    pointer, message = only(policy({key: [rule(condition(op="regex", value="dev"))]}))
    assert pointer == f"/tools/t/{key}/0/conditions/0/value"
    assert "anchor it with ^ and $" in message


def test_an_empty_list_holds_nothing() -> None:
    assert only(policy({"approve_if": [rule(condition(op="in", value=NOTHING))]}))[1].startswith("nothing is in")
    assert remarks(policy({"approve_if": [rule(condition(op="not_in", value=NOTHING))]})) == []


def test_shared_counters_are_said() -> None:
    tools = {
        "a": {"limits": [SLIDING]},
        "b": {"limits": [limit(algorithm="sliding", max=5)]},
        "c": {"limits": [SLIDING]},
    }
    assert remarks(policy(tools=tools)) == [
        ("/tools/b/limits/0", 'the counter "c" is shared with /tools/a/limits/0; their maxima differ, 1 and 5'),
        ("/tools/c/limits/0", 'the counter "c" is shared with /tools/a/limits/0'),
    ]


def test_other_windows_and_scopes_are_other_counters() -> None:
    tools = {"a": {"limits": [SLIDING]}, "b": {"limits": [{**SLIDING, "window": 90}, {**SLIDING, "scope": "global"}]}}
    assert remarks(policy(tools=tools)) == []


def test_the_edge_of_fixed_windows_is_said_once() -> None:
    pointer, message = only(policy({"limits": [limit(max=10)]}))
    assert pointer == "/tools/t/limits/0"
    assert "2 x 10 = 20" in message
    both = only(policy({"limits": [limit(max=10), limit(counter="d", window="day", max=7)]}))
    assert "(and 1 more like it)" in both[1]
    assert remarks(policy({"limits": [limit(max=0)]})) == []


@pytest.mark.parametrize(
    ("tool", "pointer"),
    [
        ({"require": [rule()]}, "/tools/t/require/0"),
        ({"require": [rule(condition()), rule(condition())]}, "/tools/t/require/1"),
        ({"approve_if": [rule(condition()), rule(condition())]}, "/tools/t/approve_if/1"),
        ({"require": [rule(condition(), condition(path="args.y")), rule(condition())]}, "/tools/t/require/1"),
        ({"deny_if": [rule(), rule(condition(op="exists", value=True))]}, "/tools/t/deny_if/1"),
        ({"approve_if": [rule(condition()), rule(condition(path="args.y"), condition())]}, "/tools/t/approve_if/1"),
        ({"deny_if": [rule()], "approve_if": [rule()]}, "/tools/t/approve_if/0"),
        ({"deny_if": [rule()], "limits": [SLIDING]}, "/tools/t/limits/0"),
        ({"limits": [{**SLIDING, "max": 10}, {**SLIDING, "counter": "d", "max": 5}]}, "/tools/t/limits/0"),
        ({"limits": [{**SLIDING, "counter": "d"}, SLIDING]}, "/tools/t/limits/1"),
    ],
)
def test_rules_that_can_never_decide(tool: dict[str, Any], pointer: str) -> None:
    found = only(policy(tool))
    assert found[0] == pointer
    assert found[1].startswith("never decides")


@pytest.mark.parametrize(
    "tool",
    [
        {"require": [rule(condition()), rule(condition(), condition(path="args.y"))]},
        {"require": [rule(condition(), mode="observe"), rule(condition())]},
        {"approve_if": [rule(condition(value=1)), rule(condition(value=True)), rule(condition(value=1.0))]},
        {"approve_if": [rule(condition(), condition(path="args.y")), rule(condition())]},
        {"deny_if": [rule(mode="observe")], "limits": [SLIDING]},
        {"deny_if": [rule()], "limits": [SLIDING], "mode": "observe"},
        {"limits": [{**SLIDING, "max": 10}, {**SLIDING, "counter": "d", "max": 5, "mode": "observe"}]},
        {"limits": [{**SLIDING, "max": 10}, {**SLIDING, "counter": "d", "max": 5, "increment_from": "args.n"}]},
    ],
)
def test_rules_that_can_decide(tool: dict[str, Any]) -> None:
    assert remarks(policy(tool)) == []


def test_all_tools_can_shadow_a_tool_and_itself() -> None:
    text = policy({"limits": [SLIDING]}, all_tools={"deny_if": [rule()], "require": [rule()]})
    assert [pointer for pointer, _ in remarks(text)] == ["/tools/t/limits/0", "/all_tools/require/0"]


def test_rules_of_a_hidden_tool_never_decide() -> None:
    assert only(policy(READS, hide=["t*"])) == ("/tools/t", '"t" is hidden, its rules never decide')
    assert remarks(policy(hide=["t"])) == []


def test_under_default_allow_an_entry_without_rules_changes_nothing() -> None:
    assert only(policy(default="allow"))[1] == '"t" has no rule, and default is "allow": this entry changes nothing'
    assert remarks(policy(default="allow", all_tools=READS)) == []
    assert remarks(policy({"validate": "schema"}, default="allow")) == []


def test_under_default_allow_offered_tools_without_a_rule_are_named() -> None:
    text = policy(default="allow", tools={"a*": READS, "z*": READS, "b": READS}, hide=["hid"])
    ruled = ("a1", "z1", "b", "hid")
    assert remarks(text, offered(*ruled)) == []
    assert only(text, offered(*ruled, "c")) == (
        "/default",
        "an offered tool is allowed without any rule: c",
    )
    assert only(text, offered(*ruled, "c", "d"))[1] == "2 offered tools are allowed without any rule: c, d"
    message = only(text, offered("a", "z", "b", "hid", *"defghij"))[1]
    assert message == "7 offered tools are allowed without any rule: d, e, f, g, h, …"
    assert remarks(policy(default="allow", tools={}, all_tools=READS), offered("c")) == []


@pytest.mark.parametrize("name", ["delete_pod", "apply_yaml", "invoke_agent_runtime", "create_charge"])
def test_tools_that_change_something_have_a_limit(name: str) -> None:
    pointer, message = only(policy(tools={name: READS}))
    assert pointer == f"/tools/{name}"
    assert message.endswith("and has no limit")
    assert remarks(policy(tools={name: {"limits": [SLIDING]}})) == []
    assert remarks(policy(tools={name: READS}, all_tools={"limits": [SLIDING]})) == []
    assert remarks(policy(tools={name: {"deny_if": [rule()]}})) == []
    assert remarks(policy(tools={name: {}}, hide=[name])) == []
    assert remarks(policy(tools={name: {"category": "Read"}})) == []


def test_the_class_comes_from_the_policy_or_from_the_tool() -> None:
    assert "(says the policy)" in only(policy({"category": "Destructive"}))[1]
    tools = [{"name": "t", "annotations": {"destructiveHint": True}}]
    assert "class Destructive" in only(policy(), tools)[1]


@pytest.mark.parametrize(
    ("fields", "key", "words"),
    [
        ({"increment_from": "args.n", "increment": 2}, "increment", "no effect"),
        ({"increment": 0}, "increment", "counts nothing"),
        ({"increment": 3, "max": 2}, "max", "no call ever passes"),
        ({"increment": 2, "max": 1}, "max", "each call counts 2, the maximum is 1: no call ever passes"),
    ],
)
def test_increments_that_do_nothing_or_too_much(fields: dict[str, Any], key: str, words: str) -> None:
    pointer, message = only(policy({"limits": [{**SLIDING, **fields}]}))
    assert pointer == f"/tools/t/limits/0/{key}"
    assert words in message


def test_remarks_stand_in_file_order_at_their_places() -> None:
    text = json.dumps(json.loads(policy({"limits": [limit()], "require": [rule()]}, hide=["t"])), indent=1)
    found = lint(read(text), None)
    assert [(problem.line, problem.column) for problem in found] == sorted((p.line, p.column) for p in found)
    assert [problem.pointer for problem in found] == ["/tools/t", "/tools/t/limits/0", "/tools/t/require/0"]


def test_ten_thousand_unknown_tools_are_remarked_quickly() -> None:
    tools = dict.fromkeys([f"tool_{at}" for at in range(10_000)], EMPTY)
    assert len(remarks(policy(tools=tools), offered(*(f"other_{at}" for at in range(1_000))))) == 10_000
