"""Calls and events as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

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
from mcpwatch.records import (
    event_from_json,
    event_to_json,
    from_rfc3339,
    outcome_from_json,
    record_from_json,
    record_json,
    rfc3339,
)

AT_MS = from_rfc3339("2026-11-22T10:30:00.007Z")

RECORD = CallRecord(
    call_id="c-1",
    at_ms=AT_MS,
    instance="default",
    upstream="eks",
    grant="alice",
    client="claude-code",
    client_version="2.1",
    session="s-1",
    method="tools/call",
    tool="apply_yaml",
    args={"body": {"n": 10**30, "x": [1.5, None, True, "é\u2028"]}},
    decision="allow",
    rule="",
    reason="allowed",
    policy="ab" * 32,
    message="",
    would_deny="/tools/apply_yaml/deny_if/0",
    counters=(CounterState("rate", "grant", "alice", 3, 10, "minute", 60_000, AT_MS + 60_000, "/tools/x/limits/rate"),),
    charges=(Charge(("rate", "alice", 60_000), 1, AT_MS),),
    steps=(Step("default", "", "pass", "listed"),),
    held_ms=1200,
    approved_by="root",
    seq=7,
)
OUTCOME = CallOutcome("c-1", AT_MS + 12, "ok", 12.25, 345, "")

EVENTS: list[Event] = [
    CallDecided(RECORD),
    CallSettled(OUTCOME),
    PolicyInstalled(1, "eks", "policy.json", "ab", "{}", "file", (Problem(1, 2, "/tools", "odd", "warning", 3),)),
    PolicyRejected(2, "eks", "policy.json", (Problem(1, 2, "/tools", "wrong"),)),
    UpstreamChanged(3, "eks", "failed", "no region", "set AWS_REGION"),
    ToolsChanged(4, "eks", ({"name": "t", "inputSchema": {"type": "object"}},)),
    HoldOpened(5, "c-1", 50),
    HoldClosed(6, "c-1", "approved", "root"),
    Frozen(7, "grant:alice", True, "root"),
    AuditState(8, "failed", "disk full"),
    CountersState(9, "failed", "no answer", "redis://h:6379/0", 8),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_from_its_json_unchanged(event: Event) -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


def test_an_audit_record_has_the_fields_of_the_contract() -> None:
    data = record_json(RECORD, OUTCOME)
    expected: dict[str, Any] = {
        "seq": 7,
        "call_id": "c-1",
        "at": "2026-11-22T10:30:00.007Z",
        "instance": "default",
        "upstream": "eks",
        "grant": "alice",
        "client": {"name": "claude-code", "version": "2.1"},
        "session": "s-1",
        "method": "tools/call",
        "tool": "apply_yaml",
        "args": RECORD.args,
        "decision": "allow",
        "rule": "",
        "reason": "allowed",
        "policy": "abababababab",
        "held_ms": 1200,
        "approved_by": "root",
        "outcome": "ok",
        "latency_ms": 12.25,
        "result_bytes": 345,
    }
    assert {name: data[name] for name in expected} == expected
    counter = data["counters"][0]
    assert {name: counter[name] for name in ("name", "scope", "used", "max", "window", "resets_at")} == {
        "name": "rate",
        "scope": "grant",
        "used": 3,
        "max": 10,
        "window": "minute",
        "resets_at": "2026-11-22T10:31:00.007Z",
    }


def test_a_refused_call_was_never_sent_and_one_under_way_has_no_outcome_yet() -> None:
    assert record_json(replace(RECORD, decision="deny"))["outcome"] == "not_sent"
    assert record_json(replace(RECORD, decision="reject"))["outcome"] == "not_sent"
    assert record_json(replace(RECORD, decision="hold"))["outcome"] is None
    assert record_json(RECORD)["outcome"] is None


def test_an_audit_record_can_be_read_back_as_the_call_and_its_outcome() -> None:
    data = json.loads(json.dumps(record_json(RECORD, OUTCOME)))
    assert record_from_json(data) == replace(RECORD, policy=RECORD.policy[:12], charges=())
    assert outcome_from_json(data) == OUTCOME
    assert outcome_from_json(record_json(RECORD)) is None


@pytest.mark.parametrize("at_ms", [0, 1, 999, 1000, AT_MS, 253_402_300_799_999, -1])
def test_times_come_back_to_the_millisecond(at_ms: int) -> None:
    assert from_rfc3339(rfc3339(at_ms)) == at_ms


def test_a_moment_beyond_the_calendar_is_written_as_the_last_one() -> None:
    assert rfc3339(10**18) == "9999-12-31T23:59:59.000Z"


def test_an_unknown_event_type_is_named() -> None:
    with pytest.raises(ValueError, match="unknown event type 'nope'"):
        event_from_json({"type": "nope"})


def test_an_outcome_event_without_its_latency_is_refused() -> None:
    with pytest.raises(ValueError, match="latency_ms"):
        event_from_json({"type": "call_settled", "outcome": {"call_id": "c", "latency_ms": None}})
