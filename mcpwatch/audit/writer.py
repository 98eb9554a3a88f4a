"""Group commit: everybody who waits shares one transaction, and shares its failure.

Rows that come in one turn of the event loop are one commit, made at its end. Where a commit may take long (durability
`full`, a lock of another program, housekeeping under way), the writer's task makes it in a thread, and rows gather
meanwhile. After a failure only the file knows what it holds, so it is opened again and read before anything else is
written.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from mcpwatch.audit.chain import Entry, Head, write_anchor
from mcpwatch.audit.recovery import Opening, explain, open_store, unfinished
from mcpwatch.audit.rows import CALL, outcome_entry
from mcpwatch.audit.schema import INDEX_STEP
from mcpwatch.audit.store import Store, is_busy
from mcpwatch.errors import AuditError
from mcpwatch.events import AuditState, CallOutcome

OnState = Callable[[AuditState], None]

BATCH = 64
"""Most rows of one commit: beyond it a row gets hardly cheaper (12 µs at 64, 10 at 256) and waits longer."""

TIDY_S = 0.05
ANCHOR_S = 60.0
ANCHOR_ROWS = 1000
ANCHOR_PAUSE_S = 1.0
"""Least time between two anchors: each makes the log durable, which under load would hold up the commits."""

CHECK_S = 1.0
"""How often the file is looked for under its name."""

RETRY_S = 1.0
QUICK_ROWS = 128
"""How many rows are indexed between two commits: about a millisecond."""

LOG_BYTES = 64 << 20
"""Size of the write-ahead log from which it is moved into the file: commits wait for the end of that, some 20 ms."""

OWED = 10_000
"""Most outcomes and events kept in memory for a log that cannot be written at the moment."""


@dataclass(slots=True)
class Waiting:
    """A row and who waits for it. `decision` is "" unless it is a call's."""

    entry: Entry
    call_id: str
    decision: str
    done: asyncio.Future[int]


