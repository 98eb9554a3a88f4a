"""What changes from one policy to another, in words: "`apply_yaml`: deny -> 20 a minute per grant"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mcpwatch.policy.document import Limit, NameRule, PolicyDocument, Rule, ToolEntry
from mcpwatch.policy.messages import condition_text, value_text
from mcpwatch.policy.names import compile_pattern
from mcpwatch.policy.paths import write_path
from mcpwatch.policy.problems import visible
from mcpwatch.policy.writer import duration_text, limit_json, rule_json

_EMPTY = ToolEntry()
_LISTS = ("require", "deny_if", "approve_if")


def policy_diff(a: PolicyDocument, b: PolicyDocument) -> list[str]:
    """One line a change, [] when both mean the same. Tools in the order of `b`, then those that are gone."""
    return [visible(line) for line in (*_top(a, b), *_entries(a, b), *_outside(a, b))]


def _top(a: PolicyDocument, b: PolicyDocument) -> Iterator[str]:
    if a.default != b.default:
        yield f"tools not listed: {a.default} -> {b.default}"
    if a.mode != b.mode:
        yield f"the whole policy: {a.mode} -> {b.mode}"
    for pattern in _patterns(a, b):
        yield f"`{pattern}` (hide): {_hidden_word(pattern in a.hide)} -> {_hidden_word(pattern in b.hide)}"


def _patterns(a: PolicyDocument, b: PolicyDocument) -> list[str]:
    """Patterns of `hide` that only one of the two has; hidden tools are told with their entries."""
    return [name for name in dict.fromkeys((*a.hide, *b.hide)) if "*" in name and (name in a.hide) != (name in b.hide)]


def _hidden_word(hidden: bool) -> str:
    return "hidden" if hidden else "not hidden"


def _entries(a: PolicyDocument, b: PolicyDocument) -> Iterator[str]:
    names = dict.fromkeys((*b.tools, *(name for name in b.hide if "*" not in name)))
    names |= dict.fromkeys((*a.tools, *(name for name in a.hide if "*" not in name)))
    for name in names:
        yield from _entry(f"`{name}`", _meant(a, name), _meant(b, name))
    yield from _entry("all tools", ("", a.all_tools), ("", b.all_tools))
    old, new = [name for name in a.tools if "*" in name], [name for name in b.tools if "*" in name]
    if old != new and sorted(old) == sorted(new):
        yield f"patterns in another order, the first that matches applies: {', '.join(old)} -> {', '.join(new)}"


def _meant(document: PolicyDocument, name: str) -> tuple[str, ToolEntry]:
    """In one word what becomes of a tool before any condition ("" when nothing does), and its rules."""
    entry = _entry_of(document, name)
    if any(compile_pattern(hidden)(name) for hidden in document.hide):
        return "hidden", entry or _EMPTY
    if entry is None:
        return ("deny" if document.default == "deny" else "allow"), _EMPTY
    return ("deny" if _is_denied(entry) else ""), entry


def _entry_of(document: PolicyDocument, name: str) -> ToolEntry | None:
    if name in document.tools:
        return document.tools[name]
    covering = (key for key in document.tools if "*" in key and compile_pattern(key)(name))
    found = next(covering, None)
    return None if found is None else document.tools[found]


def _is_denied(entry: ToolEntry) -> bool:
    return entry.mode == "enforce" and any(rule.always for rule in entry.deny_if)


def _entry(title: str, before: tuple[str, ToolEntry], after: tuple[str, ToolEntry]) -> Iterator[str]:
    if before[0] == after[0]:
        yield from _parts(title, before[1], after[1])
        return
    old, new = _summary(*before), _summary(*after)
    if old != new:
        yield f"{title}: {old} -> {new}"


def _summary(word: str, entry: ToolEntry) -> str:
    """A whole entry in one phrase: `deny`, `allow`, `20 a minute per grant`."""
    return word or "; ".join(_phrases(entry)) or "allow"


def _phrases(entry: ToolEntry) -> Iterator[str]:
    if entry.mode == "observe":
        yield "observed only"
    if entry.validate == "schema":
        yield "arguments as the schema says"
    for key in _LISTS:
        yield from (rule_text(key, rule) for rule in _rules(entry, key))
    yield from map(limit_text, entry.limits)


def _parts(title: str, a: ToolEntry, b: ToolEntry) -> Iterator[str]:
    for key in ("mode", "validate", "category", "risk"):
        old, new = getattr(a, key), getattr(b, key)
        if old != new:
            yield f"{title}: {key} {old or 'not said'} -> {new or 'not said'}"
    for key in _LISTS:
        yield from _rule_changes(title, key, _rules(a, key), _rules(b, key))
    yield from _limit_changes(title, a.limits, b.limits)


def _rules(entry: ToolEntry, key: str) -> tuple[Rule, ...]:
    return {"require": entry.require, "deny_if": entry.deny_if, "approve_if": entry.approve_if}[key]


def _rule_changes(title: str, key: str, a: Sequence[Rule], b: Sequence[Rule]) -> Iterator[str]:
    old, new = [rule_json(rule) for rule in a], [rule_json(rule) for rule in b]
    if old == new:
        return
    gone = [rule for rule, written in zip(a, old, strict=True) if written not in new]
    added = [rule for rule, written in zip(b, new, strict=True) if written not in old]
    for rule in gone:
        same = next((other for other in added if _same(other, rule)), None)
        if same is None:
            yield f"{title}: no longer: {rule_text(key, rule)}"
        else:
            added.remove(same)
            yield f"{title}: {rule_text(key, rule)} -> {_manner(same)}"
    yield from (f"{title}: new: {rule_text(key, rule)}" for rule in added)
    if len(old) == len(new) and not gone and not added:
        yield f"{title}: {key} in another order"


def _same(a: Rule, b: Rule) -> bool:
    return rule_json(a)["conditions"] == rule_json(b)["conditions"]


def _manner(rule: Rule) -> str:
    """What a rule has besides its conditions."""
    written: dict[str, Any] = {key: value for key, value in rule_json(rule).items() if key != "conditions"}
    return ", ".join(f"{key} {value_text(value)}" for key, value in written.items()) or "no more than its conditions"


def _limit_changes(title: str, a: Sequence[Limit], b: Sequence[Limit]) -> Iterator[str]:
    old, new = [limit_json(limit) for limit in a], [limit_json(limit) for limit in b]
    gone = [limit for limit, written in zip(a, old, strict=True) if written not in new]
    added = [limit for limit, written in zip(b, new, strict=True) if written not in old]
    for limit in gone:
        same = next((other for other in added if other.counter == limit.counter), None)
        if same is None:
            yield f"{title}: no longer: {limit_text(limit)}"
        else:
            added.remove(same)
            yield f"{title}: {limit_text(limit)} -> {_limit_after(limit, same)}"
    yield from (f"{title}: new: {limit_text(limit)}" for limit in added)


def _limit_after(a: Limit, b: Limit) -> str:
    if limit_text(a) != limit_text(b):
        return limit_text(b)
    return f'message "{b.on_deny}"' if b.on_deny is not None else "the usual message"


def rule_text(key: str, rule: Rule) -> str:
    """A rule as people say it: `deny if args.amount gt 100`."""
    verb = {"require": "require", "deny_if": "deny if", "approve_if": "ask an operator if"}[key]
    always = {"require": "nothing", "deny_if": "called", "approve_if": "called"}[key]
    told = " and ".join(map(condition_text, rule.conditions)) or always
    timeout = f", for {duration_text(rule.timeout_ms)}" if rule.timeout_ms is not None else ""
    return f"{verb} {told}{timeout}{_observed(rule.mode)}"


def limit_text(limit: Limit) -> str:
    """A limit as people say it: `20 a minute per grant`."""
    window = {"minute": "a minute", "hour": "an hour", "day": "a day"}.get(
        limit.window.text, f"per {limit.window.text}"
    )
    scope = {"global": "for all together"}.get(limit.scope, f"per {limit.scope}")
    spent = "" if limit.increment_from is None else f" of {write_path(limit.increment_from)}"
    each = f", each call {limit.increment}" if limit.increment != 1 and not spent else ""
    sliding = ", sliding" if limit.algorithm == "sliding" else ""
    return f"{limit.max}{spent} {window} {scope}{each}{sliding}{_observed(limit.mode)}"


def _observed(mode: str) -> str:
    return ", observed only" if mode == "observe" else ""


def _outside(a: PolicyDocument, b: PolicyDocument) -> Iterator[str]:
    for title, old, new in (("resources", a.resources, b.resources), ("prompts", a.prompts, b.prompts)):
        if old != new:
            yield f"{title}: {_names_text(old)} -> {_names_text(new)}"
    if a.approval_timeout_ms != b.approval_timeout_ms:
        yield f"approvals wait: {duration_text(a.approval_timeout_ms)} -> {duration_text(b.approval_timeout_ms)}"
    if a.approval_remember_ms != b.approval_remember_ms:
        old, new = duration_text(a.approval_remember_ms), duration_text(b.approval_remember_ms)
        yield f"approvals are remembered: {old} -> {new}"
    for path in dict.fromkeys((*a.redact, *b.redact)):
        if (path in a.redact) != (path in b.redact):
            yield f"{path}: {'stored -> redacted' if path in b.redact else 'redacted -> stored'}"


def _names_text(rule: NameRule | None) -> str:
    if rule is None:
        return "as tools not listed"
    allowed = f", allow {', '.join(rule.allow)}" if rule.allow else ""
    denied = f", deny {', '.join(rule.deny)}" if rule.deny else ""
    return f"{rule.default}{allowed}{denied}"
