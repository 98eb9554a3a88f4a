"""Policy cases: lists of calls with the decisions they must get, readable by people who do not program.

Time is what `at` says, nothing carries over from case to case. Source of the form: the product's contract.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from mcpwatch.policy.compiled import CompiledPolicy, compile_policy
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.instants import instant_ms
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import Caller, Decision, PolicyError, Step, ToolCall

_NOTHING: Final = '""'
_CASE_KEYS: Final = {"id", "policy", "policy_file", "calls", "note", "schemas"}
_CALL_KEYS: Final = {"at", "grant", "client", "session", "tool", "args", "outcome", "expect", "note"}
_CALL_TEXTS: Final = ("at", "tool", "grant", "client", "session", "outcome")
_EXPECT_KEYS: Final = {"decision", "rule", "message", "counters", "would_deny", "note"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that came out otherwise in call `call` (from 1; 0: the case itself). `step` is where it was decided."""

    call: int
    what: str
    expected: str
    got: str
    step: Step | None = None

    def lines(self) -> list[str]:
        """For people, without colour."""
        where = f"call {self.call}: " if self.call else ""
        lines = [
            f"{where}{self.what}",
            f"  expected  {self.expected or _NOTHING}",
            f"  got       {self.got or _NOTHING}",
        ]
        if self.step is not None:
            lines.append(f"  step      {self.step.step} {self.step.result}: {self.step.detail}")
        return lines


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case: it holds when there are no differences. `calls` is how many calls were made."""

    id: str
    calls: int
    differences: tuple[Difference, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.differences


def run_cases(cases: list[Any], base: Callable[[str], bytes]) -> list[CaseResult]:
    """Run every case on an engine of its own. `base` gives the bytes of a `policy_file` as the case names it.

    Never raises for what the cases say: a case that is malformed, or whose policy cannot be read, is a difference.
    """
    read = lru_cache(maxsize=256)(base)
    return [_run_case(case, index, read) for index, case in enumerate(cases)]


def _run_case(case: Any, index: int, base: Callable[[str], bytes]) -> CaseResult:
    if not isinstance(case, dict):
        return _broken(f"#{index}", "a case is an object", case)
    fields = cast("dict[str, Any]", case)
    name = str(fields.get("id", f"#{index}"))
    calls = fields.get("calls")
    if not isinstance(calls, list):
        return _broken(name, "calls is a list", calls)
    if unknown := sorted(fields.keys() - _CASE_KEYS):
        return _broken(name, "only " + ", ".join(sorted(_CASE_KEYS)), ", ".join(unknown))
    schemas = _schemas(fields.get("schemas"))
    if schemas is None:
        return _broken(name, "schemas is an object: tool names, each with its inputSchema", fields["schemas"])
    engine = Engine()
    try:
        policy = _policy(fields, base)
    except (PolicyError, OSError, ValueError) as error:
        return _broken(name, "a policy that can be put in force", _first_problem(error))
    if policy is not None:
        engine.install(policy)
    engine.set_schemas(schemas)
    entries = cast("list[Any]", calls)
    differences = [found for number, call in enumerate(entries, 1) for found in _run_call(engine, call, number)]
    return CaseResult(name, len(entries), tuple(differences))


def _schemas(value: Any) -> dict[str, dict[str, Any]] | None:
    """The schemas of a case; None when that is something else."""
    if value is not None and not isinstance(value, dict):
        return None
    found = cast("dict[str, Any]", value or {})
    return found if all(isinstance(schema, dict) for schema in found.values()) else None


def _broken(name: str, expected: str, got: Any) -> CaseResult:
    return CaseResult(name, 0, (Difference(0, "the case cannot be run", expected, str(got)[:200]),))


def _first_problem(error: Exception) -> str:
    if isinstance(error, PolicyError):
        first = error.problems[0]
        return f"{first.line}:{first.column} {first.pointer} {first.message}"
    return str(error)


def _policy(case: Mapping[str, Any], base: Callable[[str], bytes]) -> CompiledPolicy | None:
    if "policy_file" in case:
        if not isinstance(case["policy_file"], str):
            raise ValueError(f"policy_file is {case['policy_file']!r}, not the name of a file")
        return _compiled(base(case["policy_file"]), str(case["policy_file"]))
    if "policy" not in case:
        raise ValueError("neither policy nor policy_file")
    if case["policy"] is None:
        return None
    return _compiled(json.dumps(case["policy"]).encode(), "policy.json")


@lru_cache(maxsize=256)
def _compiled(text: bytes, name: str) -> CompiledPolicy:
    return compile_policy(read_policy(text, name=name))


def _run_call(engine: Engine, call: Any, number: int) -> list[Difference]:
    try:
        made, at_ms = _call(call)
    except ValueError as error:
        return [Difference(number, "the call cannot be made", "at, tool, args and expect", str(error)[:200])]
    decision = engine.admit(made, at_ms)
    if call.get("outcome") == "not_sent":
        engine.refund(decision.charges)
    return list(_differences(engine, call["expect"], decision, made, at_ms, number))


def _call(call: Any) -> tuple[ToolCall, int]:
    """The call as it is made, and when. Raises ValueError, a sentence for who wrote it, when it cannot be."""
    made = _object(call, "a call")
    expect = _object(made.get("expect"), "expect")
    if unknown := sorted(made.keys() - _CALL_KEYS) + sorted(expect.keys() - _EXPECT_KEYS):
        raise ValueError("unknown: " + ", ".join(unknown))
    _object(expect.get("counters") or {}, "counters")
    args = _object(made.get("args", {}), "args")
    for key in _CALL_TEXTS:
        if not isinstance(made.get(key, "" if key not in ("at", "tool") else None), str):
            raise ValueError(f"{key} is missing or no text")
    caller = Caller(made.get("grant", "local"), made.get("client", ""), made.get("session", ""))
    return ToolCall(caller, made["tool"], args), instant_ms(made["at"])


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is missing or no object")
    return cast("dict[str, Any]", value)


def _differences(
    engine: Engine, expect: Mapping[str, Any], decision: Decision, call: ToolCall, at_ms: int, number: int
) -> list[Difference]:
    got = {
        "decision": decision.verdict,
        "rule": decision.rule,
        "message": decision.message,
        "would_deny": decision.would_deny,
    }
    step = decision.steps[-1] if decision.steps else None
    found = [
        Difference(number, what, str(expect[what]), value, step)
        for what, value in got.items()
        if what in expect and expect[what] != value
    ]
    wanted: Mapping[str, Any] = expect.get("counters") or {}
    used = {name: engine.used(call, name, at_ms) for name in wanted}
    return found + [
        Difference(number, f"counter {name}", str(value), str(used[name]), step)
        for name, value in wanted.items()
        if used[name] != value
    ]
