"""Whether the audit is what was written: `mcpwatch audit verify`.

Seen are: a row that was changed, left out, added, moved or brought in from elsewhere; a log that was cut, emptied,
removed or computed anew; a search index that tells something else than the rows; a policy text that was changed.
Not seen is somebody who may write all files and computes the chain and `audit.head` anew: against the owner of the
files only a copy of the anchor (`Report.head`) on another machine helps.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcpwatch.audit import schema
from mcpwatch.audit.chain import START, Head, anchor_path, lead, read_anchor
from mcpwatch.audit.reader import connect
from mcpwatch.audit.recovery import explain
from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.records import rfc3339

MOST = 50
"""How many faults of one kind are told."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken promise. `row` 0: it concerns the log as a whole."""

    row: int
    message: str


@dataclass(slots=True)
class Report:
    """What was found. `remarks` are no faults; `head` is where the chain ends, for keeping elsewhere."""

    rows: int = 0
    calls: int = 0
    faults: list[Fault] = field(default_factory=list[Fault])
    remarks: list[str] = field(default_factory=list[str])
    head: Head | None = None

    @property
    def ok(self) -> bool:
        return not self.faults

    def fault(self, row: int, message: str) -> None:
        if len(self.faults) < MOST:
            self.faults.append(Fault(row, message))

    def json(self) -> dict[str, Any]:
        """For `audit verify --json`."""
        head = self.head
        return {
            "ok": self.ok,
            "rows": self.rows,
            "calls": self.calls,
            "faults": [{"row": fault.row, "message": fault.message} for fault in self.faults],
            "remarks": self.remarks,
            "head": head and {"chain": head.chain, "row": head.row, "hash": head.hash.hex()},
        }


def verify(path: Path) -> Report:
    """Check everything. ConfigError when there is neither a log nor an anchor, AuditError when it cannot be read."""
    report = Report()
    anchor = read_anchor(path)
    if not path.exists():
        if anchor is None:
            raise ConfigError(f"there is no audit at {path}", "Start a gateway first.")
        report.fault(0, f"the log is gone; audit.head knows {anchor.row} rows")
        return report
    try:
        _verify(path, anchor, report)
    except sqlite3.DatabaseError as fault:
        if isinstance(fault, sqlite3.OperationalError) and fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise AuditError(explain(path, fault)) from fault
        report.fault(0, explain(path, fault))
    return report


def _verify(path: Path, anchor: Head | None, report: Report) -> None:
    connection = connect(path)
    beside = connect(path)
    try:
        for one in (connection, beside):
            one.execute("BEGIN")
        if not _check_form(connection, anchor, report):
            return
        # SQLite compares the index without holding the interpreter's lock, so both can go on at once.
        with ThreadPoolExecutor(1) as pool:
            index = pool.submit(lambda: list(_index_faults(beside)))
            _check_chain(connection, path, anchor, report)
            report.faults += index.result()
        _check_policies(connection, report)
    finally:
        connection.close()
        beside.close()


def _check_form(connection: sqlite3.Connection, anchor: Head | None, report: Report) -> bool:
    """Tables, indexes and guards as they were made; without tables there is nothing to go on with."""
    found: dict[str, str] = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    for name, sql in schema.OBJECTS.items():
        if name not in found:
            report.fault(0, f"{_kind(name)} {name} is missing")
        elif found[name] != sql:
            report.fault(0, f"{_kind(name)} {name} was changed")
    for name in sorted(found.keys() - schema.OBJECTS.keys()):
        report.fault(0, f"{name} was added to the file")
    if schema.TABLES.keys() <= found.keys():
        return True
    if anchor is not None:
        report.fault(0, f"the log is empty; audit.head knows {anchor.row} rows")
    return False


def _kind(name: str) -> str:
    return "table" if name in schema.TABLES else "index" if name in schema.INDEXES else "guard"


def _check_chain(connection: sqlite3.Connection, path: Path, anchor: Head | None, report: Report) -> None:
    sha256 = hashlib.sha256
    cursor = connection.execute("SELECT row, kind, seq, hash, CAST(body AS BLOB) FROM rows ORDER BY row")
    cursor.arraysize = 1000
    chain, name, before, expected, last = b"", "", START, 1, 0
    at_anchor: bytes | None = None
    anchored = anchor.row if anchor else -1
    while rows := cursor.fetchmany():
        for row, kind, seq, digest, body in rows:
            if row != expected:
                report.fault(row, _gap(expected, row))
                expected = row
            if row == 1:
                name = _chain_of(kind, body)
                chain, last = bytes.fromhex(name), seq
            if sha256(chain + before + body).digest() != digest:
                report.fault(row, "this row or the one before it was changed, moved or computed anew")
            elif not body.startswith(lead(row, kind, seq)):
                report.fault(row, "number, kind or call of this row are not those it was written with")
            if kind == "call":
                if seq == last + 1:
                    last = seq
                    report.calls += 1
                elif not 0 < seq <= last:
                    report.fault(row, f"call {last + 1} is missing, call {seq} follows")
                    last = seq
            elif kind in ("chain", "alarm"):
                _check_remark(kind, row, body, path, report)
            if row == anchored:
                at_anchor = digest
            before = digest
            expected += 1
    report.rows, report.head = expected - 1, Head(name, expected - 1, last, before)
    _check_anchor(path, anchor, at_anchor, report.head, report)


