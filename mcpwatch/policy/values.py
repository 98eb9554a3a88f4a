"""The values that go into a decision and come out of it. All are frozen; times are integer milliseconds, UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
Verdict = Literal["allow", "deny", "hold"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the grant of the token, the name the client gave itself, the session ("" when there is none)."""

    grant: str
    client: str = ""
    session: str = ""
    client_version: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One `tools/call` as judged. `args` is the object under `params.arguments` ({} when absent)."""

    caller: Caller
    tool: str
    args: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a decision, in order of evaluation, as people read it.

    `step` is the stage (`hide`, `default`, `require`, `deny_if`, `validate`, `approve_if`, `limits`), `rule` the
    JSON pointer with names or "", `result` one of `pass`, `skip`, `deny`, `hold`, `observe`, `detail` what was
    compared.
    """

    step: str
    rule: str
    result: str
    detail: str


CounterKey: TypeAlias = tuple[str, str, int]
"""(counter name, scope value as stored, window length in ms): the identity of a counter."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one forwarded call added to one counter. Amounts are exact int or float."""

    key: CounterKey
    amount: int | float
    at_ms: int


@dataclass(frozen=True, slots=True)
class CounterState:
    """One counter as people see it. `scope` is as written (`grant`, `args.cluster_name`), `value` whose it is."""

    name: str
    scope: str
    value: str
    used: int | float
    max: int
    window: str
    window_ms: int
    resets_at_ms: int
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of the engine to one call.

    `rule`: JSON pointer of what decided, `(default deny)`, `(hidden)`, `(look-alike)`, `(no policy)`, "" if allowed.
    `reason`: one line for the operator. `message`: what the agent is told (no `[POLICY DENIED] `), "" when allowed.
    `policy`: sha-256 (hex, whole) of the policy text in force. `charges`: what was counted (empty unless allowed).
    `counters`: the limits that bear on this call, after it. `would_deny`: the rule that observing policy would deny by.
    `retry_after_s`: whole seconds until the spent limit resets, None when no limit decided.
    `hold_timeout_ms`: how long an operator has, None unless `verdict` is `hold`.
    """

    verdict: Verdict
    rule: str
    reason: str
    message: str
    policy: str
    charges: tuple[Charge, ...] = ()
    counters: tuple[CounterState, ...] = ()
    steps: tuple[Step, ...] = ()
    would_deny: str = ""
    retry_after_s: int | None = None
    hold_timeout_ms: int | None = None


class PolicyError(Exception):
    """A policy text that cannot be put in force. `problems` are all that was found, never empty."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault (`error`) or a remark (`warning`) at a place of a policy text. Line and column count from 1.

    Rendered as `FILE:LINE:COL  POINTER  MESSAGE` by the command line. `pointer` is "" for faults of syntax.
    """

    line: int
    column: int
    pointer: str
    message: str
    severity: Literal["error", "warning"] = "error"
    length: int = field(default=1, compare=False)
