"""What happened, as JSON: the audit record that people and programs read, and the events as they travel to consoles.

Two forms of one call:
- `record_json`: the audit record of the contract (`mcpwatch audit search --json`), decision and outcome in one object.
- `record_to_json`: the decision alone, whole; `record_from_json` gives the equal `CallRecord` back.

A call that was refused (`deny`, `reject`) was never sent, so its `outcome` is `not_sent`; of a call that is held or
under way `outcome`, `latency_ms` and `result_bytes` are null. Source of the field names: the audit record in README.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from mcpwatch.events import (
    AuditState,
    CallDecided,
    CallOutcome,
    CallRecord,
    CallSettled,
    CountersState,
    Event,
    Frozen,
    HoldClosed,
    HoldOpened,
    PolicyInstalled,
    PolicyRejected,
    ToolsChanged,
    UpstreamChanged,
)
from mcpwatch.policy.values import Charge, CounterState, Problem, Step

POLICY_DIGITS = 12
"""How much of a policy's sha-256 an audit record shows."""


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    try:
        return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "9999-12-31T23:59:59" if second > 0 else "0001-01-01T00:00:00"


def rfc3339(at_ms: int) -> str:
    """`2026-11-22T10:30:00.000Z`; moments outside the years 1 to 9999 become the nearest one that can be written."""
    second, ms = divmod(at_ms, 1000)
    return f"{_second(second)}.{ms:03d}Z"


def from_rfc3339(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def counter_json(state: CounterState) -> dict[str, Any]:
    """One counter: name, scope, used, max, window, resets_at, and beyond the contract value, window_ms, rule."""
    return {
        "name": state.name,
        "scope": state.scope,
        "value": state.value,
        "used": state.used,
        "max": state.max,
        "window": state.window,
        "window_ms": state.window_ms,
        "resets_at": rfc3339(state.resets_at_ms),
        "rule": state.rule,
    }


def counter_from_json(data: Mapping[str, Any]) -> CounterState:
    return CounterState(
        name=data["name"],
        scope=data["scope"],
        value=data.get("value", ""),
        used=data["used"],
        max=data["max"],
        window=data["window"],
        window_ms=data.get("window_ms", 0),
        resets_at_ms=from_rfc3339(data["resets_at"]),
        rule=data.get("rule", ""),
    )


def charge_from_json(data: list[Any]) -> Charge:
    """`[counter, scope value, window in ms, amount, at in ms]`, as an audit row keeps it."""
    name, value, window_ms, amount, at_ms = data
    return Charge((name, value, window_ms), amount, at_ms)


def record_json(record: CallRecord, outcome: CallOutcome | None = None) -> dict[str, Any]:
    """The audit record of one call. `policy` is cut to 12 digits; `error` is the outcome's text or ""."""
    data = record_to_json(record)
    return public_json(data, None if outcome is None else outcome_to_json(outcome))


def public_json(record: Mapping[str, Any], outcome: Mapping[str, Any] | None) -> dict[str, Any]:
    """`record_json` of values that are JSON already (`record_to_json`, `outcome_to_json`)."""
    never_sent = "not_sent" if record["decision"] in ("deny", "reject") else None
    return {
        "seq": record["seq"],
        "call_id": record["call_id"],
        "at": rfc3339(record["at_ms"]),
        "instance": record["instance"],
        "upstream": record["upstream"],
        "grant": record["grant"],
        "client": {"name": record["client"], "version": record["client_version"]},
        "session": record["session"],
        "method": record["method"],
        "tool": record["tool"],
        "args": record["args"],
        "decision": record["decision"],
        "rule": record["rule"],
        "reason": record["reason"],
        "policy": record["policy"][:POLICY_DIGITS],
        "counters": record["counters"],
        "held_ms": record["held_ms"],
        "approved_by": record["approved_by"] or None,
        "outcome": outcome["outcome"] if outcome else never_sent,
        "latency_ms": outcome["latency_ms"] if outcome else None,
        "result_bytes": outcome["result_bytes"] if outcome else None,
        "would_deny": record["would_deny"],
        "message": record["message"],
        "steps": record["steps"],
        "error": outcome["error"] if outcome else "",
    }


def record_to_json(record: CallRecord) -> dict[str, Any]:
    """The decision, whole (all of the policy's digest, the charges); `at_ms` is an integer here."""
    return {
        "seq": record.seq,
        "call_id": record.call_id,
        "at_ms": record.at_ms,
        "instance": record.instance,
        "upstream": record.upstream,
        "grant": record.grant,
        "client": record.client,
        "client_version": record.client_version,
        "session": record.session,
        "method": record.method,
        "tool": record.tool,
        "args": record.args,
        "decision": record.decision,
        "rule": record.rule,
        "reason": record.reason,
        "policy": record.policy,
        "message": record.message,
        "would_deny": record.would_deny,
        "counters": [counter_json(state) for state in record.counters],
        "charges": [[*charge.key, charge.amount, charge.at_ms] for charge in record.charges],
        "steps": [
            {"step": step.step, "rule": step.rule, "result": step.result, "detail": step.detail}
            for step in record.steps
        ],
        "held_ms": record.held_ms,
        "approved_by": record.approved_by,
    }


def record_from_json(data: Mapping[str, Any]) -> CallRecord:
    """Back from `record_to_json`; reads `record_json` too (then the policy has 12 digits and charges are empty)."""
    client = data["client"]
    public = not isinstance(client, str)
    return CallRecord(
        call_id=data["call_id"],
        at_ms=from_rfc3339(data["at"]) if public else data["at_ms"],
        instance=data["instance"],
        upstream=data["upstream"],
        grant=data["grant"],
        client=client["name"] if public else client,
        client_version=client["version"] if public else data["client_version"],
        session=data["session"],
        method=data["method"],
        tool=data["tool"],
        args=data["args"],
        decision=data["decision"],
        rule=data["rule"],
        reason=data["reason"],
        policy=data["policy"],
        message=data["message"],
        would_deny=data["would_deny"],
        counters=tuple(counter_from_json(item) for item in data["counters"]),
        charges=tuple(charge_from_json(item) for item in data.get("charges", ())),
        steps=tuple(Step(**item) for item in data["steps"]),
        held_ms=data["held_ms"],
        approved_by=data["approved_by"] or "",
        seq=data["seq"],
    )


def outcome_to_json(outcome: CallOutcome) -> dict[str, Any]:
    return {
        "call_id": outcome.call_id,
        "at_ms": outcome.at_ms,
        "outcome": outcome.outcome,
        "latency_ms": outcome.latency_ms,
        "result_bytes": outcome.result_bytes,
        "error": outcome.error,
    }


def outcome_from_json(data: Mapping[str, Any]) -> CallOutcome | None:
    """Back from `outcome_to_json`; also out of a `record_json` (`at_ms`: arrival plus latency), None when open."""
    if data["latency_ms"] is None:
        return None
    at_ms = data["at_ms"] if "at_ms" in data else from_rfc3339(data["at"]) + round(data["latency_ms"])
    return CallOutcome(
        call_id=data["call_id"],
        at_ms=at_ms,
        outcome=data["outcome"],
        latency_ms=data["latency_ms"],
        result_bytes=data["result_bytes"],
        error=data["error"],
    )


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.line,
        "column": problem.column,
        "pointer": problem.pointer,
        "message": problem.message,
        "severity": problem.severity,
        "length": problem.length,
    }


