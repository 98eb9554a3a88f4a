"""A look at `audit.db` that changes nothing: one connection, one moment, also while the gateway writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mcpwatch.audit.clauses import agent_lookups, conditions
from mcpwatch.audit.recovery import explain
from mcpwatch.audit.rows import read_body
from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.filters import Filter
from mcpwatch.records import public_json

BUSY_S = 2.0
"""How long a question waits for another program's lock."""

_CALLS = """SELECT c.seq, c.at_ms, r.body, o.body
    FROM calls AS c JOIN rows AS r ON r.row = c.call_row LEFT JOIN rows AS o ON o.row = c.outcome_row
    WHERE """

_NUMBERS = "SELECT c.seq FROM calls AS c WHERE"
_AMONG = " AND c.seq IN (SELECT value FROM json_each(?))"
_FEW = 2000

_DECISIONS = """SELECT r.seq, c.outcome, json_extract(r.body, '$.at_ms'), json_extract(r.body, '$.call_id'),
    json_extract(r.body, '$.upstream'), json_extract(r.body, '$.grant'), json_extract(r.body, '$.client'),
    json_extract(r.body, '$.client_version'), json_extract(r.body, '$.session'), json_extract(r.body, '$.tool'),
    json_extract(r.body, '$.args'), json_type(r.body, '$.args'), json_extract(r.body, '$.decision'),
    json_extract(r.body, '$.rule'), json_extract(r.body, '$.would_deny'), json_extract(r.body, '$.held_ms')
    FROM rows AS r LEFT JOIN calls AS c ON c.seq = r.seq
    WHERE r.row >= ? AND r.kind = 'call' AND json_extract(r.body, '$.method') = 'tools/call' ORDER BY r.row"""


@dataclass(slots=True)
class Found:
    """One call as its rows say, the bodies still text. `call` is the last decision, `at_ms` the time of the first."""

    seq: int
    at_ms: int
    call: str
    outcome: str | None

    def record(self) -> dict[str, Any]:
        """The audit record. AuditError when somebody else wrote its rows."""
        try:
            call = read_body(self.call)
            call["at_ms"] = self.at_ms
            return public_json(call, read_body(self.outcome) if self.outcome else None)
        except (ValueError, KeyError, TypeError) as fault:
            raise AuditError(f"call {self.seq} is damaged; see mcpwatch audit verify") from fault


