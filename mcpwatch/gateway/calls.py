"""The way of everything that is recorded: judge, write the decision, forward, write the outcome, release the answer."""

from __future__ import annotations

from dataclasses import replace

from mcpwatch.errors import AuditError
from mcpwatch.events import CallRecord, OutcomeKind
from mcpwatch.gateway.book import Book, audit_denial
from mcpwatch.gateway.core import Core, Inbound
from mcpwatch.gateway.deliver import Delivery
from mcpwatch.gateway.flights import Flight, GivenUp, Why
from mcpwatch.gateway.freeze import RULE as FROZEN
from mcpwatch.gateway.judging import Judging, Verdict
from mcpwatch.gateway.link import UpstreamError
from mcpwatch.gateway.replies import Denial, denied, denied_method, error
from mcpwatch.gateway.waiting import Waiting
from mcpwatch.gateway.wire import INTERNAL_ERROR, INVALID_PARAMS, REQUEST_TIMEOUT
from mcpwatch.policy.values import Charge, Json

_CANCELLED = -32800
_OUTCOME: dict[Why, OutcomeKind] = {
    "timeout": "timeout",
    "cancelled": "cancelled",
    "client_gone": "client_gone",
    "frozen": "cancelled",
    "stopping": "unknown",
}
_UNRECORDED = (
    "The call was made, but what came of it could not be recorded, so its answer is withheld. Do not repeat it."
)


class Calls:
    """Judged messages of one gateway."""

    def __init__(self, core: Core, book: Book) -> None:
        self._core = core
        self._book = book
        self._judging = Judging(core)
        self._waiting = Waiting(core, book, self._judging)

    async def tool(self, inbound: Inbound, flight: Flight) -> None:
        """Answer one `tools/call`, whatever its id."""
        verdict = self._judging.tool(inbound)
        tool = verdict.call.tool
        record = self._book.row(inbound, verdict.call.caller, tool, verdict.call.args, verdict.decision)
        if verdict.approved_by:
            record = replace(record, approved_by=verdict.approved_by)
        try:
            record = await self._book.intend(record)
            if verdict.decision.verdict == "hold":
                record = await self._waiting.out(inbound, flight, verdict, record)
        except AuditError as fault:
            verdict.engine.refund(verdict.decision.charges)
            await self._refuse(inbound, audit_denial(fault))
            return
        except GivenUp as given_up:
            await self._answer_given_up(inbound, given_up.why)
            return
        if record.decision == "deny":
            await self._refuse(inbound, verdict.denial())
            return
        await self._forward(inbound, flight, verdict, record)

    async def target(self, inbound: Inbound, flight: Flight, args: dict[str, Json]) -> None:
        """Answer another method that is judged or at least recorded; `args` is what it is about."""
        verdict = self._judging.target(inbound, args)
        record = self._book.row(inbound, verdict.call.caller, "", args, verdict.decision)
        try:
            record = await self._book.intend(record)
        except AuditError as fault:
            await self._refuse(inbound, audit_denial(fault))
            return
        if record.decision == "deny":
            await self._refuse(inbound, verdict.denial())
            return
        await self._forward(inbound, flight, verdict, record)

    async def _forward(self, inbound: Inbound, flight: Flight, verdict: Verdict, record: CallRecord) -> None:
        settler = _Settler(self._book, self._judging, inbound, flight, verdict, record)
        delivery = Delivery(
            self._core,
            inbound.ex,
            verdict.engine,
            inbound.upstream,
            inbound.grant.label,
            session=inbound.session,
            message_id=inbound.message.id,
            method=inbound.message.method,
            on_final=settler.final,
        )
        try:
            with flight:
                answer = await inbound.link.send(inbound.request())
            await delivery.run(answer, flight)
            if settler.done:
                await inbound.ex.end()
            else:
                await self._ended_early(inbound, flight, delivery, settler)
        except UpstreamError as fault:
            await self._upstream_failed(inbound, settler, record.charges, fault)
        except GivenUp as given_up:
            await self._given_up(inbound, settler, given_up.why)

    async def _ended_early(self, inbound: Inbound, flight: Flight, delivery: Delivery, settler: _Settler) -> None:
        """A stream ended before its answer; one of the handshake revisions may be resumed."""
        text = f'Upstream "{inbound.upstream}" ended the answer before it was whole'
        resumable = delivery.resumable and not inbound.modern
        kind: OutcomeKind = "cancelled" if flight.cancelling else "unknown"
        if await settler.settle(kind, 0, text) and not resumable:
            await inbound.ex.message(error(inbound.message.id, INTERNAL_ERROR, text))
        await inbound.ex.end()

    async def _upstream_failed(
        self, inbound: Inbound, settler: _Settler, charges: tuple[Charge, ...], fault: UpstreamError
    ) -> None:
        if settler.done:
            await inbound.ex.end()
            return
        if not fault.sent:
            settler.verdict.engine.refund(charges)
        await settler.settle("unknown" if fault.sent else "not_sent", 0, fault.error)
        await answer_unreachable(inbound, fault)

    async def _given_up(self, inbound: Inbound, settler: _Settler, why: Why) -> None:
        if settler.done:
            await inbound.ex.end()
            return
        kind = "cancelled" if why == "client_gone" and inbound.modern else _OUTCOME[why]
        await settler.settle(kind, 0, "" if why != "frozen" else "frozen while it ran")
        if why in ("timeout", "frozen"):
            cancel_upstream(self._core, inbound)
        await self._answer_given_up(inbound, why)

    async def _answer_given_up(self, inbound: Inbound, why: Why) -> None:
        await answer_given_up(inbound, why, self._core.config.limits.call_timeout_ms)

    async def _refuse(self, inbound: Inbound, denial: Denial) -> None:
        message = inbound.message
        if message.kind == "notification":
            await inbound.ex.reply(202, [])
        elif message.method == "tools/call":
            await inbound.ex.message(denied(message.id, denial, modern=inbound.modern))
        else:
            await inbound.ex.message(denied_method(message.id, denial, INVALID_PARAMS))


