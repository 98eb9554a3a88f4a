"""Calls that wait for an operator: parked without blocking others, decided once, remembered for a while.

An approval is bound to the caller, the tool, the rule that held the call and, unless it is to be remembered, the exact
arguments. One that comes after the wait was over is good for one identical retry.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.events import CallRecord, Event, HoldClosed, HoldOpened
from mcpwatch.gateway.ports import Ports
from mcpwatch.gateway.replies import Denial
from mcpwatch.policy.values import Decision, ToolCall

How = Literal["approved", "refused", "timeout", "cancelled", "client_gone", "policy", "frozen"]
_KEPT = 10_000
_LATE_BYTES = 32 * 1024 * 1024
"""Arguments of all calls whose callers stopped waiting; the oldest are forgotten, and then can no more be approved."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """How a wait ended. `by` and `reason` are the operator's; `denial` when the policy or a freeze ended it."""

    how: How
    by: str = ""
    reason: str = ""
    denial: Denial | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    by: str
    until_ms: int


@dataclass(slots=True, eq=False)
class Hold:
    """One held call. `expires_at_ms` is when its caller stops waiting; `late` from then on. `size`: its arguments."""

    record: CallRecord
    call: ToolCall
    rule: str
    opened_ms: int
    expires_at_ms: int
    remember_ms: int
    ruling: asyncio.Future[Ruling]
    late: bool = False
    size: int = 0


class Holds:
    """All held calls of the gateway, by call id."""

    def __init__(self, ports: Ports, most: int) -> None:
        self._ports = ports
        self._most = most
        self._waiting: dict[str, Hold] = {}
        self._late: OrderedDict[str, Hold] = OrderedDict()
        self._late_bytes = 0
        self._approved: dict[tuple[str, ...], Approval] = {}

    def waiting(self) -> list[Hold]:
        """Held calls whose callers wait, oldest first."""
        return list(self._waiting.values())

    def late(self) -> list[Hold]:
        """Calls whose callers stopped waiting; approved now, one identical retry passes."""
        now = self._ports.now_ms()
        for call_id, hold in list(self._late.items()):
            if now > hold.expires_at_ms + hold.remember_ms:
                self._forget(call_id)
        return list(self._late.values())

    @property
    def full(self) -> bool:
        """Whether no further call can be held."""
        return len(self._waiting) >= self._most

    def open(self, record: CallRecord, call: ToolCall, decision: Decision, remember_ms: int) -> Hold:
        """Park a call; its `ruling` is set by `decide`, by `end` or when its time is over."""
        loop = asyncio.get_running_loop()
        now, wait_ms = self._ports.now_ms(), decision.hold_timeout_ms or 0
        hold = Hold(record, call, decision.rule, now, now + wait_ms, remember_ms, loop.create_future())
        self._waiting[record.call_id] = hold
        timer = loop.call_later(wait_ms / 1000, self.end, hold, Ruling("timeout"))
        hold.ruling.add_done_callback(lambda _: timer.cancel())
        self._ports.publish(HoldOpened(now, record.call_id, hold.expires_at_ms))
        return hold

    def end(self, hold: Hold, ruling: Ruling) -> None:
        """End a wait that nobody ended before."""
        if hold.ruling.done():
            return
        hold.ruling.set_result(ruling)
        self._waiting.pop(hold.record.call_id, None)
        if ruling.how in ("timeout", "client_gone"):
            self._keep_late(hold)
        self._ports.publish(self._closed(hold, ruling))

    def _keep_late(self, hold: Hold) -> None:
        hold.late, hold.size = True, len(_canonical(hold.call))
        self._late[hold.record.call_id] = hold
        self._late_bytes += hold.size
        while len(self._late) > _KEPT or self._late_bytes > _LATE_BYTES:
            self._forget(next(iter(self._late)))

    def _forget(self, call_id: str) -> Hold | None:
        hold = self._late.pop(call_id, None)
        self._late_bytes -= 0 if hold is None else hold.size
        return hold

    async def decide(
        self, call_id: str, *, approve: bool, by: str = "", reason: str = "", remember: bool = False
    ) -> None:
        """The operator's word on a call. Raises ConfigError when it waits no longer; the first word counts.

        `remember`: also every further call of the same caller to the same tool that the same rule would hold, for as
        long as the policy's `approvals.remember` says.
        """
        hold = self._waiting.get(call_id) or self._forget(call_id)
        if hold is None or (hold.late and hold.expires_at_ms + hold.remember_ms < self._ports.now_ms()):
            raise ConfigError("that call is not waiting", "It was decided, or its time is over.")
        ruling = Ruling("approved" if approve else "refused", by, reason)
        if approve and (remember or hold.late):
            key = self._key(hold.record.upstream, hold.call, hold.rule, exact=not remember)
            self._remember(key, Approval(by, self._ports.now_ms() + hold.remember_ms))
        if hold.late:
            self._ports.publish(self._closed(hold, ruling))
        else:
            self.end(hold, ruling)
        await self.note(self._closed(hold, ruling))

    def approval(self, upstream: str, call: ToolCall, rule: str) -> Approval | None:
        """The operator's standing word for a call that `rule` holds; one for this very call is used up by asking."""
        now = self._ports.now_ms()
        exact = self._key(upstream, call, rule, exact=True)
        found = self._approved.pop(exact, None) or self._approved.get(self._key(upstream, call, rule, exact=False))
        return found if found is not None and found.until_ms >= now else None

    async def note(self, event: Event) -> None:
        """Write an event to the audit; when that fails, the rows of the call fail too and refuse it."""
        with contextlib.suppress(AuditError):
            await self._ports.journal.note(event)

    def _closed(self, hold: Hold, ruling: Ruling) -> HoldClosed:
        return HoldClosed(self._ports.now_ms(), hold.record.call_id, ruling.how, ruling.by)

    def _remember(self, key: tuple[str, ...], approval: Approval) -> None:
        now = self._ports.now_ms()
        for old in [k for k, known in self._approved.items() if known.until_ms < now]:
            del self._approved[old]
        if len(self._approved) < _KEPT:
            self._approved[key] = approval

    @staticmethod
    def _key(upstream: str, call: ToolCall, rule: str, *, exact: bool) -> tuple[str, ...]:
        arguments = digest_of(call) if exact else ""
        return upstream, call.caller.grant, call.caller.client, call.tool, rule, arguments


def digest_of(call: ToolCall) -> str:
    """The same for calls with the same arguments, whatever the order of their keys."""
    return hashlib.sha256(_canonical(call).encode()).hexdigest()


def _canonical(call: ToolCall) -> str:
    return json.dumps(call.args, sort_keys=True, separators=(",", ":"))
