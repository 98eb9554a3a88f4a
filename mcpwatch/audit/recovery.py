"""What happens before the first row is written: a damaged file is set aside, a broken promise is put on record."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from mcpwatch.audit.chain import Entry, Head, new_chain, read_anchor
from mcpwatch.audit.rows import alarm_entry, chain_entry, outcome_entry
from mcpwatch.audit.store import Durability, Store
from mcpwatch.errors import ConfigError
from mcpwatch.events import CallOutcome, OutcomeKind
from mcpwatch.records import rfc3339

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another program holds its lock",
    sqlite3.SQLITE_LOCKED: "another program holds its lock",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_PERM: "access is denied",
    sqlite3.SQLITE_IOERR: "the disk failed",
}


@dataclass(frozen=True, slots=True)
class Opening:
    """How the log is opened, the first time and after every failure."""

    path: Path
    instance: str
    durability: Durability
    factory: type[sqlite3.Connection]
    now_ms: Callable[[], int]


def explain(path: Path, fault: BaseException) -> str:
    """One line for the operator: which file, what is wrong with it."""
    code = _code(fault)
    if isinstance(fault, OSError) and fault.errno:
        words = "the disk is full" if fault.errno == errno.ENOSPC else fault.strerror
    elif isinstance(fault, ConfigError):
        words = fault.message
    else:
        words = WORDS.get(code, "") if code else ""
        words = f"{words} ({fault})" if words else str(fault)
    return f"{path}: {words}"


def _code(fault: BaseException) -> int:
    return getattr(fault, "sqlite_errorcode", 0) & 0xFF


async def open_store(opening: Opening, last: Head | None) -> Store:
    """Open the log; `last` is its head as this process knows it (None at start: the anchor tells).

    A damaged file is renamed to `audit.db.corrupt-TIME` and a new chain begins that names the old head.
    """
    known = last or read_anchor(opening.path)
    aside = None
    try:
        store = await Store.open(opening.path, opening.durability, opening.factory)
    except sqlite3.DatabaseError as fault:
        if _code(fault) not in DAMAGED:
            raise
        aside = set_aside(opening.path, opening.now_ms())
        store = await Store.open(opening.path, opening.durability, opening.factory)
    try:
        await _continue(store, opening, known, aside)
    except BaseException:
        await store.close()
        raise
    return store


async def _continue(store: Store, opening: Opening, known: Head | None, aside: str | None) -> None:
    if not store.head.row:
        chain = new_chain()
        await store.begin(chain, chain_entry(chain, opening.now_ms(), opening.instance, known, aside))
        return
    alarm = await _compare(store, known)
    if alarm:
        await store.append([alarm_entry(opening.now_ms(), alarm, known)])


async def _compare(store: Store, known: Head | None) -> str:
    """What is wrong with the file if `known` was once its head, "" when nothing is."""
    if known is None:
        return "audit.head is missing or damaged" if store.head.row > 1 else ""
    if known.chain != store.head.chain:
        return "the file is not the one that audit.head was made for"
    found = await store.fetch("SELECT hash FROM rows WHERE row = ?", (known.row,))
    if not found:
        return f"rows {store.head.row + 1} to {known.row} are missing"
    return "" if found[0][0] == known.hash else f"row {known.row} is not the one that audit.head names"


def set_aside(path: Path, at_ms: int) -> str:
    """Rename the file, its log and its index; returns the new name (without folder)."""
    stamp = rfc3339(at_ms).replace(":", "").replace("-", "").replace(".", "")
    name = f"{path.name}.corrupt-{stamp}"
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(path.with_name(name + suffix))
    return name


async def unfinished(store: Store, known: Collection[str], at_ms: int, sent: OutcomeKind, error: str) -> list[Entry]:
    """Outcome rows for calls without one, except the `known`: `sent` for allowed ones, `not_sent` for held ones."""
    entries: list[Entry] = []
    for seq, call_id, decision in await store.fetch(
        """SELECT seq, call_id, decision FROM calls INDEXED BY calls_open
            WHERE outcome_row IS NULL AND decision IN ('allow', 'hold')"""
    ):
        if call_id not in known:
            kind: OutcomeKind = sent if decision == "allow" else "not_sent"
            entries.append(outcome_entry(CallOutcome(call_id, at_ms, kind, 0.0, 0, error), seq))
    return entries
