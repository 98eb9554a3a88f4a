"""The least policy that would have allowed what was allowed, each line with its evidence.

From recorded calls: the tools that were used, limits above the observed peaks, lists of the few values of an argument.
From a tool list alone: the catalogue's defaults by class.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mcpwatch.policy.classes import Category, classify
from mcpwatch.policy.instants import minute_text
from mcpwatch.policy.names import pointer_part
from mcpwatch.policy.observed import Observed, SeenTool, observe
from mcpwatch.policy.paths import write_path
from mcpwatch.policy.schemas import compile_schema

Json = dict[str, Any]
Evidence = dict[str, str]

DEFAULT_LIMITS: Final[Mapping[Category, tuple[int, str]]] = {
    "Read": (60, "minute"),
    "Write": (20, "minute"),
    "Execute": (10, "minute"),
    "Destructive": (5, "hour"),
    "Financial": (5, "hour"),
    "Other": (10, "minute"),
}
_ASKED: Final = ("Destructive", "Financial")
_MARGIN_TEXT: Final = "the limit is half as much again, rounded up"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A policy in version 1, and the evidence for its parts by JSON pointer ("" for the whole)."""

    policy: Json
    evidence: Evidence

    def json(self) -> str:
        """The policy alone."""
        return json.dumps(self.policy, indent=2, ensure_ascii=False) + "\n"

    def yaml(self) -> str:
        """The policy with its evidence as comments; it reads back as the same policy."""
        return "".join(f"{line}\n" for line in _lines(self.policy, self.evidence))


