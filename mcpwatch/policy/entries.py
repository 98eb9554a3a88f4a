"""Conditions, rules, limits as policy.json v1 writes them, with this project's extensions."""

from __future__ import annotations

from typing import Final, get_args

from mcpwatch.policy import fields
from mcpwatch.policy.document import Algorithm, Condition, Limit, Mode, Op, Rule
from mcpwatch.policy.patterns import regex_fault
from mcpwatch.policy.source import Broken, Node, Pointer, Report

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
OPS: Final[tuple[Op, ...]] = get_args(Op)
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
SCOPES: Final = ("grant", "session", "client", "global")
CONDITION_KEYS: Final = ("path", "op", "value")
RULE_KEYS: Final = ("conditions", "on_deny", "name", "mode")
APPROVE_KEYS: Final = (*RULE_KEYS, "timeout")
LIMIT_KEYS: Final = (
    "counter",
    "window",
    "max",
    "scope",
    "on_deny",
    "algorithm",
    "increment",
    "increment_from",
    "mode",
)
MOST_SLIDING: Final = 10_000
"""A sliding window keeps every call of its length, so there is a bound."""


def read_conditions(report: Report, node: Node | None, pointer: Pointer) -> tuple[Condition, ...]:
    entries = fields.items(report, node, pointer, "a list of conditions")
    read = [read_condition(report, entry, (pointer, at)) for at, entry in enumerate(entries)]
    return tuple([condition for condition in read if condition is not None])


def read_condition(report: Report, node: Node, pointer: Pointer) -> Condition | None:
    what = "a condition: an object with path, op and value"
    found = fields.members(report, node, pointer, what, CONDITION_KEYS, CONDITION_KEYS)
    if found is None:
        return None
    path = fields.path(report, found.get("path"), (pointer, "path"))
    op = fields.choice(report, found.get("op"), (pointer, "op"), OPS)
    value = found.get("value")
    if op is None or value is None or not fits(report, op, value, (pointer, "value")) or path is None:
        return None
    span = report.source.span(node.start, node.end)
    return Condition(path, str(found["path"].value), op, fields.plain(value), span)


def fits(report: Report, op: Op, value: Node, pointer: Pointer) -> bool:
    """Whether an operator can do anything with the value it is given."""
    if op in ("in", "not_in") and not isinstance(value.value, list):
        fields.expected(report, value, pointer, f'a list of values for "{op}"')
    elif op == "exists" and not isinstance(value.value, bool):
        fields.expected(report, value, pointer, 'true or false for "exists"')
    elif op in ("lt", "lte", "gt", "gte") and not fields.is_number(value):
        fields.expected(report, value, pointer, f'a number for "{op}"')
    elif op == "regex":
        return _is_pattern(report, value, pointer)
    else:
        return not isinstance(value.value, Broken)
    return False


def _is_pattern(report: Report, value: Node, pointer: Pointer) -> bool:
    pattern = fields.text(report, value, pointer, "a pattern in quotes")
    fault = "" if pattern is None else regex_fault(pattern)
    if fault:
        message = f"not a pattern of this language (RE2): {fault}"
        report.error(value.start, pointer, message, value.end - value.start)
    return pattern is not None and not fault


def read_rules(report: Report, node: Node | None, pointer: Pointer, keys: tuple[str, ...]) -> tuple[Rule, ...]:
    """A list of rules. `keys`: what a rule of this list may have."""
    if node is None:
        return ()
    entries = fields.items(report, node, pointer, "a list of rules")
    read = [_read_rule(report, entry, (pointer, at), keys) for at, entry in enumerate(entries)]
    return tuple([rule for rule in read if rule is not None])


def _read_rule(report: Report, node: Node, pointer: Pointer, keys: tuple[str, ...]) -> Rule | None:
    found = fields.members(report, node, pointer, "a rule: an object with conditions", keys, ("conditions",))
    if found is None:
        return None
    return Rule(
        read_conditions(report, found.get("conditions"), (pointer, "conditions")),
        fields.text(report, found.get("on_deny"), (pointer, "on_deny")),
        fields.name(report, found.get("name"), (pointer, "name"), "a name"),
        fields.choice(report, found.get("mode"), (pointer, "mode"), MODES) or "enforce",
        fields.duration(report, found.get("timeout"), (pointer, "timeout")),
        report.source.span(node.start, node.end),
    )


def read_limits(report: Report, node: Node | None, pointer: Pointer) -> tuple[Limit, ...]:
    if node is None:
        return ()
    entries = fields.items(report, node, pointer, "a list of limits")
    read = [_read_limit(report, entry, (pointer, at)) for at, entry in enumerate(entries)]
    return tuple([limit for limit in read if limit is not None])


def _read_limit(report: Report, node: Node, pointer: Pointer) -> Limit | None:
    what = "a limit: an object with counter, window and max"
    found = fields.members(report, node, pointer, what, LIMIT_KEYS, ("counter", "window", "max"))
    if found is None:
        return None
    get = found.get
    counter = fields.name(report, get("counter"), (pointer, "counter"), "a counter's name")
    window = fields.window(report, get("window"), (pointer, "window"))
    most = fields.whole(report, get("max"), (pointer, "max"))
    scope, scope_path = _scope(report, get("scope"), (pointer, "scope"))
    algorithm = fields.choice(report, get("algorithm"), (pointer, "algorithm"), ALGORITHMS) or "fixed"
    increment = fields.amount(report, get("increment"), (pointer, "increment"))
    increment_from = fields.path(report, get("increment_from"), (pointer, "increment_from"))
    on_deny = fields.text(report, get("on_deny"), (pointer, "on_deny"))
    mode = fields.choice(report, get("mode"), (pointer, "mode"), MODES) or "enforce"
    if counter is None or window is None or most is None:
        return None
    if algorithm == "sliding" and most > MOST_SLIDING:
        what = f"at most {MOST_SLIDING:,} for a sliding window, which keeps every call"
        fields.expected(report, found["max"], (pointer, "max"), what)
    return Limit(
        counter,
        window,
        most,
        scope,
        scope_path,
        on_deny,
        algorithm,
        1 if increment is None else increment,
        increment_from,
        mode,
        report.source.span(node.start, node.end),
    )


def _scope(report: Report, node: Node | None, pointer: Pointer) -> tuple[str, tuple[str, ...] | None]:
    if node is None:
        return "grant", None
    if isinstance(node.value, str) and node.value.startswith("args"):
        return node.value, fields.path(report, node, pointer)
    found = fields.choice(report, node, pointer, (*SCOPES, "args.PATH"))
    return found or "grant", None
