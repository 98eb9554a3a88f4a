"""`mcpwatch policy explain`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import click

from mcpwatch.cli.options import json_option
from mcpwatch.cli.output import object_of, put, put_json, wrapped
from mcpwatch.cli.policyread import compiled
from mcpwatch.cli.times import Since
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Caller, Decision, ToolCall
from mcpwatch.records import POLICY_DIGITS, counter_json

_WORDS = {"allow": "ALLOW", "deny": "DENY", "hold": "HOLD"}


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--tool", required=True, metavar="T", help="The tool that is called.")
@click.option("--args", "arguments", default="{}", metavar="JSON", help="Its arguments, a JSON object.")
@click.option("--grant", default="local", metavar="G", help="Whose token (default local).")
@click.option("--client", default="", metavar="NAME", help="What the client calls itself.")
@click.option("--session", default="", metavar="ID", help="Its session.")
@click.option("--at", "at_ms", type=Since(), default=None, metavar="TIME", help="When (default now).")
@json_option
def explain(
    file: str, tool: str, arguments: str, grant: str, client: str, session: str, at_ms: int | None, as_json: bool
) -> None:
    """Say how FILE decides one call, and by which steps. Nothing is counted or sent."""
    engine = Engine()
    engine.install(compiled(file))
    call = ToolCall(Caller(grant, client, session), tool, object_of(arguments, "--args"))
    decision = engine.explain(call, int(time.time() * 1000) if at_ms is None else at_ms)
    if as_json:
        put_json(decision_json(decision))
        return
    for line in _lines(file, decision):
        put(line)


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as `explain --json` shows it."""
    return {
        "decision": decision.verdict,
        "rule": decision.rule,
        "reason": decision.reason,
        "message": decision.message,
        "policy": decision.policy[:POLICY_DIGITS],
        "counters": [counter_json(state) for state in decision.counters],
        "steps": [{"step": s.step, "rule": s.rule, "result": s.result, "detail": s.detail} for s in decision.steps],
        "would_deny": decision.would_deny,
        "retry_after_s": decision.retry_after_s,
    }


def _lines(file: str, decision: Decision) -> Iterable[str]:
    yield f"{_WORDS[decision.verdict]}{'  by ' + decision.rule if decision.rule else ''}"
    if decision.reason:
        yield from wrapped(decision.reason)
    if decision.message:
        yield from wrapped(f"the agent is told: {decision.message}")
    if decision.would_deny:
        yield from wrapped(f"observed only; enforced it would be denied by {decision.would_deny}")
    yield f"steps ({file})"
    for step in decision.steps:
        yield from wrapped(f"{step.step} {step.result}{': ' + step.detail if step.detail else ''}")
        if step.rule:
            yield f"    {step.rule}"
    for state in decision.counters:
        yield f"limit {state.name}: {state.used} of {state.max} per {state.window}, scope {state.scope}"
