"""Quick keys as changes of a policy text. Pure: what the operator pressed in, title and new text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcpwatch.console.orders import EditKind, QuickEdit
from mcpwatch.policy import edit
from mcpwatch.policy.document import Limit, PolicyDocument, ToolEntry
from mcpwatch.policy.names import compile_pattern

STEP_SHARE = 10
"""`+` and `-` change a limit by a tenth, by one at least."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a policy: what it is in a few words, and the whole text before and after."""

    title: str
    before: str
    after: str


def owned_limit(document: PolicyDocument, tool: str, counter: str) -> tuple[str, Limit] | None:
    """The limit that `counter` names and the key of `tools` it stands under: the tool's, else "" for all tools."""
    for entry in (entry_of(document, tool) or ToolEntry(), document.all_tools):
        for limit in entry.limits:
            if counter in ("", limit.counter):
                return entry.name, limit
    return None


def stepped(most: int, step: int) -> int:
    """The next maximum above or below `most`, never below 0."""
    return max(0, most + step * max(1, most // STEP_SHARE))


def limit_change(text: str, document: PolicyDocument, tool: str, counter: str, most: int) -> Change:
    """Another maximum for a limit, or a new one of `most` calls a minute per grant where the tool has none.

    Raises ValueError with a sentence for the operator.
    """
    found = owned_limit(document, tool, counter)
    if found is None and not tool:
        raise ValueError("all tools together have no such limit; write one on the policy screen")
    if found is None:
        after = edit.add_limit(text, tool, f"{tool}_rate", "minute", most)
        return Change(f"Limit {tool} to {most} a minute per grant", text, after)
    name, limit = found
    if limit.max == most:
        raise ValueError(f"{limit.counter} is {most} per {limit.window.text} already")
    after = edit.set_limit(text, name, limit.counter, most)
    others = sharing(document, name, limit.counter)
    shared = f" ({', '.join(others[:3])} counts with it under its own maximum)" if others else ""
    per = f"{most} per {limit.window.text}"
    return Change(f"{name or 'all tools'}: {limit.counter} from {limit.max} to {per}{shared}", text, after)


def sharing(document: PolicyDocument, name: str, counter: str) -> list[str]:
    """The other entries with a limit on the same counter."""
    entries = (document.all_tools, *document.tools.values())
    holders = [entry.name for entry in entries if any(limit.counter == counter for limit in entry.limits)]
    return [holder or "all tools" for holder in holders if holder != name]


def change_of(order: QuickEdit, text: str, document: PolicyDocument) -> Change:
    """The change that a key without a question asks for. Raises ValueError with a sentence for the operator."""
    if order.kind in ("raise", "lower"):
        found = owned_limit(document, order.tool, order.limit)
        if found is None:
            raise ValueError(f"{order.tool or 'all tools'} has no limit yet; l sets one")
        most = stepped(found[1].max, 1 if order.kind == "raise" else -1)
        return limit_change(text, document, order.tool, found[1].counter, most)
    if not order.tool:
        raise ValueError("this limit is of all tools; select a call or a tool")
    title, change = _EDITS[order.kind]
    after = change(text, order.tool)
    if after == text:
        raise ValueError(f"{order.tool} is already {_DONE[order.kind]}")
    return Change(f"{title} {order.tool}", text, after)


def entry_of(document: PolicyDocument, tool: str) -> ToolEntry | None:
    """The entry that bears on a tool, by its name or by the first pattern that fits; None when it is not listed."""
    exact = document.tools.get(tool)
    if exact is not None:
        return exact
    patterns = (entry for key, entry in document.tools.items() if "*" in key and compile_pattern(key)(tool))
    return next(patterns, None)


_EDITS: Mapping[EditKind, tuple[str, Callable[[str, str], str]]] = {
    "deny": ("Deny", edit.deny_tool),
    "hide": ("Hide", edit.hide_tool),
    "approve": ("Require approval for", edit.require_approval),
    "allow": ("Allow", edit.allow_tool),
}
_DONE: Mapping[EditKind, str] = {
    "deny": "denied",
    "hide": "hidden",
    "approve": "held for approval",
    "allow": "allowed",
}
