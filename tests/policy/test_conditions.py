"""Operators, paths and scope values where the case files leave something open."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from mcpwatch.policy.conditions import FAILS, HOLDS, MISSING, UNCOMPARABLE, compile_condition, compile_rule, equal
from mcpwatch.policy.document import Condition, Limit, Op, Rule, Window
from mcpwatch.policy.regex import compile_regex
from mcpwatch.policy.scopes import compile_scope, scope_kind, scope_kind_of, shown
from mcpwatch.policy.values import Caller
from tests.policy import scenarios
from tests.policy.reference_model import ABSENT, eq
from tests.policy.reference_model import holds as model_holds

VALUES: list[Any] = [
    *scenarios.VALUES,
    10**400,
    -(10**400),
    2**53,
    2**53 + 1,
    float(2**53),
    "null",
    "None",
    "True",
    "[1]",
    [None],
    [True],
]

ODD: list[Any] = ["9", True, [], {}, ""]


def outcome(op: Op, wanted: Any, value: Any) -> int:
    args = {} if value is ABSENT else {"x": value}
    return compile_condition(Condition(("x",), "args.x", op, wanted))(args)


def test_eq_agrees_with_the_model_on_every_pair_both_ways() -> None:
    for one, other in itertools.product(VALUES, repeat=2):
        assert equal(one, other) == equal(other, one) == eq(one, other), (one, other)


@pytest.mark.parametrize("op", ["eq", "neq", "lt", "lte", "gt", "gte", "in", "not_in", "exists", "contains"])
def test_every_operator_agrees_with_the_model_on_every_pair(op: Op) -> None:
    for wanted, value in itertools.product(VALUES, [*VALUES, ABSENT]):
        if op in ("in", "not_in"):
            wanted = [wanted, "z"]
        elif op == "exists":
            wanted = bool(wanted)
        expected = model_holds({"path": "args.x", "op": op, "value": wanted}, {} if value is ABSENT else {"x": value})
        assert (outcome(op, wanted, value) == HOLDS) == expected, (op, wanted, value)


def test_big_integers_are_compared_exactly_with_floats() -> None:
    assert outcome("eq", float(2**53), 2**53 + 1) == FAILS
    assert outcome("gt", float(2**53), 2**53 + 1) == HOLDS
    assert outcome("lt", 1e308, 10**400) == FAILS


def test_what_is_no_number_cannot_be_compared_with_one() -> None:
    assert [outcome("gt", 5, value) for value in ODD] == [UNCOMPARABLE] * len(ODD)
    assert [outcome("gt", 5, value) for value in (None, ABSENT, 5)] == [FAILS] * 3


def test_all_conditions_of_a_rule_must_hold() -> None:
    more, less = Condition(("a",), "args.a", "gt", 1), Condition(("b",), "args.b", "lt", 1)
    test = compile_rule(Rule((more, less)))
    assert test({"a": 2, "b": 0}) == HOLDS
    assert test({"a": 2, "b": 1}) == FAILS
    assert test({"a": "2", "b": 0}) == UNCOMPARABLE
    assert test({"a": "2", "b": 1}) == FAILS
    assert compile_rule(Rule(()))({}) == HOLDS


def test_a_path_reaches_keys_with_dots_and_never_goes_through_texts_or_lists() -> None:
    condition = Condition(("labels", "app.io/name"), 'args.labels["app.io/name"]', "eq", "x")
    test = compile_condition(condition)
    assert test({"labels": {"app.io/name": "x"}}) == HOLDS
    others: list[Any] = [{"app": {"io/name": "x"}}, "app.io/name", ["app.io/name"], None]
    assert [test({"labels": labels}) for labels in others] == [FAILS] * 4
    assert repr(MISSING) == "(missing)"


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^\w+$", "paypal", True),
        (r"^\w+$", "p\u0430ypal", False),
        (r"^\d+$", "\u0661\u0662", False),
        (r"^[^\s]+$", "a\u00a0b", True),
        (r"\bprod\b", "\u00e9prod", True),
    ],
)
def test_classes_of_a_regex_know_ascii_only(pattern: str, text: str, found: bool) -> None:
    assert compile_regex(pattern)(text) is found


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^pwd$", "pwd\n", False),
        ("(?m)^pwd$", "pwd\n", True),
        ("b", "abc", True),
        ("", "", True),
        ("^(a+)+$", "a" * 50_000 + "!", False),
        ("é", "café", True),
    ],
)
def test_a_regex_is_searched_in_linear_time(pattern: str, text: str, found: bool) -> None:
    assert compile_regex(pattern)(text) is found


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "(a", "a**b(", "(a{1000}){1000}"])
def test_what_is_no_linear_regex_says_why(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        compile_regex(pattern)


def limit_by(scope: str, path: tuple[str, ...] | None = None) -> Limit:
    return Limit("r", Window("minute", 60_000), 1, scope, path)


def stored(value: Any, redacted: frozenset[tuple[str, ...]] = frozenset()) -> str:
    args = {} if value is ABSENT else {"x": value}
    return compile_scope(limit_by("args.x", ("x",)), redacted)(Caller("ann"), args)


def test_arguments_that_eq_calls_equal_are_one_scope_value_and_no_others() -> None:
    for one, other in itertools.product([*VALUES, ABSENT], repeat=2):
        same = {one is ABSENT or one is None, other is ABSENT or other is None}
        expected = same == {True} or (same == {False} and eq(one, other))
        assert (stored(one) == stored(other)) == expected, (one, other)


def test_long_and_secret_scope_values_are_stored_as_their_digest() -> None:
    long = "x" * 100_000
    assert len(stored(long)) == len("args:sha256:") + 64
    assert stored(long) != stored(long + "y")
    secret = stored("hunter2", frozenset({("x",)}))
    assert "hunter2" not in secret
    assert secret == stored("hunter2", frozenset({("x",)}))


def test_scope_values_are_shown_as_people_know_them() -> None:
    caller = Caller("ann", "cc", "")
    kinds = {scope: compile_scope(limit_by(scope))(caller, {}) for scope in ("grant", "client", "session", "global")}
    assert {scope: shown(value) for scope, value in kinds.items()} == {
        "grant": "ann",
        "client": "cc",
        "session": "ann/cc",
        "global": "",
    }
    assert {scope: scope_kind(value) for scope, value in kinds.items()} == {scope: scope for scope in kinds}
    values: list[Any] = ["prod", 1.0, True, None, [1, {"b": 1.0, "a": "é"}]]
    assert [shown(stored(value)) for value in values] == [
        "prod",
        "1",
        "true",
        "",
        '[1,{"a":"\\u00e9","b":1}]',
    ]
    assert {scope_kind(stored(value)) for value in values} == {"args"}
    assert scope_kind_of(limit_by("args.x", ("x",))) == "args"
    assert scope_kind_of(limit_by("grant")) == "grant"
    assert shown("args:a:b") == "a:b"


@pytest.mark.parametrize(("one", "other"), [(("a", "b/c"), ("a/b", "c")), (("1", ""), ("", "1"))])
def test_grant_and_client_do_not_run_into_each_other(one: tuple[str, str], other: tuple[str, str]) -> None:
    scope = compile_scope(limit_by("session"))
    assert scope(Caller(*one), {}) != scope(Caller(*other), {})


def test_a_client_with_a_very_long_name_is_counted_under_its_digest() -> None:
    for scope in ("client", "session"):
        assert len(compile_scope(limit_by(scope))(Caller("ann", "x" * 1_000_000), {})) < 100