class Reader:
    """Reads within one transaction, so everything it gives out belongs together."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("BEGIN")
        [(self.indexed,)] = self.fetch("SELECT row FROM mark") or [(0,)]
        self._late: dict[int, Found] | None = None

    def fetch(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, tuple(values)).fetchall()

    def each(self, sql: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        return iter(self._connection.execute(sql, tuple(values)))

    def last_row(self) -> int:
        return self.fetch("SELECT coalesce(max(row), 0) FROM rows")[0][0]

    def late(self) -> dict[int, Found]:
        """Calls that have rows which are not indexed yet, by number, ascending."""
        if self._late is None:
            self._late = dict(sorted(self._fold().items()))
        return self._late

    def _fold(self) -> dict[int, Found]:
        found: dict[int, Found] = {}
        rows = self.each(
            "SELECT kind, seq, body FROM rows WHERE row > ? AND kind IN ('call', 'outcome')", (self.indexed,)
        )
        for kind, seq, body in rows:
            known = found.get(seq) or self._indexed(seq)
            if kind == "call":
                at_ms = known.at_ms if known else read_body(body)["at_ms"]
                found[seq] = Found(seq, at_ms, body, known.outcome if known else None)
            elif known is not None:
                known.outcome = known.outcome or body
                found[seq] = known
        return found

    def _indexed(self, seq: int) -> Found | None:
        rows = self.fetch(f"{_CALLS} c.seq = ?", (seq,))
        return Found(*rows[0]) if rows else None

    def call(self, seq: int) -> Found | None:
        """One call by its number."""
        return self.late().get(seq) or self._indexed(seq)

    def calls(self, wanted: Filter, *, after_seq: int = 0, before_seq: int = 0, newest_first: bool) -> Iterator[Found]:
        """Calls that may match (`Filter.matches` decides), by number; `before_seq` 0 is no bound."""
        late = self.late()
        order = "DESC" if newest_first else "ASC"
        more, values = conditions(wanted)
        few = self._few(agent_lookups(wanted))
        if few is not None:
            more, values = more + _AMONG, [*values, json.dumps(few)]
        since = max((term.number for term in wanted.terms if term.field == "since" and not term.negated), default=0)
        first, after_seq = after_seq, max(after_seq, self._first_since(since) - 1)
        last = before_seq or self.next_seq()
        rows = self.each(f"{_CALLS} c.seq > ? AND c.seq < ?{more} ORDER BY c.seq {order}", (after_seq, last, *values))
        stored = (Found(*row) for row in rows if row[0] not in late)
        inside = [found for found in late.values() if first < found.seq < last]
        return merge(stored, reversed(inside) if newest_first else inside, key=_place, reverse=newest_first)

    def _few(self, lookups: list[tuple[str, str]]) -> list[int] | None:
        """The numbers of the calls that the lookups find, None when they are many."""
        found: list[int] = []
        for column, value in lookups:
            rows = self.fetch(f"{_NUMBERS} {column} = ? COLLATE NOCASE LIMIT ?", (value, _FEW + 1))
            found += (seq for (seq,) in rows)
            if len(found) > _FEW:
                return None
        return found if lookups else None

    def next_seq(self) -> int:
        """The number that the next call will get."""
        [(last,)] = self.fetch("SELECT coalesce(max(seq), 0) FROM calls")
        return max(last, *self.late(), 0) + 1

    def decisions(self, since_ms: int) -> Iterator[tuple[Any, ...]]:
        """Every decision on a `tools/call` arriving since a time, in the order they were taken (see `_DECISIONS`)."""
        first = self._first_since(since_ms)
        rows = self.fetch("SELECT first_row FROM calls WHERE seq = ?", (first,))
        # Of a time that is not indexed yet the rows behind the index are looked through.
        row = rows[0][0] if rows else self.indexed if first > 1 else 0
        return self.each(_DECISIONS, (row,))

    def _first_since(self, at_ms: float) -> int:
        """The lowest number of an indexed call since a time: keeps older ones from being read at all."""
        if at_ms <= 0:
            return 0
        [(seq,)] = self.fetch("SELECT min(seq) FROM calls INDEXED BY calls_at WHERE at_ms >= ?", (at_ms,))
        return 1 << 62 if seq is None else seq

    def since(self, after_row: int) -> list[Found]:
        """Calls that have rows after `after_row`, by number."""
        rows = self.fetch(
            "SELECT DISTINCT seq FROM rows WHERE row > ? AND kind IN ('call', 'outcome') ORDER BY seq", (after_row,)
        )
        return [found for (seq,) in rows if (found := self.call(seq))]


def _place(found: Found) -> int:
    return found.seq


@contextmanager
def reading(path: Path) -> Generator[Reader]:
    """Open the audit to read it. ConfigError when there is none, AuditError when it cannot be read."""
    connection = None
    try:
        connection = connect(path)
        yield Reader(connection)
    except sqlite3.Error as fault:
        raise AuditError(explain(path, fault)) from fault
    finally:
        if connection is not None:
            connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; also to a copy in a folder that cannot be written. ConfigError, sqlite3.Error."""
    if not path.exists():
        raise ConfigError(f"there is no audit at {path}", "Start a gateway first, or name its folder with --state-dir.")
    where = f"file:{quote(str(path.absolute()))}"
    try:
        connection = _connect(f"{where}?mode=ro")
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as fault:
        if fault.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        # The index of the log cannot be made there, so nobody writes there either.
        connection = _connect(f"{where}?immutable=1")
    return connection


def _connect(where: str) -> sqlite3.Connection:
    connection = sqlite3.connect(where, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -16000")
    return connection
