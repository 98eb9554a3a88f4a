"""Asks freeze, policy and standing approvals, in this order, and keeps one call one call over its retries."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace

from mcpwatch.errors import CountersError
from mcpwatch.events import CallRecord
from mcpwatch.gateway.core import Core, Inbound
from mcpwatch.gateway.holds import digest_of
from mcpwatch.gateway.names import CLIENT_METHODS
from mcpwatch.gateway.replies import Denial
from mcpwatch.gateway.wire import Message, encode
from mcpwatch.policy.demands import Pending
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Charge, Decision, Json, ToolCall

_STATES = 10_000
_JUDGED_RESOURCES = ("resources/read", "resources/subscribe")


@dataclass(slots=True)
class Verdict:
    """A judged call. `denial_` overrides what the decision says when something beside the policy refused.

    `pending`: only shared counters can still refuse it, and the decision stands after they were asked (`charge`).
    """

    call: ToolCall
    engine: Engine
    decision: Decision
    approved_by: str = ""
    denial_: Denial | None = None
    pending: Pending | None = None
    counted: tuple[Charge, ...] = ()

    def denial(self) -> Denial:
        return self.denial_ or Denial.of(self.decision)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An answer `input_required` went to a caller: what the call was charged, and what an operator approved."""

    charges: tuple[Charge, ...]
    approved: str
    approved_by: str


