"""Takes what a policy hides out of lists, and nothing else: every other field, the cursor and the order stay."""

from __future__ import annotations

from collections.abc import Callable

from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Json

LIST_METHODS = frozenset({"tools/list", "resources/list", "resources/templates/list", "prompts/list"})
_KEYS = {"tools": "name", "resources": "uri", "resourceTemplates": "uriTemplate", "prompts": "name"}

Shown = Callable[[str, bool], None]
"""Told of each tool of a list whether it is shown."""


def filter_answer(answer: dict[str, Json], engine: Engine, shown: Shown) -> bool:
    """Take hidden entries out of a list answer in place; whether anything was taken.

    A filtered list is of this caller and this policy only, so nobody may cache it. Source: MCP 2026-07-28, caching.
    """
    result = answer.get("result")
    if not isinstance(result, dict):
        return False
    taken = False
    for key, name in _KEYS.items():
        entries = result.get(key)
        if isinstance(entries, list):
            kept = [entry for entry in entries if _kept(key, name, entry, engine, shown)]
            taken = taken or len(kept) < len(entries)
            result[key] = kept
    if taken:
        if "cacheScope" in result:
            result["cacheScope"] = "private"
        if "ttlMs" in result:
            result["ttlMs"] = 0
    return taken


def _kept(key: str, name: str, entry: Json, engine: Engine, shown: Shown) -> bool:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        return True
    if key == "tools":
        visible = engine.visible(value)
        shown(value, visible)
        return visible
    judge = engine.judge_prompt if key == "prompts" else engine.judge_resource
    return judge(value).verdict != "deny"
