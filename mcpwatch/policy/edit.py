"""The console's quick keys as changes of the policy text: the least text that means what the operator asked for.

All functions are pure: text in, whole new text out, everything else as its author wrote it. They take policies in
JSON that can be put in force, and raise ValueError, one sentence for the operator, when the change cannot be made.
`tool` is a tool's name or a key of `tools`; "" stands for all_tools. A text that already means it comes back as it is.
"""

from __future__ import annotations

from difflib import unified_diff
from typing import Any, Final, cast

from mcpwatch.policy.limitplaces import limit_places
from mcpwatch.policy.policytext import PolicyText
from mcpwatch.policy.source import Node
from mcpwatch.policy.textedit import items, member

_ALWAYS: Final[dict[str, Any]] = {"conditions": []}


def set_limit(text: str, tool: str, which: int | str, new_max: int) -> str:
    """Another `max` for one limit: `which` is its counter, or its place among the limits of the entry."""
    edit = PolicyText(text)
    wanted = [place for at, place in enumerate(limit_places(edit.root, tool)) if which in (at, place.counter)]
    if not wanted:
        raise ValueError(f"{_titled(tool)} has no limit {which}")
    return edit.done(wanted[0].written(edit.json, new_max))


def add_limit(text: str, tool: str, counter: str, window: str | int, most: int, scope: str = "grant") -> str:
    """One more limit at the end of the tool's own. Refused where that would allow a tool that is denied now."""
    limit = {"counter": counter, "window": window, "max": most, "scope": scope}
    edit = PolicyText(text)
    if edit.denied_by_default(tool):
        raise ValueError(f"{tool} is not listed and default is deny; a limit alone would allow it")
    return edit.done(edit.extended(tool, "limits", limit))


def add_rule(text: str, tool: str, section: str, rule: dict[str, Any]) -> str:
    """One more rule at the end of `require`, `deny_if` or `approve_if` (`section`)."""
    edit = PolicyText(text)
    if section == "require" and edit.denied_by_default(tool):
        raise ValueError(f"{tool} is not listed and default is deny; a condition alone would allow it")
    return edit.done(edit.extended(tool, section, rule))


def deny_tool(text: str, tool: str, reason: str | None = None) -> str:
    """Every call of the tool is denied."""
    edit = PolicyText(text)
    entry = edit.entry(tool)
    if edit.hidden_by(tool) or edit.denied_by_default(tool) or any(rule.always for rule in entry.deny_if):
        return text
    if edit.action(tool) in ("allow", "require_approval"):
        return edit.done(edit.acting(tool, "deny"))
    rule = _ALWAYS if reason is None else {**_ALWAYS, "on_deny": reason}
    return edit.done(edit.extended(tool, "deny_if", rule))


def allow_tool(text: str, tool: str) -> str:
    """The tool is listed, not hidden and not denied altogether; its conditions, limits and approvals stay."""
    edit = PolicyText(unhide_tool(text, tool))
    if any(rule.always for rule in edit.document.all_tools.deny_if):
        raise ValueError("all_tools denies every call; change that by hand")
    while any(rule.always for rule in edit.entry(tool).deny_if):
        edit = PolicyText(edit.undenied(tool))
    if edit.denied_by_default(tool):
        return edit.done(edit.listed(tool, {}))
    return edit.done(edit.json.text)


def hide_tool(text: str, tool: str) -> str:
    """The tool is gone from the list of tools and refused when called."""
    edit = PolicyText(text)
    if edit.hidden_by(tool):
        return text
    found = member(edit.root, "hide")
    if found is not None:
        return edit.done(edit.json.append(found, tool))
    return edit.done(edit.json.add_member(edit.root, "hide", [tool], before="tools"))


def unhide_tool(text: str, tool: str) -> str:
    """The tool is hidden no more; whether it is allowed is another matter."""
    edit = PolicyText(text)
    names = [item.value for item in items(edit.root, "hide")]
    if tool in names:
        return unhide_tool(edit.json.remove(cast(Node, member(edit.root, "hide")), names.index(tool)), tool)
    if edit.action(tool) == "hide":
        return unhide_tool(edit.acting(tool, "allow"), tool)
    hidden_by = edit.hidden_by(tool)
    if hidden_by:
        raise ValueError(f'"{hidden_by}" hides {tool} too; change that by hand')
    return text


def require_approval(text: str, tool: str, reason: str | None = None) -> str:
    """Every call of the tool is held for an operator, as far as nothing denies it."""
    edit = PolicyText(text)
    entry = edit.entry(tool)
    if edit.hidden_by(tool) or any(rule.always for rule in (*entry.deny_if, *edit.document.all_tools.deny_if)):
        raise ValueError(f"{tool} is denied altogether; allow it first")
    if any(rule.always for rule in entry.approve_if):
        return text
    if edit.action(tool) == "allow":
        return edit.done(edit.acting(tool, "require_approval"))
    rule = _ALWAYS if reason is None else {**_ALWAYS, "on_deny": reason}
    return edit.done(edit.extended(tool, "approve_if", rule))


def diff(old: str, new: str) -> list[str]:
    """The change as unified diff lines without line ends; [] when nothing changes."""
    return list(unified_diff(old.splitlines(), new.splitlines(), "now", "then", lineterm=""))


def _titled(tool: str) -> str:
    return tool or "all_tools"
