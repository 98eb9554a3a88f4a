"""Writes documents as policy.json v1 with this project's extensions, the way people would lay it out."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from mcpwatch.policy.document import Condition, Limit, NameRule, PolicyDocument, Rule, ToolEntry
from mcpwatch.policy.paths import write_path

WIDTH: Final = 100
"""What fits into this many columns stays on one line."""

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))


def document_json(document: PolicyDocument) -> dict[str, Any]:
    """The whole document; what has its default value is left out."""
    written: dict[str, Any] = {"version": document.version, "default": document.default}
    approvals = _approvals(document)
    _put(written, description=document.description, mode=_mode(document.mode), hide=list(document.hide))
    _put(written, all_tools=entry_json(document.all_tools))
    written["tools"] = {name: entry_json(entry) for name, entry in document.tools.items()}
    _put(written, resources=_names(document.resources), prompts=_names(document.prompts))
    _put(written, approvals=approvals, redact=list(document.redact))
    return written


def entry_json(entry: ToolEntry) -> dict[str, Any]:
    written: dict[str, Any] = {}
    _put(written, category=entry.category, risk=entry.risk, mode=_mode(entry.mode))
    _put(written, validate=entry.validate if entry.validate != "off" else None)
    _put(written, require=[rule_json(rule) for rule in entry.require])
    _put(written, deny_if=[rule_json(rule) for rule in entry.deny_if])
    _put(written, approve_if=[rule_json(rule) for rule in entry.approve_if])
    _put(written, limits=[limit_json(limit) for limit in entry.limits])
    return written


def rule_json(rule: Rule) -> dict[str, Any]:
    written: dict[str, Any] = {"conditions": [condition_json(condition) for condition in rule.conditions]}
    timeout = None if rule.timeout_ms is None else duration_text(rule.timeout_ms)
    if rule.on_deny is not None:
        written["on_deny"] = rule.on_deny
    _put(written, name=rule.name, mode=_mode(rule.mode), timeout=timeout)
    return written


def condition_json(condition: Condition) -> dict[str, Any]:
    return {"path": condition.path_text, "op": condition.op, "value": condition.value}


def limit_json(limit: Limit) -> dict[str, Any]:
    written: dict[str, Any] = {"counter": limit.counter, "window": limit.window.text, "max": limit.max}
    _put(written, scope=limit.scope, algorithm=limit.algorithm if limit.algorithm != "fixed" else None)
    if limit.increment != 1:
        written["increment"] = limit.increment
    if limit.increment_from is not None:
        written["increment_from"] = write_path(limit.increment_from)
    if limit.on_deny is not None:
        written["on_deny"] = limit.on_deny
    _put(written, mode=_mode(limit.mode))
    return written


def duration_text(length_ms: int) -> str:
    """A whole number of the largest unit that fits: `90s`, `10m`."""
    unit, size = next(pair for pair in _UNITS if length_ms % pair[1] == 0)
    return f"{length_ms // size}{unit}"


def _put(written: dict[str, Any], **values: object) -> None:
    """Adds what is not empty."""
    written.update((key, value) for key, value in values.items() if value)


def _mode(mode: str) -> str | None:
    return mode if mode == "observe" else None


def _names(rule: NameRule | None) -> str | dict[str, Any] | None:
    if rule is None:
        return None
    if not rule.allow and not rule.deny:
        return rule.default
    return {"default": rule.default, "allow": list(rule.allow), "deny": list(rule.deny)}


def _approvals(document: PolicyDocument) -> dict[str, str]:
    usual = PolicyDocument("deny")
    written: dict[str, str] = {}
    if document.approval_timeout_ms != usual.approval_timeout_ms:
        written["timeout"] = duration_text(document.approval_timeout_ms)
    if document.approval_remember_ms != usual.approval_remember_ms:
        written["remember"] = duration_text(document.approval_remember_ms)
    return written


def layout(value: object, indent: str = "", unit: str = "  ", newline: str = "\n", column: int = 0) -> str:
    """JSON text of a value; what is short stays on one line.

    `indent` stands before the line that the value begins on, `column` is where on it the value begins.
    """
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + column <= WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + unit
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        parts = [_member(key, member, inner, unit, newline) for key, member in members.items()]
    else:
        items = cast("list[object]", value)
        parts = [layout(item, inner, unit, newline, len(inner)) for item in items]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    body = f",{newline}".join(inner + part for part in parts)
    return f"{opening}{newline}{body}{newline}{indent}{closing}"


def _member(key: str, value: object, indent: str, unit: str, newline: str) -> str:
    name = json.dumps(key, ensure_ascii=False) + ": "
    return name + layout(value, indent, unit, newline, len(indent) + len(name))


def write_top(value: dict[str, Any]) -> str:
    """A whole file: every member of the top, and every tool, begins its own line."""
    parts: list[str] = []
    for key, member in value.items():
        if key == "tools" and member:
            tools = [_member(name, entry, "    ", "  ", "\n") for name, entry in member.items()]
            parts.append('"tools": {\n' + ",\n".join(f"    {tool}" for tool in tools) + "\n  }")
        else:
            parts.append(_member(key, member, "  ", "  ", "\n"))
    return "{\n" + ",\n".join(f"  {part}" for part in parts) + "\n}\n"