def _gap(expected: int, found: int) -> str:
    if found < expected:
        return f"row {found} is out of order"
    return f"row {expected} is missing" if found == expected + 1 else f"rows {expected} to {found - 1} are missing"


def _chain_of(kind: str, body: bytes) -> str:
    chain = json.loads(body).get("chain") if kind == "chain" else None
    return chain if isinstance(chain, str) and re.fullmatch(r"[0-9a-f]{32}", chain) else ""


def _check_anchor(path: Path, anchor: Head | None, at_anchor: bytes | None, head: Head, report: Report) -> None:
    if anchor is None:
        missing = not anchor_path(path).exists()
        report.fault(0, f"audit.head is {'missing' if missing else 'damaged'}; cut or recomputed rows cannot be seen")
    elif anchor.chain != head.chain:
        report.fault(0, "this is not the log that audit.head was made for")
    elif anchor.row > head.row:
        report.fault(0, f"the log ends at row {head.row}, audit.head knows {anchor.row} rows")
    elif at_anchor != anchor.hash:
        report.fault(anchor.row, "the chain was computed anew: audit.head knows another hash of this row")


def _check_remark(kind: str, row: int, body: bytes, path: Path, report: Report) -> None:
    values = json.loads(body)
    if kind == "alarm":
        report.fault(row, f"when the gateway opened the log at {rfc3339(values['at_ms'])}: {values['text']}")
        return
    before = values.get("before")
    if before is None:
        return
    file = before.get("file")
    known = f"{before['row']} rows, last hash {before['hash']}"
    if file and path.with_name(file).exists():
        report.remarks.append(f"the log before this one was damaged and is kept as {file} ({known})")
    else:
        report.fault(row, f"the log before this one is gone ({known})")


def _index_faults(connection: sqlite3.Connection) -> Iterator[Fault]:
    """What `calls` says and the rows do not."""
    [(mark,)] = connection.execute("SELECT max(row) FROM mark").fetchall()
    for sql, message in (
        (_WRONG_CALL, "the search index tells something else about call {} than its rows"),
        (_WRONG_OUTCOME, "the search index tells another outcome of call {} than its rows"),
        (_NO_INDEX, "the search index does not know call {}"),
    ):
        for row, seq in connection.execute(sql, {"mark": mark or 0, "most": MOST}):
            yield Fault(row, message.format(seq))


_DIFFERS = " OR ".join(
    f"c.{column} IS NOT {source.format(body='r.body')}" for column, source in schema.CALL_COLUMNS if column != '"at_ms"'
)
_OUTCOME_DIFFERS = " OR ".join(
    f"c.{column} IS NOT {source.format(body='o.body')}" for column, source in schema.OUTCOME_COLUMNS
)
# Built from the constants of `schema` only.
_WRONG_CALL = f"""SELECT c.call_row, c.seq FROM calls AS c LEFT JOIN rows AS r ON r.row = c.call_row
    WHERE r.row IS NULL OR r.kind <> 'call' OR r.seq <> c.seq OR {_DIFFERS} LIMIT :most"""  # noqa: S608
_WRONG_OUTCOME = f"""SELECT c.call_row, c.seq FROM calls AS c LEFT JOIN rows AS o ON o.row = c.outcome_row
    WHERE CASE WHEN c.outcome_row IS NULL THEN c.outcome IS NOT NULL
        ELSE o.row IS NULL OR o.kind <> 'outcome' OR o.seq <> c.seq OR {_OUTCOME_DIFFERS} END LIMIT :most"""  # noqa: S608
_NO_INDEX = """SELECT r.row, r.seq FROM rows AS r LEFT JOIN calls AS c ON c.seq = r.seq
    WHERE r.row <= :mark AND ((r.kind = 'call' AND (c.seq IS NULL OR c.call_row < r.row))
        OR (r.kind = 'outcome' AND c.seq IS NOT NULL AND coalesce(c.outcome_row, r.row + 1) > r.row)) LIMIT :most"""


def _check_policies(connection: sqlite3.Connection, report: Report) -> None:
    known: set[str] = set()
    for digest, text in connection.execute("SELECT digest, text FROM policies"):
        known.add(digest)
        if hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() != digest:
            report.fault(0, f"the text of policy {digest[:12]} was changed")
    for row, digest in connection.execute(
        """SELECT row, json_extract(body, '$.digest') FROM rows INDEXED BY rows_notes
            WHERE kind NOT IN ('call', 'outcome') AND kind = 'policy_installed'"""
    ):
        if digest not in known:
            report.fault(row, f"the text of policy {digest[:12]} is missing")