class Writer:
    """The only writer of the store. `open_calls`: number by call id of what has a decision but no outcome yet."""

    def __init__(self, opening: Opening, store: Store, on_state: OnState | None) -> None:
        self.head = store.head
        self.state = AuditState(opening.now_ms(), "ok")
        self.open_calls: dict[str, int] = {}
        self._opening = opening
        self._store: Store | None = store
        self._on_state = on_state
        self._loop = asyncio.get_running_loop()
        self._pending: deque[Waiting] = deque()
        self._owed: deque[Entry] = deque(maxlen=OWED)
        self._wake = asyncio.Event()
        self._due = self._closing = self._resting = self._soon = False
        self._trouble: tuple[Exception, list[Waiting]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._anchored = store.head
        self._anchored_at = self._checked_at = self._loop.time()
        self._anchoring: asyncio.Task[None] | None = None
        self._moving: asyncio.Task[None] | None = None
        self._task = self._loop.create_task(self._run())

    async def commit(self, entry: Entry, call_id: str = "", decision: str = "") -> int:
        """Wait until the row is committed; returns its call number. Raises AuditError when it could not be."""
        if self._closing:
            raise AuditError("the audit is closed")
        done: asyncio.Future[int] = self._loop.create_future()
        self._pending.append(Waiting(entry, call_id, decision, done))
        if not self._resting:
            self._wake.set()
        elif not self._soon:
            self._soon = True
            self._loop.call_soon(self._flush_now)
        return await done

    async def close(self) -> None:
        """Write what waits, anchor the head and close the file."""
        self._closing = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        try:
            while self._pending or self._trouble or not self._closing:
                self._wake.clear()
                if self._trouble:
                    (fault, batch), self._trouble = self._trouble, None
                    # A lock of another program is waited for, in a thread.
                    await (self._commit(batch) if batch and is_busy(fault) else self._fail(fault, batch))
                elif self._pending and self._quick:
                    self._resting = True
                    self._flush_now()
                    self._resting = False
                elif self._pending:
                    await self._commit(self._batch())
                elif self._due:
                    self._due = False
                    await self._tidy()
                else:
                    self._resting = self._quick
                    await self._wake.wait()
                    self._resting = False
        finally:
            # Also when this task dies of something unforeseen: nobody may wait for a commit that never comes.
            self._closing, self._resting = True, False
            self._refuse(AuditError("the audit is closed"), self._trouble[1] if self._trouble else ())
            await self._finish()

    @property
    def _quick(self) -> bool:
        return self._store is not None and self._store.quick

    def _batch(self) -> list[Waiting]:
        return [self._pending.popleft() for _ in range(min(len(self._pending), BATCH))]

    def _flush_now(self) -> None:
        """Commit what came in this turn, while the task rests."""
        self._soon = False
        store = self._store
        while self._pending and self._resting and store is not None:
            batch = self._batch()
            try:
                self._look(store)
                seqs = store.append_now([waiting.entry for waiting in batch])
            except Exception as fault:  # whatever it is, nobody may go on without a row
                self._resting, self._trouble = False, (fault, batch)
                break
            self._acknowledged(store, batch, seqs)
            if store.behind >= QUICK_ROWS:
                self._index_now(store)
        if not self._resting:
            self._wake.set()

    def _index_now(self, store: Store) -> None:
        try:
            store.index_now(QUICK_ROWS)
            self._watch_log(store)
        except Exception as fault:
            self._resting, self._trouble = False, None if is_busy(fault) else (fault, [])

    async def _commit(self, batch: list[Waiting]) -> None:
        try:
            store = self._store or await self._reopen()
            self._look(store)
            seqs = await store.append([waiting.entry for waiting in batch])
        except Exception as fault:  # whatever it is, nobody may go on without a row
            await self._fail(fault, batch)
            return
        self._acknowledged(store, batch, seqs)
        await self._keep(store)

    def _acknowledged(self, store: Store, batch: list[Waiting], seqs: list[int]) -> None:
        self.head = store.head
        for waiting, seq in zip(batch, seqs, strict=True):
            self._acknowledge(waiting, seq)
        self._arm(TIDY_S)
        if self.head.row - self._anchored.row >= ANCHOR_ROWS:
            self._anchor(store, ANCHOR_PAUSE_S)

    def _acknowledge(self, waiting: Waiting, seq: int) -> None:
        if waiting.decision in ("allow", "hold"):
            self.open_calls[waiting.call_id] = seq
        elif waiting.call_id:
            self.open_calls.pop(waiting.call_id, None)
        if not waiting.done.done():
            waiting.done.set_result(seq)
        elif waiting.decision in ("allow", "hold"):
            # Whoever asked went away before the answer, so nothing was forwarded.
            gone = CallOutcome(waiting.call_id, self._opening.now_ms(), "not_sent", 0.0, 0, "the caller went away")
            self._pending.append(Waiting(outcome_entry(gone, seq), gone.call_id, "", waiting.done))

    async def _keep(self, store: Store) -> None:
        """Housekeeping that cannot wait for a quiet moment."""
        if store.behind < INDEX_STEP:
            return
        try:
            await store.index_step()
            await self._shorten(store)
        except Exception as fault:
            await self._fail(fault, ())

    async def _tidy(self) -> None:
        """Housekeeping of a quiet moment; while the log is failed, one try to open it again."""
        try:
            store = self._store or await self._reopen()
            self._look(store)
            while store.behind and not self._pending:
                await store.index_step()
            await self._shorten(store)
        except Exception as fault:
            await self._fail(fault, ())
            return
        if self.head.row != self._anchored.row:
            self._anchor(store, ANCHOR_S)
            self._arm(self._anchored_at + ANCHOR_S - self._loop.time())

    def _watch_log(self, store: Store) -> None:
        """Most of the log is moved beside the commits, what gathered meanwhile between two of them."""
        if self._moving is None:
            if store.log_bytes() > LOG_BYTES:
                self._moving = self._loop.create_task(store.checkpoint_beside())
        elif self._moving.done():
            self._due = True
            self._wake.set()

    async def _shorten(self, store: Store) -> None:
        if self._moving is None or not self._moving.done():
            self._watch_log(store)
        else:
            moved, self._moving = self._moving, None
            if moved.exception() is None:  # else the log grows for now; a commit that cannot be made says so itself
                await store.checkpoint()

    def _look(self, store: Store) -> None:
        now = self._loop.time()
        if now - self._checked_at < CHECK_S:
            return
        self._checked_at = now
        if store.replaced():
            raise FileNotFoundError(2, "it was removed or replaced while in use")

    async def _fail(self, fault: Exception, batch: Sequence[Waiting]) -> None:
        text = explain(self._opening.path, fault)
        self._refuse(AuditError(text), batch)
        self._tell("failed", text)
        store, self._store = self._store, None
        if store is not None:
            await store.close()
        self._arm(RETRY_S)

    def _refuse(self, fault: AuditError, batch: Sequence[Waiting]) -> None:
        for waiting in (*batch, *self._pending):
            if waiting.call_id:
                self.open_calls.pop(waiting.call_id, None)
            if waiting.entry.kind != CALL:
                self._owed.append(waiting.entry)
            if not waiting.done.done():
                waiting.done.set_exception(fault)
        self._pending.clear()

    async def _reopen(self) -> Store:
        store = await open_store(self._opening, self.head)
        try:
            if store.head.chain != self.head.chain:
                self._forget_numbers()
            await self._pay(store)
            await store.index()
            text = "it could not be recorded, so it was not sent"
            await append_all(store, await unfinished(store, self.open_calls, self._opening.now_ms(), "not_sent", text))
        except BaseException:
            await store.close()
            raise
        self._store, self.head = store, store.head
        self._tell("ok", "")
        self._arm(TIDY_S)
        return store

    async def _pay(self, store: Store) -> None:
        while self._owed:
            part = list(islice(self._owed, BATCH))
            await store.append(part)
            for _ in part:
                self._owed.popleft()

    def _forget_numbers(self) -> None:
        """A new chain knows nothing of the calls of the old one."""
        self.open_calls.clear()
        self._owed = deque((replace(entry, seq=0) for entry in self._owed), maxlen=OWED)

    def _anchor(self, store: Store, pause_s: float) -> None:
        now = self._loop.time()
        if now - self._anchored_at >= pause_s and (self._anchoring is None or self._anchoring.done()):
            self._anchored_at = now
            self._anchoring = self._loop.create_task(self._put_anchor(store.head))

    async def _put_anchor(self, head: Head) -> None:
        with suppress(OSError):  # the rows are safe; the next anchor names these, too
            await asyncio.to_thread(write_anchor, self._opening.path, head, self._opening.now_ms())
            self._anchored = head

    async def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        helpers = [task for task in (self._anchoring, self._moving) if task is not None]
        await asyncio.gather(*helpers, return_exceptions=True)
        store, self._store = self._store, None
        if store is None:
            return
        try:
            await store.index()
            await self._put_anchor(store.head)
        except sqlite3.Error as fault:
            self._tell("failed", explain(self._opening.path, fault))
        finally:
            await store.close()

    def _tell(self, state: str, error: str) -> None:
        if (state, error) == (self.state.state, self.state.error):
            return
        self.state = AuditState(self._opening.now_ms(), state, error)
        if self._on_state is not None:
            self._loop.call_soon(self._on_state, self.state)

    def _arm(self, delay_s: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= self._loop.time() + delay_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(max(delay_s, 0.0), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._due = True
        self._wake.set()


async def append_all(store: Store, entries: Sequence[Entry]) -> None:
    """Commit any number of rows, `BATCH` at a time."""
    for start in range(0, len(entries), BATCH):
        await store.append(entries[start : start + BATCH])
