"""The decision on one call as JSON, with the values that were compared and the lines of the policy that did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mcpwatch.policy.compiled import CompiledPolicy
from mcpwatch.policy.document import Span
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.instants import instant_text
from mcpwatch.policy.messages import DEFAULT_DENY, HIDDEN
from mcpwatch.policy.values import CounterState, Decision, Step, ToolCall

SHOWN_DIGITS = 12
"""How much of a policy's sha-256 people are shown."""


def explain_json(engine: Engine, call: ToolCall, now_ms: int, *, approved: bool = False) -> dict[str, Any]:
    """What `engine` would answer to `call`, and each step that led to it. Nothing is charged.

    Of every counter `before` is what is used now, `used` what is used after the call. `line` is where a step's rule
    stands in the policy text, null for steps that no line decides. Source: the contract of `policy explain --json`.
    """
    decision = engine.explain(call, now_ms, approved)
    return {
        "decision": decision.verdict,
        "rule": decision.rule,
        "reason": decision.reason,
        "message": decision.message,
        "policy": decision.policy[:SHOWN_DIGITS],
        "counters": [_counter(state, before) for state, before in _counters(engine, decision, call, now_ms)],
        "steps": [_step(step, engine.policy, call.tool) for step in decision.steps],
        "would_deny": decision.would_deny,
        "retry_after_s": decision.retry_after_s,
    }


def _counters(
    engine: Engine, decision: Decision, call: ToolCall, now_ms: int
) -> Iterator[tuple[CounterState, int | float]]:
    """The counters of the decision with what is used before the call."""
    before = engine.limits_of(call, now_ms)
    return ((state, was.used) for state, was in zip(decision.counters, before, strict=False))


def _counter(state: CounterState, before: int | float) -> dict[str, Any]:
    return {
        "name": state.name,
        "scope": state.scope,
        "value": state.value,
        "before": before,
        "used": state.used,
        "max": state.max,
        "window": state.window,
        "resets_at": instant_text(state.resets_at_ms),
        "rule": state.rule,
    }


def _step(step: Step, policy: CompiledPolicy | None, tool: str) -> dict[str, Any]:
    span = None if policy is None else _span(step.rule, policy, tool)
    return {
        "step": step.step,
        "rule": step.rule,
        "result": step.result,
        "detail": step.detail,
        "line": None if span is None else span.line,
    }


def _span(rule: str, policy: CompiledPolicy, tool: str) -> Span | None:
    if rule == HIDDEN:
        return policy.hidden_at(tool)
    return policy.document.places.get("/default") if rule == DEFAULT_DENY else policy.span(rule)
