"""Remarks on the rules and limits of one entry: arguments left out, loose patterns, rules that can never decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpwatch.policy.document import Condition, Limit, Rule, Span, ToolEntry
from mcpwatch.policy.fields import nearest
from mcpwatch.policy.values import Json, Problem

Schema = Mapping[str, Any]
_ORDER = ("lt", "lte", "gt", "gte")
_LISTS = ("require", "deny_if", "approve_if")


def remarks(entry: ToolEntry, all_tools: ToolEntry, pointer: str, schema: Schema | None) -> Iterator[Problem]:
    """Of one entry. `schema` is the tool's inputSchema when it is known."""
    for key in _LISTS:
        rules = _rules(entry, key)
        for at, rule in enumerate(rules):
            place = f"{pointer}/{key}/{at}"
            yield from _conditions(rule, place, schema)
            yield from _shadow(key, rules, at, place)
    yield from _absent(entry, all_tools, pointer, schema)
    yield from _texts_for_numbers(entry, all_tools, pointer)
    yield from _behind_denial(entry, all_tools, pointer)
    yield from _limits(entry.limits, pointer)


def _rules(entry: ToolEntry, key: str) -> tuple[Rule, ...]:
    return {"require": entry.require, "deny_if": entry.deny_if, "approve_if": entry.approve_if}[key]


def _warning(span: Span, pointer: str, message: str) -> Problem:
    return Problem(span.line, span.column, pointer, message, "warning")


# conditions


def _conditions(rule: Rule, pointer: str, schema: Schema | None) -> Iterator[Problem]:
    for at, condition in enumerate(rule.conditions):
        place = f"{pointer}/conditions/{at}"
        if condition.op == "regex" and isinstance(condition.value, str) and not is_anchored(condition.value):
            message = "this pattern matches anywhere in the text; anchor it with ^ and $ when the whole text is meant"
            yield _warning(condition.span, f"{place}/value", message)
        if condition.op == "in" and condition.value == []:
            yield _warning(condition.span, f"{place}/value", "nothing is in an empty list: this never holds")
        yield from _unknown_argument(condition, f"{place}/path", schema)


def _unknown_argument(condition: Condition, pointer: str, schema: Schema | None) -> Iterator[Problem]:
    known = (schema or {}).get("properties")
    if not isinstance(known, dict) or condition.path[0] in known:
        return
    names = [str(name) for name in known]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    close = nearest(condition.path[0], names)
    hint = f'; did you mean "{close}"?' if close else ""
    message = f'the tool declares no argument "{condition.path[0]}"{hint}'
    yield _warning(condition.span, pointer, message)


def is_anchored(pattern: str) -> bool:
    """Whether every alternative of a pattern begins with ^ and ends with $ (`^dev|staging$` does not)."""
    return all(re.match(r"(?:\(\?[imsU]+\))?(?:\^|\\A)", part) and _ends(part) for part in _alternatives(pattern))


def _ends(part: str) -> bool:
    found = re.search(r"(\\*)(?:\$|(?<=\\)z)$", part)
    return found is not None and (len(found[1]) % 2 == (1 if part.endswith("z") else 0))


def _alternatives(pattern: str) -> list[str]:
    """The parts between the bars that stand outside of groups and classes."""
    parts, depth, start = list[str](), 0, 0
    for found in re.finditer(r"\\.|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]|[()|]", pattern, re.DOTALL):
        if found[0] == "(":
            depth += 1
        elif found[0] == ")":
            depth -= 1
        elif found[0] == "|" and depth == 0:
            parts.append(pattern[start : found.start()])
            start = found.end()
    return [*parts, pattern[start:]]


# arguments that may be left out


def _absent(entry: ToolEntry, all_tools: ToolEntry, pointer: str, schema: Schema | None) -> Iterator[Problem]:
    """deny_if looks at an argument; a call that leaves it out is not denied by it."""
    certain = {path for rule in (*entry.require, *all_tools.require) for path in _demanded(rule)}
    certain |= {path for rule in (*entry.deny_if, *all_tools.deny_if) for path in _denied_when_absent(rule)}
    if "schema" in (entry.validate, all_tools.validate):
        certain |= {(str(name),) for name in (schema or {}).get("required", ())}
    for at, rule in enumerate(entry.deny_if):
        for condition in rule.conditions:
            if condition.op != "exists" and condition.path not in certain:
                message = (
                    f"a call without {condition.path_text} is not denied by this rule; "
                    'a require rule with "op": "exists" asks for the argument'
                )
                yield _warning(rule.span, f"{pointer}/deny_if/{at}", message)
                break


def _demanded(rule: Rule) -> Iterator[tuple[str, ...]]:
    """Arguments that a call must have to meet a require rule: on a missing one only `exists false` holds."""
    if rule.mode == "enforce":
        for condition in rule.conditions:
            if condition.op != "exists" or condition.value is True:
                yield condition.path


