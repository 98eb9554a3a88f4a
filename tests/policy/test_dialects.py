"""The short form and the rules form become the v1 lists they amount to; what would mean two things is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.writer import document_json, entry_json
from tests.policy.texts import NOTHING, condition, faults, limit, pointers, policy, read

ALWAYS: dict[str, Any] = {"conditions": NOTHING}
EMPTY: dict[str, Any] = {}
X: dict[str, Any] = condition()


def rate(tool: str = "t", window: str = "minute", most: int = 10, **more: object) -> dict[str, Any]:
    return {"counter": f"{tool}._rate_{window}", "window": window, "max": most, "scope": "grant", **more}


def state(op: str = "lte", value: object = 5, path: str = "state.t.c", **block: object) -> dict[str, Any]:
    """A rule that counts: its condition and its state block."""
    entry = {"path": path, "op": op, "value": value}
    return {"conditions": [entry], "state": {"counter": "c", "window": "day", **block}}


def meant(tool: object, **top: object) -> dict[str, Any]:
    """The v1 form of a tool's entry."""
    return entry_json(read(policy(tool, **top)).tools["t"])


def rules(*entries: object) -> dict[str, Any]:
    return {"rules": list(entries)}


def rule_pointers(*entries: object) -> list[str]:
    """Pointers of the faults in the rules of `t`, from the rule on."""
    found = pointers(policy(rules(*entries)))
    assert all(pointer.startswith("/tools/t/rules/") for pointer in found)
    return [pointer.removeprefix("/tools/t/rules/") for pointer in found]


@pytest.mark.parametrize(
    ("short", "v1"),
    [
        ({"action": "allow"}, EMPTY),
        ({"action": "allow", "reason": "safe"}, EMPTY),
        ({"action": "deny"}, {"deny_if": [ALWAYS]}),
        ({"action": "deny", "reason": "no"}, {"deny_if": [{**ALWAYS, "on_deny": "no"}]}),
        ({"action": "require_approval", "reason": "ask"}, {"approve_if": [{**ALWAYS, "on_deny": "ask"}]}),
        ({"action": "hide"}, EMPTY),
        ({"rate_limit": "10/minute"}, {"limits": [rate()]}),
        ({"rate_limit": {"max": 10, "window": 60}}, {"limits": [rate()]}),
        ({"rate_limit": {"max": 10, "window": "1m"}}, {"limits": [rate()]}),
        ({"rate_limit": "10/90s"}, {"limits": [{**rate(window="90s")}]}),
        ({"rate_limit": "0/day"}, {"limits": [rate(window="day", most=0)]}),
        ({"rate_limit": "10/hour", "reason": "slow"}, {"limits": [rate(window="hour", on_deny="slow")]}),
        (
            {"rate_limit": "10/hour", "reason": "slow", "action": "allow"},
            {"limits": [rate(window="hour", on_deny="slow")]},
        ),
        (
            {"rate_limit": "10/hour", "reason": "ask", "action": "require_approval"},
            {"approve_if": [{**ALWAYS, "on_deny": "ask"}], "limits": [rate(window="hour")]},
        ),
    ],
)
def test_the_short_form(short: object, v1: object) -> None:
    assert meant(short) == v1


def test_windows_that_have_no_name_are_counted_by_their_seconds() -> None:
    (found,) = read(policy({"rate_limit": "3/5m"})).tools["t"].limits
    assert (found.counter, found.window.text) == ("t._rate_300s", "5m")


def test_an_action_can_hide() -> None:
    document = read(policy({"action": "hide"}, hide=["x"]))
    assert document.hide == ("x", "t")
    assert read(policy({"rules": [{"action": "hide"}]})).hide == ("t",)
    assert read(policy(tools={"*": {"action": "hide"}})).hide == ("*",)


