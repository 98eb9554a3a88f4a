"""`mcpwatch policy explain`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import click

from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import object_of, put, put_json, say, wrapped
from mcpwatch.cli.policyread import compiled
from mcpwatch.cli.reach import offered_tools, schemas_of
from mcpwatch.cli.times import Since
from mcpwatch.config import Place
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.explain import explain_json
from mcpwatch.policy.problems import visible
from mcpwatch.policy.values import Caller, ToolCall

_WORDS = {"allow": "ALLOW", "deny": "DENY", "hold": "HOLD"}


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--tool", required=True, metavar="T", help="The tool that is called.")
@click.option("--args", "arguments", default="{}", metavar="JSON", help="Its arguments, a JSON object.")
@click.option("--upstream", default="", metavar="NAME", help='Whose schemas "validate" uses, of the running gateway.')
@click.option("--grant", default="local", metavar="G", help="Whose token (default local).")
@click.option("--client", default="", metavar="NAME", help="What the client calls itself.")
@click.option("--session", default="", metavar="ID", help="Its session.")
@click.option("--at", "at_ms", type=Since(), default=None, metavar="TIME", help="When (default now).")
@place_options
@json_option
def explain(
    file: str,
    tool: str,
    arguments: str,
    upstream: str,
    grant: str,
    client: str,
    session: str,
    at_ms: int | None,
    place: Place,
    as_json: bool,
) -> None:
    """Say how FILE decides one call, and by which steps. Nothing is counted or sent."""
    engine = Engine()
    engine.install(compiled(file))
    if upstream:
        engine.set_schemas(schemas_of(offered_tools(place, upstream)))
    call = ToolCall(Caller(grant, client, session), tool, object_of(arguments, "--args"))
    now_ms = int(time.time() * 1000) if at_ms is None else at_ms
    found = explain_json(engine, call, now_ms)
    if as_json:
        put_json(found)
        return
    for line in _lines(file, found):
        put(visible(line))
    if not upstream and any(step["step"] == "validate" for step in found["steps"]):
        say("The tool's schema was asked of nobody; --upstream NAME takes it from the running gateway.")


def _lines(file: str, found: dict[str, Any]) -> Iterable[str]:
    yield f"{_WORDS[found['decision']]}{'  by ' + found['rule'] if found['rule'] else ''}"
    if found["reason"]:
        yield from wrapped(found["reason"])
    if found["message"]:
        when = "an operator is asked; if nobody approves, " if found["decision"] == "hold" else ""
        yield from wrapped(f"{when}the agent is told: {found['message']}")
    if found.get("would_deny"):
        yield from wrapped(f"observed only; enforced it would be denied by {found['would_deny']}")
    yield f"steps ({file})"
    for step in found["steps"]:
        line = f"line {step['line']}: " if step.get("line") else ""
        yield from wrapped(f"{step['step']} {step['result']}{': ' + step['detail'] if step['detail'] else ''}")
        if step["rule"]:
            yield f"    {line}{step['rule']}"
    for state in found["counters"]:
        used = f"{state['before']} used before, {state['used']} after, of {state['max']} per {state['window']}"
        yield f"limit {state['name']} ({state['scope']}): {used}"