def event_to_json(event: Event) -> dict[str, Any]:
    """One event with its `type`; `event_from_json` gives the equal event back."""
    match event:
        case CallDecided(record):
            return {"type": "call_decided", "record": record_to_json(record)}
        case CallSettled(outcome):
            return {"type": "call_settled", "outcome": outcome_to_json(outcome)}
        case PolicyInstalled() | PolicyRejected() | UpstreamChanged() | ToolsChanged():
            return _wide(event)
        case HoldOpened() | HoldClosed() | Frozen() | AuditState() | CountersState():
            return _flat(event)


_TYPES: dict[type[Any], str] = {
    PolicyInstalled: "policy_installed",
    PolicyRejected: "policy_rejected",
    UpstreamChanged: "upstream_changed",
    ToolsChanged: "tools_changed",
    HoldOpened: "hold_opened",
    HoldClosed: "hold_closed",
    Frozen: "frozen",
    AuditState: "audit_state",
    CountersState: "counters_state",
}


def _flat(event: Event) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in type(event).__dataclass_fields__}
    return {"type": _TYPES[type(event)], **values}


def _wide(event: Event) -> dict[str, Any]:
    data = _flat(event)
    for name in ("warnings", "problems"):
        if name in data:
            data[name] = [_problem_json(problem) for problem in data[name]]
    if "tools" in data:
        data["tools"] = list(data["tools"])
    return data


def event_from_json(data: Mapping[str, Any]) -> Event:
    """Back from `event_to_json`. Raises ValueError for a type that is not known."""
    kind = data["type"]
    if kind == "call_decided":
        return CallDecided(record_from_json(data["record"]))
    if kind == "call_settled":
        return CallSettled(_outcome(data["outcome"]))
    make = _MAKERS.get(kind)
    if make is None:
        raise ValueError(f"unknown event type {kind!r}")
    return make(**{name: _narrow(name, value) for name, value in data.items() if name != "type"})


def _outcome(data: Mapping[str, Any]) -> CallOutcome:
    outcome = outcome_from_json(data)
    if outcome is None:
        raise ValueError("an outcome without latency_ms")
    return outcome


def _narrow(name: str, value: Any) -> Any:
    if name in ("warnings", "problems"):
        return tuple(Problem(**item) for item in value)
    return tuple(value) if name == "tools" else value


_MAKERS: dict[str, Callable[..., Event]] = {name: cls for cls, name in _TYPES.items()}