def test_a_reason_needs_something_to_be_a_reason_of() -> None:
    assert pointers(policy({"reason": "x"})) == ["/tools/t/reason"]


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"max": 10}, "/window"),
        ({"window": 60}, "/max"),
        ({"max": -1, "window": 60}, "/max"),
        ({"max": 1.5, "window": 60}, "/max"),
        ({"max": True, "window": 60}, "/max"),
        ({"max": 1, "window": "week"}, "/window"),
        ({"max": 1, "window": 60, "burst": 2}, "/burst"),
        ([10, 60], ""),
    ],
)
def test_rate_limits_have_a_maximum_and_a_window(value: object, pointer: str) -> None:
    assert pointers(policy({"rate_limit": value})) == [f"/tools/t/rate_limit{pointer}"]
    assert rule_pointers({"rate_limit": value}) == [f"0/rate_limit{pointer}"]


@pytest.mark.parametrize(
    ("rule", "v1"),
    [
        ({"action": "allow"}, EMPTY),
        ({"action": "deny", "reason": "no"}, {"deny_if": [{**ALWAYS, "on_deny": "no"}]}),
        ({"action": "deny", "conditions": []}, {"deny_if": [ALWAYS]}),
        ({"action": "deny", "name": "n", "on_deny": "no"}, {"deny_if": [{**ALWAYS, "on_deny": "no", "name": "n"}]}),
        ({"action": "deny", "mode": "observe"}, {"deny_if": [{**ALWAYS, "mode": "observe"}]}),
        ({"conditions": [X]}, {"require": [{"conditions": [X]}]}),
        ({"conditions": [X], "action": "allow"}, {"require": [{"conditions": [X]}]}),
        ({"conditions": [X], "action": "evaluate", "name": "n"}, {"require": [{"conditions": [X], "name": "n"}]}),
        ({"rate_limit": "10/minute", "on_deny": "slow"}, {"limits": [rate(on_deny="slow")]}),
        ({"rate_limit": "10/minute", "action": "allow", "mode": "observe"}, {"limits": [rate(mode="observe")]}),
        (
            {"action": "require_approval", "conditions": [X], "approval_timeout": "30m"},
            {"approve_if": [{"conditions": [X], "timeout": "30m"}]},
        ),
        (
            {"action": "require_approval", "rate_limit": "10/minute"},
            {"approve_if": [ALWAYS], "limits": [rate()]},
        ),
        (state(), {"limits": [limit(counter="t.c", window="day", max=5, scope="grant")]}),
        (state("lt", 5), {"limits": [limit(counter="t.c", window="day", max=4, scope="grant")]}),
        (state("lte", 0), {"limits": [limit(counter="t.c", window="day", max=0, scope="grant")]}),
        (state("lt", 1), {"limits": [limit(counter="t.c", window="day", max=0, scope="grant")]}),
        (
            state(increment_from="args.n"),
            {"limits": [limit(counter="t.c", window="day", max=5, scope="grant", increment_from="args.n")]},
        ),
        (state(increment=2.5), {"limits": [limit(counter="t.c", window="day", max=5, scope="grant", increment=2.5)]}),
    ],
)
def test_the_rules_form(rule: object, v1: object) -> None:
    assert meant(rules(rule)) == v1


def test_a_state_block_takes_its_own_condition_and_leaves_the_others() -> None:
    rule = state()
    rule["conditions"].insert(0, X)
    assert meant(rules({**rule, "on_deny": "cap"})) == {
        "require": [{"conditions": [X], "on_deny": "cap"}],
        "limits": [limit(counter="t.c", window="day", max=5, scope="grant", on_deny="cap")],
    }


