"""What became of a forwarded call: exactly one outcome, written before the answer is released, however late it is."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from mcpwatch.errors import AuditError
from mcpwatch.events import CallRecord, OutcomeKind
from mcpwatch.gateway.book import Book
from mcpwatch.gateway.core import Core, Inbound
from mcpwatch.gateway.flights import Flight
from mcpwatch.gateway.judging import Judging, Verdict
from mcpwatch.gateway.names import CALL
from mcpwatch.gateway.replies import error
from mcpwatch.gateway.wire import INTERNAL_ERROR
from mcpwatch.policy.values import Json

_UNRECORDED = (
    "The call was made, but what came of it could not be recorded, so its answer is withheld. Do not repeat it."
)
_TASKS = 10_000
_TASK_END: dict[str, OutcomeKind] = {"completed": "ok", "failed": "tool_error", "cancelled": "cancelled"}


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is left of a call while its task goes on: many may be open for long, so nothing of its message is kept."""

    call_id: str
    arrived: float


class Tasks:
    """Calls that go on as tasks: their record is settled by what a later `tasks/get` or `tasks/result` says.

    Sources: MCP 2025-11-25, tasks; SEP-2663, the tasks extension of 2026-07-28.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._open: OrderedDict[tuple[str, str, str], _Begun] = OrderedDict()
        self._owners: OrderedDict[tuple[str, str], str] = OrderedDict()

    def is_anothers(self, inbound: Inbound) -> bool:
        """Whether a message is about a task that a call of another grant began: servers cannot tell grants apart."""
        owner = self._owners.get((inbound.upstream, str(inbound.message.params.get("taskId"))))
        return owner is not None and owner != inbound.grant.label

    def began(self, inbound: Inbound, task_id: str, call_id: str) -> None:
        """A call was answered with a task."""
        self._open[inbound.upstream, inbound.grant.label, task_id] = _Begun(call_id, inbound.arrived)
        self._owners[inbound.upstream, task_id] = inbound.grant.label
        for table in (self._open, self._owners):
            if len(table) > _TASKS:
                table.popitem(last=False)

    async def told(self, inbound: Inbound, result: dict[str, Json], kind: OutcomeKind, size: int) -> None:
        """An answer about a task is about to be released; `kind` is what it would be as the answer of a call."""
        key = inbound.upstream, inbound.grant.label, str(inbound.message.params.get("taskId"))
        ended = kind if inbound.message.method == "tasks/result" else _end_of(inbound.message.method, result)
        begun = self._open.pop(key, None) if ended is not None else None
        if begun is not None and ended is not None:
            # When the record cannot be written now, the answer about the task cannot be either, and is withheld.
            with suppress(AuditError):
                await self._book.settle(begun.call_id, ended, begun.arrived, size)


def _end_of(method: str, result: dict[str, Json]) -> OutcomeKind | None:
    """How the task ended by an answer about it, None when it goes on."""
    status, inner = result.get("status"), result.get("result")
    if method == "tasks/cancel" and status is None:
        return "cancelled"
    if isinstance(inner, dict) and inner.get("isError") is True:
        return "tool_error"
    return "rpc_error" if isinstance(result.get("error"), dict) else _TASK_END.get(str(status))


class Settler:
    """Writes the one outcome of one forwarded call. `sent` is set when it is on its way to the upstream."""

    def __init__(
        self,
        core: Core,
        book: Book,
        judging: Judging,
        tasks: Tasks,
        inbound: Inbound,
        flight: Flight,
        verdict: Verdict,
        record: CallRecord,
    ) -> None:
        self._core = core
        self._book = book
        self._judging = judging
        self._tasks = tasks
        self._inbound = inbound
        self._flight = flight
        self._record = record
        self.verdict = verdict
        self.sent = False
        self.done = False

    async def final(self, answer: dict[str, Json] | None, size: int, status: int) -> bytes | None:
        """The answer is here: record what it is before it is released; bytes to release instead."""
        result = None if answer is None else answer.get("result")
        kind = self._kind(answer, status)
        if isinstance(result, dict):
            if self._goes_on(result):
                return None
            if self._inbound.message.method.startswith("tasks/"):
                await self._tasks.told(self._inbound, result, kind, size)
        if await self.settle(kind, size, "" if status < 300 else f"HTTP status {status}"):
            return None
        return error(self._inbound.message.id, INTERNAL_ERROR, _UNRECORDED)

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

    async def not_sent(self, text: str) -> None:
        """Nothing of the call reached the upstream, so it counts nothing."""
        self.verdict.engine.refund(self._record.charges)
        await self.settle("not_sent", 0, text)

    def resumable(self) -> bool:
        """The stream broke off, but the client may ask for the rest: the outcome waits for that, for a while."""
        session, message = self._inbound.session, self._inbound.message
        if session is None:
            return False
        session.pending[message.id] = self.final
        wait_s = self._core.config.limits.call_timeout_ms / 1000
        asyncio.get_running_loop().call_later(wait_s, lambda: self._core.background(self._never_resumed()))
        return True

    async def _never_resumed(self) -> None:
        session = self._inbound.session
        if session is not None and not self.done:
            session.pending.pop(self._inbound.message.id, None)
            await self.settle("unknown", 0, "the stream ended before the answer and was not resumed")

    def _kind(self, answer: dict[str, Json] | None, status: int) -> OutcomeKind:
        result = None if answer is None else answer.get("result")
        if isinstance(result, dict):
            return "tool_error" if result.get("isError") is True else "ok"
        if answer is not None and "error" in answer:
            return "cancelled" if self._flight.cancelling else "rpc_error"
        return "ok" if status < 300 else "transport_error"

    def _goes_on(self, result: dict[str, Json]) -> bool:
        """Whether the call is not over with this answer: it became a task. One that needs input is settled as it is."""
        message = self._inbound.message
        if message.method != CALL:
            return False
        if "requestState" in result and self._inbound.modern:
            self._judging.remember_state(self._inbound, self.verdict, self._record, result["requestState"])
        if self._inbound.modern:
            task_id = result.get("taskId") if result.get("resultType") == "task" else None
        else:
            task = result.get("task")
            task_id = task.get("taskId") if isinstance(task, dict) and "task" in message.params else None
        if not isinstance(task_id, str):
            return False
        self._tasks.began(self._inbound, task_id, self._record.call_id)
        return True
