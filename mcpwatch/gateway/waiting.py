"""A held call while it waits: its stream is kept alive, and whatever ends the wait becomes its second row."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mcpwatch.events import CallRecord
from mcpwatch.gateway import sse
from mcpwatch.gateway.book import Book
from mcpwatch.gateway.core import Core, Inbound
from mcpwatch.gateway.flights import Flight, GivenUp, Why
from mcpwatch.gateway.headers import one
from mcpwatch.gateway.holds import Hold, How, Ruling
from mcpwatch.gateway.judging import Judging, Verdict
from mcpwatch.gateway.replies import PREFIX, Denial
from mcpwatch.gateway.wire import encode
from mcpwatch.policy.values import Json

_MARGIN_S = 30.0
_HOW: dict[Why, How] = {
    "timeout": "timeout",
    "cancelled": "cancelled",
    "client_gone": "client_gone",
    "frozen": "frozen",
    "stopping": "cancelled",
}
_REASON: dict[How, str] = {
    "timeout": "no operator answered in time",
    "cancelled": "the caller cancelled while the call was held",
    "client_gone": "the caller went away while the call was held",
    "frozen": "frozen while the call was held",
    "policy": "the policy changed while the call was held",
}


class Waiting:
    """Held calls of one gateway, seen from their callers."""

    def __init__(self, core: Core, book: Book, judging: Judging) -> None:
        self._core = core
        self._book = book
        self._judging = judging

    async def out(self, inbound: Inbound, flight: Flight, verdict: Verdict, record: CallRecord) -> CallRecord:
        """Wait the hold out and record its end; the row that counts. Raises GivenUp and AuditError."""
        refusal = self._cannot_wait(inbound)
        if refusal:
            return await self._end(verdict, record, Ruling("refused", reason=refusal))
        hold = self._core.holds.open(record, verdict.call, verdict.decision, self._remember_ms(verdict))
        flight.held = True
        flight.touch((hold.expires_at_ms - hold.opened_ms) / 1000 + _MARGIN_S)
        try:
            ruling = await self._ruling(inbound, flight, hold)
        except GivenUp as given_up:
            ruling = Ruling(_HOW[given_up.why])
            self._core.holds.end(hold, ruling)
            await self._end(verdict, record, ruling)
            raise
        finally:
            flight.held = False
        flight.touch(self._core.config.limits.call_timeout_ms / 1000)
        return await self._end(verdict, record, ruling)

    def _cannot_wait(self, inbound: Inbound) -> str:
        if inbound.message.kind == "notification":
            return "a call without an id cannot wait for an operator"
        return "too many calls are waiting for an operator" if self._core.holds.full else ""

    def _remember_ms(self, verdict: Verdict) -> int:
        policy = verdict.engine.policy
        return 0 if policy is None else policy.document.approval_remember_ms

    async def _ruling(self, inbound: Inbound, flight: Flight, hold: Hold) -> Ruling:
        notice_s, count = self._core.config.limits.hold_notice_ms / 1000, 0
        while True:
            with flight:
                await asyncio.wait((hold.ruling,), timeout=notice_s)
            if hold.ruling.done():
                return hold.ruling.result()
            count += 1
            await self._notice(inbound, count)

    async def _notice(self, inbound: Inbound, count: int) -> None:
        """Show the client that its call is alive, so that it does not give up."""
        accept = one(inbound.headers, b"accept")
        if "text/event-stream" not in accept and "*/*" not in accept:
            return
        if not inbound.ex.streaming:
            await inbound.ex.begin()
        meta = inbound.message.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        if token is None:
            await inbound.ex.write(sse.KEEPALIVE)
            return
        params: dict[str, Json] = {
            "progressToken": token,
            "progress": count / 1000,
            "message": "Waiting for an operator to approve this call",
        }
        note: dict[str, Json] = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        await inbound.ex.write(sse.event(encode(note)))

    async def _end(self, verdict: Verdict, record: CallRecord, ruling: Ruling) -> CallRecord:
        now = self._core.ports.now_ms()
        row = replace(record, at_ms=now, held_ms=max(0, now - record.at_ms), approved_by=ruling.by, seq=0)
        if ruling.how == "approved":
            verdict.decision = self._judging.again(verdict, record.upstream)
            if verdict.pending is not None:
                await self._judging.charge(verdict, verdict.pending)
            return await self._book.intend(_judged(row, verdict))
        denial = ruling.denial or _denial(record, ruling, self._remember_ms(verdict))
        verdict.denial_ = denial
        refused = replace(row, decision="deny", rule=denial.rule, reason=denial.reason, message=PREFIX + denial.message)
        return await self._book.intend(refused)


def _judged(row: CallRecord, verdict: Verdict) -> CallRecord:
    decision = verdict.decision
    return replace(
        row,
        decision=decision.verdict,
        rule=decision.rule,
        reason=decision.reason or f"approved by {row.approved_by}",
        policy=decision.policy,
        message=PREFIX + decision.message if decision.verdict == "deny" else "",
        would_deny=decision.would_deny,
        counters=decision.counters,
        charges=decision.charges,
        steps=decision.steps,
    )


def _denial(record: CallRecord, ruling: Ruling, remember_ms: int) -> Denial:
    if ruling.how == "refused":
        said = f": {ruling.reason}" if ruling.reason else ""
        who = f"refused by {ruling.by}" if ruling.by else "refused"
        return Denial(record.rule, who + said, f"An operator refused this call{said}", record.policy)
    if ruling.how == "timeout":
        message = (
            "This call needs an operator's approval and none came in time. Ask for it, then send exactly the same "
        )
        return Denial(
            record.rule, _REASON["timeout"], f"{message}call again within {_duration(remember_ms)}.", record.policy
        )
    return Denial(
        record.rule, _REASON[ruling.how], "This call was stopped while it waited for approval.", record.policy
    )


def _duration(ms: int) -> str:
    minutes, seconds = divmod(ms // 1000, 60)
    return f"{minutes} min" if minutes and not seconds else f"{ms // 1000} s"