def test_the_names_of_limits_are_kept_for_those_who_ask() -> None:
    (found,) = read(policy(rules({"name": "n", "rate_limit": "1/minute"}))).tools["t"].limits
    assert found.name == "n"


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"name": "a"}, "0"),
        (EMPTY, "0"),
        ({"conditions": []}, "0"),
        ({"action": "evaluate"}, "0"),
        ({"action": "evaluate", "on_deny": "x"}, "0"),
        ({"action": "deny", "conditions": [X]}, "0/conditions"),
        ({"action": "hide", "conditions": [X]}, "0/conditions"),
        ({"action": "deny", "rate_limit": "1/minute"}, "0/rate_limit"),
        ({"rate_limit": "1/minute", "conditions": [X]}, "0/conditions"),
        ({"action": "deny", "on_deny": "a", "reason": "b"}, "0/reason"),
        ({"action": "deny", "approval_timeout": "5s"}, "0/approval_timeout"),
        ({"action": "require_approval", "approval_timeout": "soon"}, "0/approval_timeout"),
        ({"action": "require_approval", "timeout": "5s"}, "0/timeout"),
        ({"action": "Deny"}, "0/action"),
        ({"action": None}, "0/action"),
        ({"action": "deny", "name": ""}, "0/name"),
        ({"action": "deny", "name": 5}, "0/name"),
        ({"action": "deny", "reason": 5}, "0/reason"),
        ({"action": "deny", "on_deny": None}, "0/on_deny"),
        ({"action": "deny", "mode": "off"}, "0/mode"),
        ({"action": "deny", "ondeny": "x"}, "0/ondeny"),
        ({"conditions": EMPTY}, "0/conditions"),
        ({"conditions": [X, 5]}, "0/conditions/1"),
        ({"conditions": [condition(path="x")]}, "0/conditions/0/path"),
        ({"conditions": [condition(path=5)]}, "0/conditions/0/path"),
        ({"conditions": [condition(path="state.t.c")]}, "0/conditions/0"),
        ({"conditions": [condition(path="state")]}, "0/conditions/0"),
        ("deny", "0"),
        (None, "0"),
    ],
)
def test_rules_that_say_nothing_or_two_things_are_refused(rule: object, pointer: str) -> None:
    assert rule_pointers(rule) == [pointer]


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        (state("gt"), "0/conditions/0/op"),
        (state("eq"), "0/conditions/0/op"),
        (state(value=1.5), "0/conditions/0/value"),
        (state(value="5"), "0/conditions/0/value"),
        (state(value=-1), "0/conditions/0/value"),
        (state("lt", 0), "0/conditions/0/value"),
        (state(path="state.other.c"), "0/conditions/0/path"),
        (state(path="state.t.d"), "0/conditions/0/path"),
        (state(path="state.t"), "0/conditions/0/path"),
        (state(window="week"), "0/state/window"),
        (state(counter=""), "0/state/counter"),
        (state(counter=5), "0/state/counter"),
        (state(increment=-1), "0/state/increment"),
        (state(increment="2"), "0/state/increment"),
        (state(increment_from="amount"), "0/state/increment_from"),
        (state(scope="grant"), "0/state/scope"),
        ({**state(), "state": "c"}, "0/state"),
        ({**state(), "state": {"counter": "c"}}, "0/state/window"),
        ({**state(), "state": {"window": "day"}}, "0/state/counter"),
        ({"conditions": [X], "state": {"counter": "c", "window": "day"}}, "0/state"),
        ({"conditions": [*state()["conditions"] * 2], "state": state()["state"]}, "0/conditions/1"),
    ],
)
def test_state_blocks_count_what_their_own_condition_bounds(rule: object, pointer: str) -> None:
    assert rule_pointers(rule) == [pointer]


def test_a_state_block_stands_beside_no_other_form() -> None:
    assert rule_pointers({**state(), "rate_limit": "1/minute"}) == ["0/state", "0/conditions"][::-1]
    assert "0/state" in rule_pointers({"action": "deny", "state": state()["state"]})


def test_two_rules_of_a_tool_do_not_share_a_counter() -> None:
    assert rule_pointers({"rate_limit": "1/minute"}, {"rate_limit": {"max": 2, "window": 60}}) == ["1/rate_limit"]
    assert rule_pointers(state(), state()) == ["1/state"]
    assert len(read(policy(rules({"rate_limit": "1/minute"}, {"rate_limit": "9/hour"}))).tools["t"].limits) == 2


