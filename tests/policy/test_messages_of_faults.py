"""The words of every kind of fault: what was expected, what was found, what may have been meant."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError
from tests.policy.texts import NOTHING, condition, faults, limit, policy

EMPTY: dict[str, Any] = {}
STATE: dict[str, Any] = {"counter": "c", "window": "day"}


def rule(**fields: object) -> dict[str, Any]:
    return {"deny_if": [{"conditions": NOTHING, **fields}]}


def asked(**fields: object) -> dict[str, Any]:
    return {"deny_if": [{"conditions": [condition(**fields)]}]}


def listed(entry: object) -> dict[str, Any]:
    return {"rules": [entry]}


def counted(path: str = "state.t.c", op: str = "lte", value: object = 1) -> list[dict[str, Any]]:
    return [{"path": path, "op": op, "value": value}]


WINDOWS = 'a window like "minute", "hour", "day", 90, "90s", "5m", "12h", "7d"'
OPERATORS = '"eq", "neq", "lt", "lte", "gt", "gte", "in", "not_in", "exists", "regex" or "contains"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected a policy: an object with version, default and tools, found a list"),
        (policy(version=1), 'expected the text "1", found the number 1'),
        (policy(version="2"), 'expected the text "1", found the text "2"'),
        ('{"default": "deny"}', '"version" is missing here; it is needed'),
        (
            '{"version": "1"}',
            '"default" is missing here; "allow" or "deny" is needed: what becomes of tools not listed',
        ),
        (policy(default="Deny"), 'expected "allow" or "deny" (did you mean "deny"?), found the text "Deny"'),
        (policy(default=None), 'expected "allow" or "deny", found null'),
        (policy(description=EMPTY), "expected a text, found an object"),
        (policy(hide="x"), 'expected a list of names, found the text "x"'),
        (policy(hide=[True]), "expected a name, found true"),
        (policy(hide=[" "]), 'expected a name that is not blank, found the text " "'),
        (policy(hide=["a", "a"]), 'expected each name once, found the text "a"'),
        (policy(tools=NOTHING), "expected an object: tool names, each with its entry, found a list"),
        (policy(tools={"": {}}), "a tool's name must not be blank"),
        (policy(tools={"t": False}), "expected an object with the rules of this tool; {} allows it, found false"),
        (policy(all_tools="x"), 'expected an object with lists of rules, found the text "x"'),
        (
            policy(resources="x"),
            'expected "allow", "deny" or an object with default, allow and deny, found the text "x"',
        ),
        (policy(resources={"default": "deny", "x": 1}), 'unknown key "x"; known here: default, allow, deny'),
        (policy(approvals=1), "expected an object with timeout and remember, found the number 1"),
        (policy(approvals={"timeout": 5}), 'expected a time like "45s", "10m", "2h" or "1d", found the number 5'),
        (policy(redact=EMPTY), "expected a list of paths, found an object"),
        (policy(redact=[1]), 'expected a path like "args.namespace", found the number 1'),
        (
            policy(redact=["x"]),
            '"x" is not a path into the arguments: a path begins with "args.", as in args.namespace',
        ),
        (
            policy(redact=["args.a[0]"]),
            '"args.a[0]" is not a path into the arguments: a path goes down objects only, there is no list index',
        ),
        (
            policy(redact=["args.a[b]"]),
            '"args.a[b]" is not a path into the arguments: a key in brackets stands in double quotes, as in '
            'args.labels["app.kubernetes.io/name"]',
        ),
        (
            policy(redact=["args.a."]),
            '"args.a." is not a path into the arguments: a key is missing between two dots or at the end',
        ),
        (
            policy(redact=['args["a"]b']),
            '"args["a"]b" is not a path into the arguments: after a bracket comes a dot or another bracket; keys with '
            '[ ] or " stand in brackets and quotes',
        ),
        (
            policy(redact=["args.a "]),
            '"args.a " is not a path into the arguments: blanks around \'a \'; a key like that is written args["a "]',
        ),
        (policy(mode=["x"]), 'expected "enforce" or "observe", found a list'),
        (policy({"validate": "on"}), 'expected "off" or "schema", found the text "on"'),
        (policy({"deny_if": EMPTY}), "expected a list of rules, found an object"),
        (policy({"deny_if": [1]}), "expected a rule: an object with conditions, found the number 1"),
        (policy({"deny_if": [EMPTY]}), '"conditions" is missing here; it is needed'),
        (policy(rule(conditions="x")), 'expected a list of conditions, found the text "x"'),
        (policy(rule(conditions=[1])), "expected a condition: an object with path, op and value, found the number 1"),
        (policy(rule(name=" ")), 'expected a name that is not blank, found the text " "'),
        (policy(rule(on_deny=1)), "expected a text, found the number 1"),
        (policy(asked(op="==")), f'expected {OPERATORS}, found the text "=="'),
        (policy(asked(op="in")), 'expected a list of values for "in", found the number 1'),
        (policy(asked(op="exists")), 'expected true or false for "exists", found the number 1'),
        (policy(asked(op="lt", value="1")), 'expected a number for "lt", found the text "1"'),
        (policy(asked(op="regex")), "expected a pattern in quotes, found the number 1"),
        (policy(asked(op="regex", value="[")), "not a pattern of this language (RE2): unclosed character class"),
        (policy({"limits": 1}), "expected a list of limits, found the number 1"),
        (policy({"limits": [1]}), "expected a limit: an object with counter, window and max, found the number 1"),
        (policy({"limits": [limit(counter="")]}), 'expected a counter\'s name that is not blank, found the text ""'),
        (policy({"limits": [limit(window="week")]}), f'expected {WINDOWS}, found the text "week"'),
        (policy({"limits": [limit(max=1.5)]}), "expected a whole number, 0 or more, found the number 1.5"),
        (
            policy({"limits": [limit(scope="x")]}),
            'expected "grant", "session", "client", "global" or "args.PATH", found the text "x"',
        ),
        (policy({"limits": [limit(increment=-1)]}), "expected a number, 0 or more, found the number -1"),
        (
            policy({"limits": [limit(algorithm="sliding", max=10_001)]}),
            "expected at most 10,000 for a sliding window, which keeps every call, found the number 10001",
        ),
        (policy({"reason": "x"}), "a reason needs an action or a rate_limit beside it"),
        (
            policy({"rate_limit": 5}),
            'expected a rate limit: "10/minute" or {"max": 10, "window": 60}, found the number 5',
        ),
        (policy({"rate_limit": {"max": 1}}), '"window" is missing here; it is needed'),
        (policy({"rules": 1}), "expected a list of rules, found the number 1"),
        (policy(listed(1)), "expected a rule: an object, found the number 1"),
        (policy(listed({"name": 1, "action": "deny"})), "expected a name, found the number 1"),
        (policy(listed(EMPTY)), "a rule that does nothing; it needs conditions, a rate_limit or an action"),
        (
            policy(listed({"action": "deny", "conditions": [condition()]})),
            'a rule with the action "deny" has no conditions',
        ),
        (policy(listed({"action": "hide", "rate_limit": "1/day"})), 'a rule with the action "hide" has no rate_limit'),
        (
            policy(listed({"rate_limit": "1/day", "conditions": [condition()]})),
            "conditions cannot stand beside rate_limit; write two rules",
        ),
        (
            policy(listed({"action": "deny", "approval_timeout": "5s"})),
            'an approval_timeout needs the action "require_approval"',
        ),
        (
            policy(listed({"action": "deny", "on_deny": "a", "reason": "b"})),
            "reason says the same as on_deny; keep one of them",
        ),
        (
            policy(listed({"conditions": counted()})),
            "a condition on a counter needs a state block of its own in the same rule",
        ),
        (
            policy(listed({"conditions": [condition()], "state": STATE})),
            "a state block needs a condition on its counter, lt or lte, in the same rule",
        ),
        (
            policy(listed({"conditions": counted(), "state": 1})),
            "expected a state block: an object with counter and window, found the number 1",
        ),
        (
            policy(listed({"conditions": counted(), "state": {**STATE, "counter": 1}})),
            "expected a counter's name, found the number 1",
        ),
        (
            policy(listed({"conditions": counted("state.x.c"), "state": STATE})),
            'expected the counter of this rule, "state.t.c", found the text "state.x.c"',
        ),
        (
            policy(listed({"conditions": counted(op="gt"), "state": STATE})),
            'expected "lt" or "lte" (did you mean "lt"?), found the text "gt"',
        ),
        (
            policy(listed({"conditions": counted(op="lt", value=0), "state": STATE})),
            "expected a whole number, 1 or more, found the number 0",
        ),
        (
            policy({"rules": [{"rate_limit": "1/day"}, {"rate_limit": "2/day"}]}),
            'a second rule on the counter "t._rate_day"',
        ),
        (
            policy(tools={"*": {"action": "deny", "risk": "low"}}),
            '"*" of this form stands for all_tools, which has no risk',
        ),
        (policy(mode="x" * 41), f'expected "enforce" or "observe", found the text "{"x" * 39}…"'),
        (policy(mode="x" * 40), f'expected "enforce" or "observe", found the text "{"x" * 40}"'),
    ],
)
def test_a_fault_says_what_was_expected_and_what_was_found(text: str, message: str) -> None:
    assert message in [found for _, found in faults(text)]


@pytest.mark.parametrize(
    ("data", "line", "column", "byte"),
    [
        (b"\xff", 1, 1, "ff"),
        (b'{"version": "\xe9"}', 1, 14, "e9"),
        ('{\n"é": "ü'.encode() + b"\xc0\xb1", 2, 8, "c0"),
        (b"\xfe\xff\x00{", 1, 1, "fe"),
    ],
)
def test_bytes_that_are_no_utf_8_are_shown_where_they_stand(data: bytes, line: int, column: int, byte: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy(data)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.pointer) == (line, column, "")
    assert problem.message == f"not UTF-8: the byte 0x{byte}"


def test_a_byte_order_mark_is_named() -> None:
    ((pointer, message),) = faults(b"\xef\xbb\xbf{}")
    assert (pointer, message) == ("", "the file begins with a byte order mark; save it as UTF-8 without one")


@pytest.mark.parametrize(("value", "length"), [("Deny", 6), (None, 4), (12345, 5)])
def test_the_length_of_a_problem_is_that_of_the_value(value: object, length: int) -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy(policy(default=value).encode())
    assert caught.value.problems[0].length == length


def test_the_length_of_an_unknown_key_takes_in_its_quotes() -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy(policy(defualt="deny").encode())
    assert caught.value.problems[0].length == len('"defualt"')