class Judging:
    """The judge of one gateway."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._states: OrderedDict[tuple[str, ...], _Asked] = OrderedDict()

    def tool(self, inbound: Inbound) -> Verdict:
        """Judge and charge a tool call, in one step without waiting."""
        params = inbound.message.params
        name, args = params["name"], params.get("arguments", {})
        assert isinstance(name, str)
        assert isinstance(args, dict)
        call = ToolCall(inbound.caller(), name, args)
        engine = self._core.engine(inbound)
        frozen = self._core.freeze.judge(call.caller.grant, name)
        if frozen is not None:
            return Verdict(call, engine, _frozen(frozen, engine), denial_=frozen)
        asked = self._asked(inbound, call)
        if engine.shared is not None:
            verdict = self._begin(engine, call, asked)
        else:
            verdict = Verdict(call, engine, self._admit(engine, call, asked))
        return verdict if verdict.decision.verdict != "hold" else self._held(inbound, verdict, asked)

    async def charge(self, verdict: Verdict, pending: Pending) -> None:
        """Ask the shared counters, which makes the decision of a call that only they could still refuse."""
        shared = verdict.engine.shared
        assert shared is not None
        verdict.pending = None
        try:
            decision = pending.conclude(await shared.ask(pending.demands, verdict.counted))
        except CountersError as fault:
            decision = pending.unanswered(str(fault))
        # What was counted when the call was first sent is counted, and given back, as that call's.
        verdict.decision = replace(decision, charges=()) if verdict.counted else decision

    def again(self, verdict: Verdict, upstream: str) -> Decision:
        """Judge and charge a call that an operator approved, on what is in force now."""
        frozen = self._core.freeze.judge(verdict.call.caller.grant, verdict.call.tool)
        if frozen is not None:
            verdict.denial_ = frozen
            return _frozen(frozen, verdict.engine)
        verdict.engine = self._core.ports.engine_for(upstream, verdict.call.caller.grant)
        if verdict.engine.shared is not None:
            begun = self._begin(verdict.engine, verdict.call, None, approved=True)
            verdict.pending, verdict.counted = begun.pending, ()
            return begun.decision
        return verdict.engine.admit(verdict.call, self._core.ports.now_ms(), approved=True)

    def target(self, inbound: Inbound, args: dict[str, Json]) -> Verdict:
        """Judge another method than a tool call. Nothing is charged."""
        method, engine, caller = inbound.message.method, self._core.engine(inbound), inbound.caller()
        call = ToolCall(caller, "", args)
        frozen = self._core.freeze.judge(caller.grant)
        if frozen is not None:
            return Verdict(call, engine, _frozen(frozen, engine), denial_=frozen)
        if method in _JUDGED_RESOURCES:
            return Verdict(call, engine, engine.judge_resource(_text(args["uri"])))
        if method == "subscriptions/listen":
            judged = [engine.judge_resource(uri) for uri in wanted_resources(inbound.message)]
            denied = next((decision for decision in judged if decision.verdict == "deny"), None)
            return Verdict(call, engine, denied or judged[0])
        if method == "prompts/get":
            return Verdict(call, engine, engine.judge_prompt(_text(args["name"])))
        assert method in CLIENT_METHODS or self.allows_unknown(engine)
        return Verdict(call, engine, Decision("allow", "", "", "", _digest(engine)))

    @staticmethod
    def allows_unknown(engine: Engine) -> bool:
        """Whether methods that MCP does not know may pass."""
        return engine.policy is not None and engine.policy.document.default == "allow"

    def remember_state(self, inbound: Inbound, verdict: Verdict, record: CallRecord, state: Json) -> None:
        """The upstream wants more input for this call: the same caller's retry with this state is the same call."""
        key = _state_key(inbound.upstream, verdict.call, state)
        approved = digest_of(verdict.call) if record.approved_by else ""
        self._states[key] = _Asked(verdict.decision.charges, approved, record.approved_by)
        if len(self._states) > _STATES:
            self._states.popitem(last=False)

    def _asked(self, inbound: Inbound, call: ToolCall) -> _Asked | None:
        state = inbound.message.params.get("requestState")
        if state is None or not inbound.modern:
            return None
        return self._states.pop(_state_key(inbound.upstream, call, state), None)

    def _admit(self, engine: Engine, call: ToolCall, asked: _Asked | None, *, approved: bool = False) -> Decision:
        now = self._core.ports.now_ms()
        if asked is None or not asked.charges:
            return engine.admit(call, now, approved=approved)
        # The retry was counted when it was first sent: judge it with that taken back, then count that again.
        engine.refund(asked.charges)
        decision = engine.admit(call, now, approved=approved)
        engine.refund(decision.charges)
        engine.restore(asked.charges)
        return replace(decision, charges=())

    def _begin(self, engine: Engine, call: ToolCall, asked: _Asked | None, *, approved: bool = False) -> Verdict:
        """The same as far as that needs no counter that others share."""
        begun = engine.begin(call, approved=approved)
        if isinstance(begun, Pending):
            counted = () if asked is None else asked.charges
            return Verdict(call, engine, begun.unasked(), pending=begun, counted=counted)
        return Verdict(call, engine, begun)

    def _held(self, inbound: Inbound, verdict: Verdict, asked: _Asked | None) -> Verdict:
        """The policy wants an operator; perhaps one has spoken already."""
        call, decision = verdict.call, verdict.decision
        by = asked.approved_by if asked is not None and asked.approved == digest_of(call) else ""
        approval = None if by else self._core.holds.approval(inbound.upstream, call, decision.rule)
        if not by and approval is None:
            return verdict
        verdict.approved_by = by or (approval.by if approval else "")
        if verdict.engine.shared is not None:
            return replace(self._begin(verdict.engine, call, asked, approved=True), approved_by=verdict.approved_by)
        verdict.decision = self._admit(verdict.engine, call, asked, approved=True)
        return verdict


def wanted_resources(message: Message) -> list[str]:
    """The resources a `subscriptions/listen` of 2026-07-28 wants to hear of; [] for other messages."""
    wanted = message.params.get("notifications") if message.method == "subscriptions/listen" else None
    uris = wanted.get("resourceSubscriptions") if isinstance(wanted, dict) else None
    return [uri for uri in uris if isinstance(uri, str)] if isinstance(uris, list) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _state_key(upstream: str, call: ToolCall, state: Json) -> tuple[str, ...]:
    caller = call.caller
    return upstream, caller.grant, caller.client, call.tool, hashlib.sha256(encode(state)).hexdigest()


def _frozen(denial: Denial, engine: Engine) -> Decision:
    return Decision("deny", denial.rule, denial.reason, denial.message, _digest(engine))


def _digest(engine: Engine) -> str:
    return "" if engine.policy is None else engine.policy.digest
