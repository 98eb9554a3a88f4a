"""Calls to record, and a log in a temporary folder."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcpwatch.audit.journal import AuditLog
from mcpwatch.events import AuditState, CallOutcome, CallRecord, OutcomeKind
from mcpwatch.policy.values import Charge, CounterState, Step

START_MS = 1_795_343_400_000
"""2026-11-22T10:30:00Z."""

RECORD = CallRecord(
    call_id="",
    at_ms=START_MS,
    instance="default",
    upstream="eks",
    grant="alice",
    client="claude-code",
    client_version="2.1",
    session="s-1",
    method="tools/call",
    tool="list_k8s_resources",
    args={"kind": "Pod", "namespace": "dev"},
    decision="allow",
    rule="",
    reason="listed",
    policy="ab" * 32,
    counters=(CounterState("rate", "grant", "alice", 1, 10, "minute", 60_000, START_MS + 60_000),),
    charges=(Charge(("rate", "alice", 60_000), 1, START_MS),),
    steps=(Step("default", "", "pass", "listed"),),
)


@dataclass
class Clock:
    """Time that stands still until a test moves it."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class States:
    """Every state that the log told."""

    seen: list[AuditState] = field(default_factory=list[AuditState])

    def __call__(self, state: AuditState) -> None:
        self.seen.append(state)

    def names(self) -> list[str]:
        return [state.state for state in self.seen]


def call(call_id: str, **changes: Any) -> CallRecord:
    return replace(RECORD, call_id=call_id, **changes)


def outcome(call_id: str, kind: OutcomeKind = "ok", **changes: Any) -> CallOutcome:
    return replace(CallOutcome(call_id, START_MS + 12, kind, 12.5, 345), **changes)


@asynccontextmanager
async def opened(
    path: Path,
    *,
    now_ms: Callable[[], int] | None = None,
    on_state: Callable[[AuditState], None] | None = None,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> AsyncGenerator[AuditLog]:
    log = await AuditLog.open(path, instance="default", now_ms=now_ms or Clock(), on_state=on_state, factory=factory)
    try:
        yield log
    finally:
        await log.close()
