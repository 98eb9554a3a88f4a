"""What is said about whole files and calls, word for word, as it was looked at when it was written down.

After a change of the wording read the difference, then `python -m tests.policy.test_said` writes the new texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.diff import policy_diff
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.explain import explain_json
from mcpwatch.policy.lint import lint
from mcpwatch.policy.problems import render_problem
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.suggest import suggest
from mcpwatch.policy.values import PolicyError
from tests.policy.build import NOON_MS, call, limit, rule
from tests.policy.test_replay import record

SAID = Path(__file__).with_name("said")


def document(file: str) -> PolicyDocument:
    return read_policy((SAID / file).read_bytes(), name=file)


def checked(file: str) -> Iterable[str]:
    """Everything that is said about one file; tools are known for `remarks.json`."""
    tools = json.loads((SAID / "tools.json").read_bytes()) if file == "remarks.json" else None
    try:
        found = document(file)
    except PolicyError as fault:
        problems = fault.problems
    else:
        problems = (*found.warnings, *lint(found, tools))
    return (f"{render_problem(file, problem)} ({problem.length})" for problem in problems)


def changed() -> Iterable[str]:
    yield from policy_diff(document("before.json"), document("after.json"))
    yield "-- and back"
    yield from policy_diff(document("after.json"), document("before.json"))


def suggested() -> Iterable[str]:
    """From calls and a tool list, and from the tool list alone."""
    tools: list[dict[str, Any]] = [
        {"name": "delete_pod"},
        {"name": "get_pods", "inputSchema": {"type": "object", "properties": {"ns": {}, "dry": {}}}},
        {"name": "create_charge"},
        {"name": "run_job"},
        {"name": "tidy", "annotations": {"readOnlyHint": True}},
        {"name": "wipe", "annotations": {"destructiveHint": True}},
        {"name": "put_it", "inputSchema": {"type": "object"}},
        {"name": "send_mail"},
    ]
    calls = [record(at, {"ns": ("dev", "staging")[at % 2]}, tool="get_pods") for at in range(0, 300, 5)]
    calls += [record(400 + at, {"ns": "dev", "dry": True}, tool="get_pods", grant="ann") for at in range(0, 90, 3)]
    calls += [record(600, {"x": 1}, tool="put_it"), record(601, {}, tool="create_charge", approved_by="ops")]
    for found in (suggest(calls, tools), suggest(calls[:1], []), suggest([], tools)):
        yield found.yaml()
        yield found.json()
        yield json.dumps(found.evidence, indent=1)


def explained() -> Iterable[str]:
    engine = Engine()
    entry = {
        "require": [rule(("args.currency", "in", ["EUR", "USD"]), on_deny="Only EUR or USD.")],
        "deny_if": [rule(("args.amount", "gt", 100)), rule(("args.amount", "lt", 0), mode="observe")],
        "validate": "schema",
        "approve_if": [rule(("args.amount", "gt", 50), timeout="30s")],
        "limits": [
            limit(60, "spent", "day", increment_from="args.amount", scope="args.account"),
            limit(2, "calls", "90s", algorithm="sliding", mode="observe"),
        ],
    }
    tools = {"pay": entry, "get_*": {}, "off": {"action": "deny", "reason": "Not today."}}
    text = json.dumps({"version": "1", "default": "deny", "hide": ["gone"], "tools": tools}, indent=1)
    engine.install(compile_policy(read_policy(text.encode())))
    schema: dict[str, Any] = {"type": "object", "properties": {"currency": {}, "amount": {}, "account": {}}}
    engine.set_schemas({"pay": schema})
    made = [
        *(call("pay", currency="EUR", amount=amount, account="a1") for amount in (40, 20, 21, -1, 60, 101, "9", 10**9)),
        *(call("pay", amount=1), call("pay", currency="EUR", amount=1, more=1), call("pay", currency="EUR")),
        *(call("get_x"), call("gone"), call("none"), call("off")),
    ]
    for each in made:
        yield json.dumps(explain_json(engine, each, NOON_MS) | {"policy": ""}, indent=1)
        engine.admit(each, NOON_MS)


TEXTS: dict[str, Callable[[], Iterable[str]]] = {
    **{file: lambda file=file: checked(file) for file in ("faults.json", "rules.yaml", "read.yaml", "remarks.json")},
    "changes": changed,
    "suggestions": suggested,
    "explanations": explained,
}


def text(name: str) -> str:
    return "\n".join(TEXTS[name]()) + "\n"


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_said_was_looked_at(name: str) -> None:
    assert text(name) == (SAID / f"{name}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    for each in TEXTS:
        (SAID / f"{each}.txt").write_text(text(each), encoding="utf-8")