def suggest(records: Iterable[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Suggestion:
    """A policy for what `records` (audit JSON, oldest first) show.

    `tools` are upstream's tool objects, for schemas and for hiding what was not used. Without any allowed call it is
    what `suggest_from_tools` says. A tool with `*` in its name is left out: as a key it would be a pattern.
    """
    seen = observe(records)
    if not seen.tools:
        return suggest_from_tools(tools)
    offered = {str(tool["name"]): tool for tool in tools}
    evidence: Evidence = {"": _summary(seen, offered)}
    policy: Json = {"version": "1", "default": "deny"}
    names = [name for name in sorted(seen.tools) if "*" not in name]
    unused = [name for name in sorted(offered.keys() - seen.tools.keys()) if "*" not in name]
    if unused:
        policy["hide"] = unused
        evidence |= {f"/hide/{index}": "offered, never allowed" for index in range(len(unused))}
    policy["tools"] = {name: _used(name, seen.tools[name], offered.get(name), evidence) for name in names}
    return Suggestion(policy, evidence)


def suggest_from_tools(tools: Sequence[Mapping[str, Any]]) -> Suggestion:
    """The catalogue's defaults: a limit by class, a person's approval before what destroys or costs."""
    evidence: Evidence = {"": f"{_count(len(tools), 'tool')} offered, no calls seen: defaults by class"}
    entries = {str(tool["name"]): _offered(tool, evidence) for tool in tools if "*" not in str(tool["name"])}
    return Suggestion({"version": "1", "default": "deny", "tools": entries}, evidence)


def _summary(seen: Observed, offered: Mapping[str, Any]) -> str:
    tools = f"{len(seen.tools)} of {_count(len(offered), 'tool')}" if offered else _count(len(seen.tools), "tool")
    return f"{tools} in {_count(seen.calls, 'allowed call')}, {_day(seen.since)} to {_day(seen.until)}"


def _day(at: str) -> str:
    return at[:16].replace("T", " ")


def _used(name: str, seen: SeenTool, tool: Mapping[str, Any] | None, evidence: Evidence) -> Json:
    pointer = f"/tools/{pointer_part(name)}"
    evidence[pointer] = f"{_count(seen.calls, 'call')} by {_count(len(seen.grants), 'grant')}"
    entry = _class(tool or {"name": name}, pointer, evidence)
    _add_schema(entry, seen, tool, pointer, evidence)
    _add_values(entry, seen, pointer, evidence)
    if seen.approved == seen.calls:
        entry["approve_if"] = [{"conditions": []}]
        evidence[f"{pointer}/approve_if/0"] = f"each of {_count(seen.calls, 'call')} was approved by an operator"
    peak, at_ms = seen.peak()
    entry["limits"] = [_limit(name, -(-peak * 3 // 2), "minute")]
    evidence[f"{pointer}/limits/0"] = f"peak {peak} a minute of one grant on {minute_text(at_ms)}; {_MARGIN_TEXT}"
    return entry


def _class(tool: Mapping[str, Any], pointer: str, evidence: Evidence) -> Json:
    found = classify(tool)
    evidence[f"{pointer}/category"] = found.why
    return {"category": found.category, "risk": found.risk}


def _add_schema(entry: Json, seen: SeenTool, tool: Mapping[str, Any] | None, pointer: str, evidence: Evidence) -> None:
    """Only where every call that can be looked at satisfies the schema."""
    if tool is None or not seen.samples:
        return
    check = compile_schema(tool.get("inputSchema"))
    if not any(check(args) for args in seen.samples):
        entry["validate"] = "schema"
        evidence[f"{pointer}/validate"] = f"{_count(len(seen.samples), 'call')} looked at, all satisfy it"


def _add_values(entry: Json, seen: SeenTool, pointer: str, evidence: Evidence) -> None:
    """`require … in` for arguments that every call gave, `deny_if … not_in` for the others."""
    for name, argument, values in seen.few_values():
        always = argument.given == seen.calls
        stage, op = ("require", "in") if always else ("deny_if", "not_in")
        rules: list[Json] = entry.setdefault(stage, [])
        given = "each of" if always else f"{argument.given} of"
        evidence[f"{pointer}/{stage}/{len(rules)}"] = (
            f"given in {given} {_count(seen.calls, 'call')}, {_count(len(values), 'value')}"
        )
        rules.append({"conditions": [{"path": write_path((name,)), "op": op, "value": values}]})


def _offered(tool: Mapping[str, Any], evidence: Evidence) -> Json:
    name = str(tool["name"])
    pointer = f"/tools/{pointer_part(name)}"
    entry = _class(tool, pointer, evidence)
    category: Category = entry["category"]
    entry["validate"] = "schema"
    most, window = DEFAULT_LIMITS[category]
    if category in _ASKED:
        entry["approve_if"] = [{"conditions": []}]
        evidence[f"{pointer}/approve_if/0"] = f"{category} tools wait for a person"
    entry["limits"] = [_limit(name, most, window)]
    evidence[f"{pointer}/limits/0"] = f"the default for {category} tools"
    return entry


def _limit(tool: str, most: int, window: str) -> Json:
    return {"counter": f"{tool}_rate", "window": window, "max": most, "scope": "grant"}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _lines(policy: Json, evidence: Evidence) -> Iterator[str]:
    yield f"# {evidence['']}"
    yield 'version: "1"'
    yield f"default: {policy['default']}"
    if "hide" in policy:
        yield "hide:"
        for index, name in enumerate(policy["hide"]):
            yield _said(f"  - {_flow(name)}", evidence.get(f"/hide/{index}"))
    tools: dict[str, Json] = policy["tools"]
    yield "tools:" if tools else "tools: {}"
    for name, entry in tools.items():
        pointer = f"/tools/{pointer_part(name)}"
        yield _said(f"  {_flow(name)}:", evidence.get(pointer))
        for key, value in entry.items():
            yield from _entry_lines(key, value, f"{pointer}/{key}", evidence)


def _entry_lines(key: str, value: Any, pointer: str, evidence: Evidence) -> Iterator[str]:
    if isinstance(value, str):
        yield _said(f"    {key}: {value}", evidence.get(pointer))
        return
    yield f"    {key}:"
    for index, each in enumerate(value):
        yield _said(f"      - {_flow(each)}", evidence.get(f"{pointer}/{index}"))


def _said(line: str, evidence: str | None) -> str:
    return f"{line}   # {evidence}" if evidence else line


def _flow(value: Any) -> str:
    """JSON is YAML; what a terminal or YAML might take for something else is escaped."""
    return json.dumps(value)
