"""The audit log as the gateway and the service see it: record, and go on only when it is recorded."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Self

from mcpwatch.audit.chain import write_anchor
from mcpwatch.audit.recovery import Opening, explain, open_store, unfinished
from mcpwatch.audit.rows import call_entry, event_entry, outcome_entry
from mcpwatch.audit.store import Durability, Store
from mcpwatch.audit.writer import OnState, Writer, append_all
from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.events import AuditState, CallOutcome, CallRecord, Event
from mcpwatch.policy.values import Charge
from mcpwatch.records import charge_from_json

LEFT_OPEN = "the gateway stopped before the answer came"

_CHARGES = """SELECT c.upstream, charge.value
    FROM calls AS c INDEXED BY calls_charged JOIN rows AS r ON r.row = c.call_row,
        json_each(r.body, '$.charges') AS charge
    WHERE c.expires_ms > ?2 AND c.at_ms >= ?1 AND c.decision = 'allow' AND coalesce(c.outcome, '') <> 'not_sent'
        AND json_extract(charge.value, '$[4]') > ?2 - json_extract(charge.value, '$[2]')
    ORDER BY c.seq"""


class AuditLog:
    """One open audit file (`audit.db`, beside it `audit.head`); the only writer of it. Readers use `query`.

    While `state.state` is not `ok` every method that writes raises AuditError. The log is tried again with every call
    and every second; outcomes and events that could not be written are written then, decisions are not.
    """

    def __init__(self, opening: Opening, store: Store, on_state: OnState | None) -> None:
        self._now_ms = opening.now_ms
        self._path = opening.path
        self._store = store
        self._writer = Writer(opening, store, on_state)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        instance: str,
        durability: Durability = "normal",
        now_ms: Callable[[], int],
        on_state: OnState | None = None,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> Self:
        """Open or make the log; calls that an earlier process left unfinished get their outcome `unknown`.

        Raises AuditError when it cannot be opened or written. `factory` is what connects to SQLite.
        """
        opening = Opening(path, instance, durability, factory, now_ms)
        try:
            store = await open_store(opening, None)
            try:
                await append_all(store, await unfinished(store, (), now_ms(), "unknown", LEFT_OPEN))
                await store.index()
                await asyncio.to_thread(write_anchor, path, store.head, now_ms())
            except BaseException:
                await store.close()
                raise
        except (sqlite3.Error, OSError, ValueError, ConfigError) as fault:
            raise AuditError(explain(path, fault)) from fault
        return cls(opening, store, on_state)

    @property
    def state(self) -> AuditState:
        """`ok` or `failed`, since when, and why."""
        return self._writer.state

    @property
    def rows(self) -> int:
        """How many rows the chain has: decisions, outcomes and events."""
        return self._writer.head.row

    async def intend(self, record: CallRecord) -> int:
        """Commit a decision; returns the call's number, also when a held call is decided for good.

        Numbers have no gaps. Raises AuditError; then nothing may be forwarded.
        """
        entry = call_entry(record, self._writer.open_calls.get(record.call_id, 0))
        return await self._writer.commit(entry, record.call_id, record.decision)

    async def settle(self, outcome: CallOutcome) -> None:
        """Commit the outcome of an allowed call. The first one counts; a later one is a row, but changes no record.

        Raises AuditError; then the answer may not be released. Refused calls need no outcome.
        """
        entry = outcome_entry(outcome, self._writer.open_calls.get(outcome.call_id, 0))
        await self._writer.commit(entry, outcome.call_id)

    async def note(self, event: Event) -> None:
        """Commit an event that is no call; of a policy its whole text, too. ValueError for calls, AuditError."""
        await self._writer.commit(event_entry(event))

    async def restore_charges(self, since_ms: int) -> list[tuple[str, Charge]]:
        """What forwarded calls since `since_ms` counted, as (upstream, charge), oldest first.

        Charges whose window is over are left out. For the start, before calls come. Raises AuditError.
        """
        try:
            rows = await self._store.fetch(_CHARGES, (since_ms, self._now_ms()))
        except (sqlite3.Error, ValueError) as fault:
            raise AuditError(explain(self._path, fault)) from fault
        return [(upstream, charge_from_json(json.loads(charge))) for upstream, charge in rows]

    async def close(self) -> None:
        """Write what waits, put down the anchor, close the file. Later calls raise AuditError."""
        await self._writer.close()
