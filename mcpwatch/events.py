"""The values that travel between rooms, and their JSON for the control socket and the audit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mcpwatch.policy.values import Charge, CounterState, Json, Problem, Step

OutcomeKind = Literal[
    "ok", "tool_error", "rpc_error", "transport_error", "timeout", "cancelled", "client_gone", "not_sent", "unknown"
]
RecordedDecision = Literal["allow", "deny", "hold", "reject"]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """The decision row of one call. `args` are redacted already. `seq` is 0 until the audit gave it one.

    `method` is the MCP method; `tool` is "" for other methods than `tools/call` (then `args` may hold their target,
    e.g. {"uri": …}). `decision` `reject` means refused before policy (malformed, no token); `rule` says why.
    `message` is what the agent was told, "" when allowed. Of a held call the row has `hold`; when the operator has
    decided, a second row of the same `call_id` has the final decision, `held_ms` and `approved_by`. `text` is for
    `rowtext`.
    """

    call_id: str
    at_ms: int
    instance: str
    upstream: str
    grant: str
    client: str
    client_version: str
    session: str
    method: str
    tool: str
    args: Json
    decision: RecordedDecision
    rule: str
    reason: str
    policy: str
    message: str = ""
    would_deny: str = ""
    counters: tuple[CounterState, ...] = ()
    charges: tuple[Charge, ...] = ()
    steps: tuple[Step, ...] = ()
    held_ms: int | None = None
    approved_by: str = ""
    seq: int = 0
    text: bytes = field(default=b"", init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a forwarded call. `latency_ms` from arrival to answer, `result_bytes` of the answer's body.

    `text` is for `rowtext`.
    """

    call_id: str
    at_ms: int
    outcome: OutcomeKind
    latency_ms: float
    result_bytes: int
    error: str = ""
    text: bytes = field(default=b"", init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CallDecided:
    record: CallRecord


@dataclass(frozen=True, slots=True)
class CallSettled:
    outcome: CallOutcome


@dataclass(frozen=True, slots=True)
class PolicyInstalled:
    """`digest` is in force for `upstream` from `at_ms` on. `text` is the exact file text; `by` who changed it."""

    at_ms: int
    upstream: str
    file: str
    digest: str
    text: str
    by: str = "file"
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyRejected:
    """The file cannot be put in force; the last good policy stays. `problems` say where the faults are."""

    at_ms: int
    upstream: str
    file: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class UpstreamChanged:
    """`state`: starting | ready | restarting | failed | stopped. `error`: the last stderr line or ""."""

    at_ms: int
    upstream: str
    state: str
    error: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ToolsChanged:
    """What the upstream offers, as it answered the gateway's own `tools/list` (whole tool objects)."""

    at_ms: int
    upstream: str
    tools: tuple[dict[str, Json], ...]


@dataclass(frozen=True, slots=True)
class HoldOpened:
    at_ms: int
    call_id: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class HoldClosed:
    """`how`: approved | refused | timeout | cancelled | client_gone | policy | frozen."""

    at_ms: int
    call_id: str
    how: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Freeze state changed; `scope` "*" , `grant:NAME` or `tool:NAME`."""

    at_ms: int
    scope: str
    on: bool
    by: str = ""


@dataclass(frozen=True, slots=True)
class AuditState:
    """`state`: ok | failed | recovering. While it is not ok, every call is refused."""

    at_ms: int
    state: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class CountersState:
    """Counters that several gateways share, in `store` (an address without password). `state`: ok | failed.

    While it is not ok, calls that reach a limit are refused. `emptied_at_ms`: when they were last found to have begun
    anew, with all that was counted gone.
    """

    at_ms: int
    state: str
    error: str = ""
    store: str = ""
    emptied_at_ms: int | None = None


Event = (
    CallDecided
    | CallSettled
    | PolicyInstalled
    | PolicyRejected
    | UpstreamChanged
    | ToolsChanged
    | HoldOpened
    | HoldClosed
    | Frozen
    | AuditState
    | CountersState
)
