"""What the upstreams offer, and what the policy makes of it: one line a tool. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from mcpwatch.console.changes import entry_of
from mcpwatch.console.ledger import Ledger, ToolStats, Upstream
from mcpwatch.console.policies import PolicyView
from mcpwatch.console.wire import items, table
from mcpwatch.policy.classes import ToolClass, classify
from mcpwatch.policy.diff import limit_text, rule_text
from mcpwatch.policy.document import PolicyDocument, Rule, ToolEntry
from mcpwatch.policy.names import compile_pattern

State = Literal["allow", "deny", "hide", "hold", "custom", "absent"]
"""`custom` depends on arguments or counters; `absent` is named in the policy and not offered by the upstream."""


@dataclass(frozen=True, slots=True)
class ToolLine:
    """One tool as an agent could reach it. `rules` say in words what custom means; `note` what is odd about it.

    `category` and `risk` are the policy's word where it has one, else the catalogue's; `why` says which.
    """

    upstream: str
    name: str
    state: State
    category: str
    risk: str
    why: str
    stats: ToolStats
    rules: tuple[str, ...] = ()
    note: str = ""
    tool: dict[str, Any] = field(default_factory=dict[str, Any], compare=False)


def tool_lines(ledger: Ledger) -> list[ToolLine]:
    """All tools in the upstreams' order, then those that only the policy names."""
    return [
        line
        for upstream in ledger.upstreams.values()
        for line in lines_under(ledger, upstream, ledger.policies.get(upstream.name))
    ]


def lines_under(ledger: Ledger, upstream: Upstream, policy: PolicyView | None) -> Iterator[ToolLine]:
    """The tools of one upstream under a policy, which may be a draft."""
    view = policy or PolicyView(upstream.name)
    names = [str(tool.get("name", "")) for tool in upstream.tools]
    for name, tool in zip(names, upstream.tools, strict=True):
        yield _offered(name, tool, view.document, ledger.stats(upstream.name, name), upstream.name)
    if names and view.document is not None:
        yield from _absent(view.document, names, ledger, upstream.name)


def line_of(ledger: Ledger, upstream: Upstream, policy: PolicyView, name: str) -> ToolLine | None:
    """One key of the policy or tool of the upstream; None when neither has it."""
    for tool in upstream.tools:
        if tool.get("name") == name:
            return _offered(name, tool, policy.document, ledger.stats(upstream.name, name), upstream.name)
    names = [str(tool.get("name", "")) for tool in upstream.tools]
    if not names or policy.document is None:
        return None
    return next((line for line in _absent(policy.document, names, ledger, upstream.name) if line.name == name), None)


def _offered(
    name: str, tool: dict[str, Any], document: PolicyDocument | None, stats: ToolStats, upstream: str
) -> ToolLine:
    known = classify(tool)
    if document is None:
        return ToolLine(
            upstream, name, "deny", known.category, known.risk, known.why, stats, note="no policy", tool=tool
        )
    entry = entry_of(document, name)
    category, risk, why = _class(known, entry)
    rules = tuple(_rules(entry, document.all_tools))
    return ToolLine(upstream, name, state_of(document, name), category, risk, why, stats, rules, tool=tool)


def _absent(document: PolicyDocument, names: list[str], ledger: Ledger, upstream: str) -> Iterator[ToolLine]:
    listed = [*document.tools, *(name for name in document.hide if name not in document.tools)]
    for name in listed:
        if "*" in name or name in names:
            continue
        near = get_close_matches(name, names, n=1)
        note = f"the upstream does not offer it; did you mean {near[0]}?" if near else "the upstream does not offer it"
        known = classify({"name": name})
        stats = ledger.stats(upstream, name)
        yield ToolLine(upstream, name, "absent", known.category, known.risk, known.why, stats, note=note)


def state_of(document: PolicyDocument, name: str) -> State:
    """What becomes of calls of a tool, as far as that is the same for all of them."""
    if any(compile_pattern(hidden)(name) for hidden in document.hide):
        return "hide"
    entry = entry_of(document, name)
    if entry is None and document.default == "deny":
        return "deny"
    entry = entry or ToolEntry()
    both = (entry, document.all_tools)
    if any(_always(rule, part) for part in both for rule in part.deny_if):
        return "deny"
    conditional = any(part.require or part.deny_if for part in both) or entry.validate == "schema"
    held = [(rule, part) for part in both for rule in part.approve_if]
    if any(_always(rule, part) for rule, part in held):
        return "custom" if conditional else "hold"
    return "custom" if conditional or held or entry.limits else "allow"


def schema_lines(tool: dict[str, Any]) -> list[tuple[str, str]]:
    """(argument, what it takes) of the tool's input schema; a star marks those that must be given."""
    schema = table(tool.get("inputSchema"))
    needed = [str(name) for name in items(schema.get("required"))]
    return [
        (f"{name}{'*' if name in needed else ''}", _type(table(kind)))
        for name, kind in table(schema.get("properties")).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    kinds = [_type(table(choice)) for choice in items(schema.get("anyOf"))] or [str(schema.get("type", "any"))]
    default = f" = {schema['default']}" if schema.get("default") is not None else ""
    return " or ".join(kinds) + default


def _class(known: ToolClass, entry: ToolEntry | None) -> tuple[str, str, str]:
    if entry is not None and (entry.category or entry.risk):
        return entry.category or known.category, entry.risk or known.risk, "the policy says so"
    return known.category, known.risk, known.why


def _rules(entry: ToolEntry | None, shared: ToolEntry) -> Iterator[str]:
    for part, where in ((entry or ToolEntry(), ""), (shared, "all tools: ")):
        for key, rules in (("require", part.require), ("deny_if", part.deny_if), ("approve_if", part.approve_if)):
            yield from (f"{where}{rule_text(key, rule)}" for rule in rules)
        if part.validate == "schema":
            yield f"{where}arguments must fit the tool's schema"
        yield from (f"{where}{limit_text(limit)}" for limit in part.limits)


def _always(rule: Rule, part: ToolEntry) -> bool:
    return not rule.conditions and rule.mode == part.mode == "enforce"
