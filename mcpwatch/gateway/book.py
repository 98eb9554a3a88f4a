"""Writes what is decided and what became of it to the audit, and tells the consoles, in this order."""

from __future__ import annotations

import os
import time

from mcpwatch.errors import AuditError
from mcpwatch.events import CallDecided, CallOutcome, CallRecord, CallSettled, OutcomeKind
from mcpwatch.gateway.core import Core, Inbound
from mcpwatch.gateway.replies import PREFIX, Denial
from mcpwatch.policy.values import Caller, Decision, Json

AUDIT_RULE = "(audit)"
MALFORMED = "(malformed)"


def new_call_id() -> str:
    """128 random bits, as text."""
    return os.urandom(16).hex()


class Book:
    """The rows of one gateway."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ports = core.ports
        self._instance = core.config.instance

    def row(self, inbound: Inbound, caller: Caller, tool: str, args: Json, decision: Decision) -> CallRecord:
        """The row of a judged message; arguments are redacted here, before anything is queued."""
        shown = self._ports.redact(inbound.upstream, caller.grant, args) if args else args
        return CallRecord(
            call_id=new_call_id(),
            at_ms=self._ports.now_ms(),
            instance=self._instance,
            upstream=inbound.upstream,
            grant=caller.grant,
            client=caller.client,
            client_version=caller.client_version,
            session=caller.session,
            method=inbound.message.method,
            tool=tool,
            args=shown,
            decision=decision.verdict,
            rule=decision.rule,
            reason=decision.reason,
            policy=decision.policy,
            message=PREFIX + decision.message if decision.verdict == "deny" else "",
            would_deny=decision.would_deny,
            counters=decision.counters,
            charges=decision.charges,
            steps=decision.steps,
        )

    async def intend(self, record: CallRecord) -> CallRecord:
        """Commit a decision; the row with its number. Raises AuditError: then nothing may be forwarded."""
        seq = await self._ports.journal.intend(record)
        # The row is frozen for its readers, and nobody has read it yet; a copy would cost a tenth of the whole call.
        object.__setattr__(record, "seq", seq)
        self._core.metrics.decided(record.upstream, record.decision)
        self._ports.publish(CallDecided(record))
        return record

    async def settle(self, call_id: str, kind: OutcomeKind, arrived: float, size: int, error: str = "") -> None:
        """Commit an outcome. Raises AuditError: then the answer may not be released."""
        latency_ms = round((time.monotonic() - arrived) * 1000, 3)
        outcome = CallOutcome(call_id, self._ports.now_ms(), kind, latency_ms, size, error)
        await self._ports.journal.settle(outcome)
        self._core.metrics.settled(kind, latency_ms)
        self._ports.publish(CallSettled(outcome))

    async def reject(
        self, upstream: str, grant: str, rule: str, reason: str, *, method: str = "", tool: str = "", session: str = ""
    ) -> None:
        """Record what was refused before policy. It is refused also when this cannot be written."""
        record = CallRecord(
            call_id=new_call_id(),
            at_ms=self._ports.now_ms(),
            instance=self._instance,
            upstream=upstream,
            grant=grant,
            client="",
            client_version="",
            session=session,
            method=method,
            tool=tool,
            args=None,
            decision="reject",
            rule=rule,
            reason=reason,
            policy="",
            message=reason,
        )
        try:
            await self.intend(record)
        except AuditError:
            self._core.metrics.decided(upstream, "reject")


def audit_denial(fault: AuditError) -> Denial:
    """The refusal of a call whose decision could not be written."""
    return Denial(
        AUDIT_RULE, str(fault), "The audit log cannot be written, so no call is let through. Try again later."
    )
