"""Engines and calls for tests, in few words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcpwatch.policy.compiled import CompiledPolicy, compile_policy
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import Caller, ToolCall

NOON_MS = 1_795_348_800_000
"""A whole day, hour and minute: 2026-11-22T12:00:00Z."""
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def compiled(tools: Mapping[str, Any] | None = None, **top: Any) -> CompiledPolicy:
    """A policy of version 1 that denies by default."""
    policy: dict[str, Any] = {"version": "1", "default": "deny", "tools": dict(tools or {}), **top}
    return compile_policy(read_policy(json.dumps(policy).encode()))


def engine_of(tools: Mapping[str, Any] | None = None, **top: Any) -> Engine:
    engine = Engine()
    engine.install(compiled(tools, **top))
    return engine


def call(tool: str = "t", grant: str = "local", client: str = "", session: str = "", **args: Any) -> ToolCall:
    return ToolCall(Caller(grant, client, session), tool, args)


def condition(path: str, op: str, value: Any) -> dict[str, Any]:
    return {"path": path, "op": op, "value": value}


def rule(*conditions: tuple[str, str, Any], **more: Any) -> dict[str, Any]:
    return {"conditions": [condition(*each) for each in conditions], **more}


def limit(most: int, counter: str = "r", window: Any = "minute", **more: Any) -> dict[str, Any]:
    return {"counter": counter, "window": window, "max": most, **more}
