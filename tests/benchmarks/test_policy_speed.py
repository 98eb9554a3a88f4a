"""The speed of the pure parts: `pytest tests/benchmarks/test_policy_speed.py -m slow` prints a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from mcpwatch.policy.cases import run_cases
from mcpwatch.policy.compiled import CompiledPolicy, compile_policy
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.instants import instant_text
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.replay import replay
from tests.policy.build import NOON_MS, call, compiled, limit, rule

pytestmark = pytest.mark.slow

ENTRY: dict[str, Any] = {
    "require": [rule(("args.namespace", "in", ["dev", "staging"]))],
    "deny_if": [rule(("args.replicas", "gt", 100)), rule(("args.kind", "eq", "Secret"))],
    "limits": [limit(10**9)],
}
ALL_TOOLS: dict[str, Any] = {"limits": [limit(10**9, "all")]}
MADE = call("t", "ann", "cc", "s1", namespace="dev", replicas=5, kind="Pod")
REFUSED = call("t", "ann", "cc", "s1", namespace="prod")


class Benchmark(Protocol):
    def __call__(self, measured: Callable[..., Any], *args: Any) -> Any: ...


def engine_with(tools: int) -> Engine:
    engine = Engine()
    engine.install(compiled({"t": ENTRY} | {f"t{number}": ENTRY for number in range(tools - 1)}, all_tools=ALL_TOOLS))
    return engine


@pytest.mark.parametrize("tools", [1, 10_000])
def test_admit_three_rules_and_two_limits(benchmark: Benchmark, tools: int) -> None:
    assert benchmark(engine_with(tools).admit, MADE, NOON_MS).verdict == "allow"


def test_admit_that_denies(benchmark: Benchmark) -> None:
    assert benchmark(engine_with(1).admit, REFUSED, NOON_MS).verdict == "deny"


def test_load_ten_thousand_tools_of_three_rules_and_two_limits(benchmark: Benchmark) -> None:
    tools = {f"t{number}": ENTRY | {"limits": [limit(10**9), limit(10**9, "d", "day")]} for number in range(10_000)}
    text = json.dumps({"version": "1", "default": "deny", "tools": tools}, separators=(",", ":")).encode()

    def load() -> CompiledPolicy:
        return compile_policy(read_policy(text))

    assert len(benchmark(load).document.tools) == 10_000


def test_ten_thousand_calls_of_policy_cases(benchmark: Benchmark) -> None:
    expect = {"decision": "allow", "rule": "", "counters": {"r": 1}}
    calls = [
        {"at": instant_text(NOON_MS + 60_000 * number), "tool": "t", "args": MADE.args, "expect": expect}
        for number in range(10_000)
    ]
    case = {"id": "many", "policy": {"version": "1", "default": "deny", "tools": {"t": ENTRY}}, "calls": calls}
    assert benchmark(run_cases, [case], lambda name: b"")[0].ok  # pyright: ignore[reportUnknownLambdaType]


def test_ten_thousand_recorded_calls_of_what_if(benchmark: Benchmark) -> None:
    record = {
        "grant": "ann",
        "client": {"name": "cc", "version": "1"},
        "session": "s1",
        "method": "tools/call",
        "tool": "t",
        "args": MADE.args | {"token": "[redacted]"},
        "decision": "allow",
        "rule": "",
        "held_ms": None,
        "outcome": "ok",
    }
    records = [
        record | {"seq": number, "call_id": str(number), "at": instant_text(NOON_MS + 100 * number)}
        for number in range(10_000)
    ]
    draft = compiled({"t": ENTRY}, all_tools={"limits": [limit(300, "all")]})
    assert benchmark(replay, records, draft).flipped > 0