class _Settler:
    """Writes the one outcome of one forwarded call."""

    def __init__(
        self, book: Book, judging: Judging, inbound: Inbound, flight: Flight, verdict: Verdict, record: CallRecord
    ) -> None:
        self._flight = flight
        self._book = book
        self._judging = judging
        self._inbound = inbound
        self._record = record
        self.verdict = verdict
        self.done = False

    async def final(self, answer: dict[str, Json] | None, size: int, status: int) -> bytes | None:
        """The answer is here: record what it is before it is released."""
        if await self.settle(self._kind(answer, status), size, "" if status < 400 else f"HTTP status {status}"):
            return None
        return error(self._inbound.message.id, INTERNAL_ERROR, _UNRECORDED)

    def _kind(self, answer: dict[str, Json] | None, status: int) -> OutcomeKind:
        result = None if answer is None else answer.get("result")
        if isinstance(result, dict):
            if "requestState" in result and self._inbound.modern:
                self._judging.remember_state(self._inbound, self.verdict, self._record, result["requestState"])
            return "tool_error" if result.get("isError") is True else "ok"
        if answer is not None and "error" in answer:
            return "cancelled" if self._flight.cancelling else "rpc_error"
        return "ok" if status < 400 else "transport_error"

    async def settle(self, kind: OutcomeKind, size: int, text: str = "") -> bool:
        """Record the outcome, once. False when that failed: then the answer must not go out."""
        if self.done:
            return True
        self.done = True
        try:
            await self._book.settle(self._record.call_id, kind, self._inbound.arrived, size, text)
        except AuditError:
            return False
        return True


async def answer_unreachable(inbound: Inbound, fault: UpstreamError) -> None:
    """Tell the caller that the upstream did not answer. Its own words may hold secrets and stay with the operator."""
    what = "The request may have been carried out" if fault.sent else "The request was not sent"
    text = f'Upstream "{inbound.upstream}" is not available. {what}.'
    if inbound.message.kind == "request":
        await inbound.ex.message(error(inbound.message.id, INTERNAL_ERROR, text))
    else:
        await inbound.ex.message(error(None, INTERNAL_ERROR, text), 502)


async def answer_given_up(inbound: Inbound, why: Why, call_timeout_ms: int) -> None:
    """The answer of the gateway itself to a request that was ended early; none to a caller who is gone."""
    message_id = inbound.message.id
    if why == "client_gone":
        await inbound.ex.end()
    elif why == "timeout":
        text = f'Upstream "{inbound.upstream}" did not answer within {call_timeout_ms / 1000:g} s'
        await inbound.ex.message(error(message_id, REQUEST_TIMEOUT, text))
    elif why == "cancelled":
        await inbound.ex.message(error(message_id, _CANCELLED, "The request was cancelled"))
    elif why == "frozen":
        denial = Denial(FROZEN, "frozen while it ran", "The operator stopped this call while it ran. Do not repeat it.")
        await inbound.ex.message(denied(message_id, denial, modern=inbound.modern))
    else:
        await inbound.ex.message(error(message_id, INTERNAL_ERROR, "The gateway is stopping"))


def cancel_upstream(core: Core, inbound: Inbound) -> None:
    """Tell an upstream of the handshake revisions that nobody waits any longer; in the modern era closing says it."""
    if inbound.session is not None and inbound.message.kind == "request":
        params: dict[str, Json] = {"requestId": inbound.message.id, "reason": "no answer in time"}
        core.tell_upstream(inbound.session, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


__all__ = ["Calls", "answer_given_up", "answer_unreachable", "cancel_upstream"]
