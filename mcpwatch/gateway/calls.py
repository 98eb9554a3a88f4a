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
from mcpwatch.gateway.link import LoginNeeded, UpstreamError
from mcpwatch.gateway.replies import Denial, denied, denied_method, error
from mcpwatch.gateway.settling import Settler, Tasks
from mcpwatch.gateway.waiting import Waiting
from mcpwatch.gateway.wire import INTERNAL_ERROR, INVALID_PARAMS, REQUEST_TIMEOUT
from mcpwatch.policy.values import Json

_CANCELLED = -32800
_OUTCOME: dict[Why, OutcomeKind] = {
    "timeout": "timeout",
    "cancelled": "cancelled",
    "client_gone": "client_gone",
    "frozen": "cancelled",
    "stopping": "unknown",
}


class Calls:
    """Judged messages of one gateway."""

    def __init__(self, core: Core, book: Book) -> None:
        self._core = core
        self._book = book
        self._judging = Judging(core)
        self._tasks = Tasks(book)
        self._waiting = Waiting(core, book, self._judging)

    async def tool(self, inbound: Inbound, flight: Flight) -> None:
        """Answer one `tools/call`, whatever its id."""
        verdict = self._judging.tool(inbound)
        if verdict.pending is not None:
            await self._judging.charge(verdict, verdict.pending)
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
        if inbound.message.method.startswith("tasks/") and self._tasks.is_anothers(inbound):
            await self._no_such_task(inbound)
            return
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

    async def _no_such_task(self, inbound: Inbound) -> None:
        message, text = inbound.message, "Task not found"
        await self._book.reject(
            inbound.upstream, inbound.grant.label, "(unknown task)", "a task of another grant", method=message.method
        )
        await inbound.ex.message(error(message.id, INVALID_PARAMS, text))

    async def _forward(self, inbound: Inbound, flight: Flight, verdict: Verdict, record: CallRecord) -> None:
        settler = Settler(self._core, self._book, self._judging, self._tasks, inbound, flight, verdict, record)
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
                settler.sent = True
                answer = await inbound.link.send(inbound.request())
            await delivery.run(answer, flight)
            if delivery.answered:
                await inbound.ex.end()
            else:
                await self._ended_early(inbound, flight, delivery, settler)
        except UpstreamError as fault:
            await self._upstream_failed(inbound, settler, delivery, fault)
        except GivenUp as given_up:
            await self._given_up(inbound, settler, delivery, given_up.why)

    async def _ended_early(self, inbound: Inbound, flight: Flight, delivery: Delivery, settler: Settler) -> None:
        """A stream ended before its answer; one of the handshake revisions may be resumed."""
        text = f'Upstream "{inbound.upstream}" ended the answer before it was whole'
        if flight.cancelling:
            await settler.settle("cancelled", 0, text)
        elif delivery.resumable and not inbound.modern and settler.resumable():
            await inbound.ex.end()
            return
        else:
            await settler.settle("unknown", 0, text)
        await inbound.ex.message(error(inbound.message.id, INTERNAL_ERROR, text))

    async def _upstream_failed(
        self, inbound: Inbound, settler: Settler, delivery: Delivery, fault: UpstreamError
    ) -> None:
        if delivery.answered:
            await inbound.ex.end()
            return
        if fault.sent:
            await settler.settle("unknown", 0, fault.error)
        else:
            await settler.not_sent(fault.error)
        await answer_unreachable(inbound, fault)

    async def _given_up(self, inbound: Inbound, settler: Settler, delivery: Delivery, why: Why) -> None:
        if delivery.answered:
            await inbound.ex.end()
            return
        if not settler.sent:
            await settler.not_sent(f"ended before it was sent: {why}")
        elif why == "client_gone" and delivery.resumable and not inbound.modern and settler.resumable():
            return
        else:
            kind = "cancelled" if why == "client_gone" and inbound.modern else _OUTCOME[why]
            await settler.settle(kind, 0, "frozen while it ran" if why == "frozen" else "")
        if why in ("timeout", "frozen") and settler.sent:
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


async def answer_unreachable(inbound: Inbound, fault: UpstreamError) -> None:
    """Tell the caller that the upstream did not answer. Its own words may hold secrets and stay with the operator."""
    what = "The request may have been carried out" if fault.sent else "The request was not sent"
    text = f'Upstream "{inbound.upstream}" is not available. {what}.'
    if isinstance(fault, LoginNeeded):
        text = login_text(inbound.upstream, fault)
    if inbound.message.kind == "request":
        await inbound.ex.message(error(inbound.message.id, INTERNAL_ERROR, text))
    else:
        await inbound.ex.message(error(None, INTERNAL_ERROR, text), 502)


def login_text(upstream: str, fault: LoginNeeded) -> str:
    """What a caller is told of a login that only the operator can give."""
    remedy = f" Only its operator can help: {fault.remedy.rstrip('.')}." if fault.remedy else ""
    return f'Upstream "{upstream}" {fault.error}.{remedy} The request was not carried out.'


async def answer_given_up(inbound: Inbound, why: Why, call_timeout_ms: int) -> None:
    """The answer of the gateway itself to a request that was ended early; none to a caller who is gone."""
    message_id = inbound.message.id
    if why == "client_gone":
        await inbound.ex.end()
    elif inbound.message.kind != "request":
        await inbound.ex.reply(504, [])
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


__all__ = ["Calls", "answer_given_up", "answer_unreachable", "cancel_upstream", "login_text"]