def _denied_when_absent(rule: Rule) -> Iterator[tuple[str, ...]]:
    if rule.mode == "enforce" and len(rule.conditions) == 1:
        (condition,) = rule.conditions
        if condition.op == "exists" and condition.value is False:
            yield condition.path


# numbers written as texts


def _texts_for_numbers(entry: ToolEntry, all_tools: ToolEntry, pointer: str) -> Iterator[Problem]:
    """approve_if compares numbers only, and upstream servers take "500" for 500: such a call is not held."""
    if "schema" in (entry.validate, all_tools.validate):
        return
    certain = {path for rule in (*entry.require, *all_tools.require) for path in _numbers(rule)}
    certain |= {path for rule in (*entry.deny_if, *all_tools.deny_if) for path in _numbers(rule, alone=True)}
    for at, rule in enumerate(entry.approve_if):
        for condition in rule.conditions:
            if condition.op in _ORDER and condition.path not in certain:
                message = (
                    f'a call with {condition.path_text} as a text, like "500", is not held by this rule; '
                    'a require rule that compares it with a number ("op": "gte", "value": 0) refuses texts'
                )
                yield _warning(rule.span, f"{pointer}/approve_if/{at}", message)
                break


def _numbers(rule: Rule, *, alone: bool = False) -> Iterator[tuple[str, ...]]:
    """Arguments that are numbers in every call that gets past the rule: a text fails in require, denies in deny_if."""
    if rule.mode == "enforce" and (len(rule.conditions) == 1 or not alone):
        yield from (condition.path for condition in rule.conditions if condition.op in _ORDER)


# rules that never decide


def _shadow(key: str, rules: Sequence[Rule], at: int, pointer: str) -> Iterator[Problem]:
    rule = rules[at]
    if key == "require" and not rule.conditions:
        yield _warning(rule.span, pointer, "never decides: without conditions it always holds")
        return
    for earlier, other in enumerate(rules[:at]):
        if other.mode == "enforce" and _decides_first(key, other, rule):
            yield _warning(rule.span, pointer, f"never decides: {key}/{earlier} has decided whenever this one would")
            return


def _decides_first(key: str, earlier: Rule, later: Rule) -> bool:
    """Whether the earlier rule acts on every call that the later one would act on."""
    mine, others = _facts(later), _facts(earlier)
    return mine <= others if key == "require" else others <= mine


def _facts(rule: Rule) -> frozenset[tuple[tuple[str, ...], str, str]]:
    return frozenset((condition.path, condition.op, _key(condition.value)) for condition in rule.conditions)


def _key(value: Json) -> str:
    return f"{type(value).__name__}:{value!r}"


def _behind_denial(entry: ToolEntry, all_tools: ToolEntry, pointer: str) -> Iterator[Problem]:
    """Approvals and limits of a tool that is denied altogether."""
    if entry.mode == "observe" or not any(rule.always for rule in (*entry.deny_if, *all_tools.deny_if)):
        return
    message = "never decides: every call is denied before"
    for at, rule in enumerate(entry.approve_if):
        yield _warning(rule.span, f"{pointer}/approve_if/{at}", message)
    for at, limit in enumerate(entry.limits):
        yield _warning(limit.span, f"{pointer}/limits/{at}", message)


# limits


def _limits(limits: Sequence[Limit], pointer: str) -> Iterator[Problem]:
    for at, limit in enumerate(limits):
        place = f"{pointer}/limits/{at}"
        if limit.increment_from is not None and limit.increment != 1:
            yield _warning(limit.span, f"{place}/increment", "increment_from decides; increment has no effect")
        elif limit.increment == 0:
            yield _warning(limit.span, f"{place}/increment", "an increment of 0 counts nothing: this never decides")
        elif 0 < limit.max < limit.increment and limit.increment_from is None:
            message = f"each call counts {limit.increment}, the maximum is {limit.max}: no call ever passes"
            yield _warning(limit.span, f"{place}/max", message)
        yield from _wider(limits, at, place)


def _wider(limits: Sequence[Limit], at: int, pointer: str) -> Iterator[Problem]:
    """A limit beside a smaller one that counts the same calls."""
    limit = limits[at]
    for other_at, other in enumerate(limits):
        smaller = other.max < limit.max or (other.max == limit.max and other_at < at)
        if smaller and other.counter != limit.counter and other.mode == "enforce" and _counts(other) == _counts(limit):
            yield _warning(
                limit.span, pointer, f"never decides unless its counter is shared: {other.counter} is smaller"
            )
            return


def _counts(limit: Limit) -> tuple[object, ...]:
    return (limit.window.ms, limit.scope, limit.algorithm, limit.increment, limit.increment_from)
