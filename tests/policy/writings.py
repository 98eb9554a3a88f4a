"""Policies as people might write them, for property tests: every form, mixed, in several layouts."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from hypothesis import strategies as st

from mcpwatch.policy.writer import write_top
from tests.policy.texts import NOTHING

Object: TypeAlias = dict[str, Any]
EMPTY: Object = {}

NAMES: st.SearchStrategy[str] = st.sampled_from(["t", "a.b", "get_pods", "get_nodes", "工具", 'q"u\\o\te', "fs/write~"])
KEYS: st.SearchStrategy[str] = NAMES | st.sampled_from(["get_*", "*"])
RULE: st.SearchStrategy[Object] = st.sampled_from(
    [
        {"conditions": NOTHING},
        {"conditions": NOTHING, "mode": "observe"},
        {"conditions": [{"path": "args.x", "op": "gt", "value": 5}], "on_deny": "no\n"},
    ]
)


def _limit(counter: str, window: object, most: int, extra: Object) -> Object:
    return {"counter": counter, "window": window, "max": most, **extra}


LIMIT: st.SearchStrategy[Object] = st.builds(
    _limit,
    st.sampled_from(["c", "d"]),
    st.sampled_from(["minute", "5m", 90]),
    st.integers(0, 50),
    st.sampled_from([EMPTY, {"scope": "args.a"}, {"on_deny": "x", "increment_from": "args.n"}]),
)
CATALOGUE: st.SearchStrategy[list[Object]] = st.sampled_from(
    [
        NOTHING,
        [{"name": "r", "rate_limit": "5/hour"}, {"name": "d", "action": "deny"}],
        [{"action": "allow", "rate_limit": {"max": 3, "window": 60}}],
        [{"conditions": [{"path": "args.y", "op": "eq", "value": 1}]}, {"action": "deny"}, {"action": "deny"}],
    ]
)
V1: st.SearchStrategy[Object] = st.fixed_dictionaries(
    EMPTY,
    optional={
        "require": st.lists(RULE, max_size=2),
        "deny_if": st.lists(RULE, max_size=2),
        "approve_if": st.lists(RULE, max_size=2),
        "limits": st.lists(LIMIT, max_size=2),
        "risk": st.just("high"),
    },
)
TOOL: st.SearchStrategy[Object] = st.fixed_dictionaries(
    EMPTY,
    optional={
        "limits": st.lists(LIMIT, max_size=2),
        "deny_if": st.lists(RULE, max_size=2),
        "approve_if": st.lists(RULE, max_size=1),
        "action": st.sampled_from(["allow", "deny", "hide", "require_approval"]),
        "rate_limit": st.sampled_from(["10/minute", "7/5m", {"max": 4, "window": "hour"}, {"window": 90, "max": 0}]),
        "rules": CATALOGUE,
    },
)
POLICIES: st.SearchStrategy[Object] = st.fixed_dictionaries(
    {"version": st.just("1"), "default": st.sampled_from(["allow", "deny"])},
    optional={
        "hide": st.lists(st.sampled_from(["t", "get_pods", "del*", "get_n*"]), unique=True),
        "tools": st.dictionaries(KEYS, TOOL | V1, max_size=4),
        "description": st.just("déjà vu"),
        "all_tools": V1.filter(lambda entry: "risk" not in entry),
    },
)
LAYOUTS: st.SearchStrategy[int] = st.sampled_from([0, 1, 2, 3, 4, 5])


def laid(value: Object, how: int) -> str:
    """One of the ways in which people lay their policies out."""
    if how == 0:
        return json.dumps(value)
    if how == 1:
        return json.dumps(value, indent=2)
    if how == 2:
        return json.dumps(value, indent="\t", ensure_ascii=False) + "\n"
    if how == 3:
        return write_top(value).replace("\n", "\r\n")
    if how == 4:
        return "\n" + json.dumps(value, separators=(",", ":")).replace('"tools":', '"tools"\n:\n')
    return write_top(value)