def test_all_forms_may_stand_in_one_entry() -> None:
    tool = {
        "rules": [{"action": "deny"}, {"conditions": [X]}, {"rate_limit": "9/minute"}],
        "rate_limit": "5/minute",
        "action": "require_approval",
        "deny_if": [{"conditions": [X]}],
        "limits": [limit()],
    }
    assert meant(tool) == {
        "require": [{"conditions": [X]}],
        "deny_if": [{"conditions": [X]}, ALWAYS],
        "approve_if": [ALWAYS],
        "limits": [limit(scope="grant"), rate(most=5), rate(most=9)],
    }


def test_the_entry_star_of_these_forms_stands_for_all_tools() -> None:
    star = {
        "rules": [{"conditions": [X]}, state(path="state._global.c")],
        "rate_limit": "5/minute",
        "validate": "schema",
        "deny_if": [{"conditions": [X]}],
    }
    document = read(policy(tools={"*": star, "t": {}}, all_tools={"limits": [limit()]}))
    assert list(document.tools) == ["t"]
    assert entry_json(document.all_tools) == {
        "validate": "schema",
        "require": [{"conditions": [X]}],
        "deny_if": [{"conditions": [X]}],
        "limits": [
            limit(scope="grant"),
            rate("_global", most=5),
            limit(counter="_global.c", window="day", max=5, scope="grant"),
        ],
    }
    for key, value in (("mode", "observe"), ("category", "Read"), ("risk", "low")):
        assert pointers(policy(tools={"*": {**star, key: value}})) == [f"/tools/*/{key}"]


def test_the_entry_star_of_v1_is_a_pattern() -> None:
    document = read(policy(tools={"*": {"limits": [limit()]}}))
    assert list(document.tools) == ["*"]
    assert document.all_tools.limits == ()


def test_only_a_file_with_rules_may_leave_default_out() -> None:
    document = read('{"version": "1", "tools": {"t": {"rules": []}, "u": {}}}')
    assert document.default == "allow"
    assert ("/default", 'this form takes it for "allow"') in remarks(document)
    assert pointers('{"version": "1", "tools": {"t": {"action": "deny"}}}') == ["/default"]


def remarks(document: PolicyDocument) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.message.split("; ")[-1].split(": ")[0]) for problem in document.warnings]


@pytest.mark.parametrize(
    ("tools", "dialect", "words"),
    [
        (EMPTY, "v1", []),
        ({"t": EMPTY}, "v1", []),
        ({"t": {"action": "deny"}}, "short", ["an entry in the short form"]),
        ({"t": {"rules": NOTHING}, "u": {"rules": NOTHING}}, "rules", ["2 entries in the rules form"]),
        (
            {"t": {"rules": NOTHING, "action": "deny"}, "u": EMPTY},
            "mixed",
            ["an entry in the short form", "an entry in the rules form"],
        ),
    ],
)
def test_other_forms_are_remarked_once_each(tools: object, dialect: str, words: list[str]) -> None:
    document = read(policy(tools=tools))
    assert document.dialect == dialect
    assert sorted(problem.message.split(", read")[0] for problem in document.warnings) == sorted(words)
    assert {problem.severity for problem in document.warnings} <= {"warning"}


def test_the_messages_of_faults_say_what_to_do() -> None:
    (message,) = [text for _, text in faults(policy(rules({"name": "a"})))]
    assert message == "a rule that does nothing; it needs conditions, a rate_limit or an action"


def test_reading_what_was_written_gives_the_same_document() -> None:
    tool = {"rules": [{"conditions": [X], "name": "n"}, {"rate_limit": "3/5m"}], "action": "deny"}
    document = read(policy(tool, hide=["h"]))
    assert document_json(read(json.dumps(document_json(document)))) == document_json(document)
