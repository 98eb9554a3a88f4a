"""The tables of `audit.db` and the statements that write them.

`rows` is the audit: numbered without gaps, chained, append-only. `policies` keeps each policy text once. `calls` is an
index over `rows`, one line a call with its final state, for searching; it holds nothing that `rows` does not say and
runs behind by at most a few hundred rows (`mark` says up to which row it reaches). A reader adds the rest itself.

Filling `calls` later, many rows at a time, costs a third of doing it with every row (measured: 37 against 12 µs for
two rows in a commit), and a caller does not wait for it. One UPDATE of `mark` does it through a trigger, so that it
is one statement and one transaction.
"""

from __future__ import annotations

from functools import cache

from mcpwatch.records import POLICY_DIGITS

VERSION = 1
"""`PRAGMA user_version` of a file this program writes."""

INDEX_STEP = 256
"""How many rows one step of indexing takes; bounds what a caller may wait for it."""

TABLES: dict[str, str] = {
    "rows": """CREATE TABLE rows (
        row INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        seq INTEGER NOT NULL,
        hash BLOB NOT NULL,
        body TEXT NOT NULL)""",
    "policies": "CREATE TABLE policies (digest TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
    "mark": "CREATE TABLE mark (row INTEGER NOT NULL)",
    # What is compared most stands first: SQLite reads a row only as far as it must.
    "calls": """CREATE TABLE calls (
        seq INTEGER PRIMARY KEY,
        first_row INTEGER NOT NULL,
        call_row INTEGER NOT NULL,
        outcome_row INTEGER,
        at_ms INTEGER NOT NULL,
        latency_ms REAL,
        outcome TEXT,
        decision TEXT NOT NULL,
        tool TEXT NOT NULL,
        "grant" TEXT NOT NULL,
        client TEXT NOT NULL,
        upstream TEXT NOT NULL,
        method TEXT NOT NULL,
        rule TEXT NOT NULL,
        would_deny TEXT NOT NULL,
        call_id TEXT NOT NULL,
        session TEXT NOT NULL,
        policy TEXT NOT NULL,
        expires_ms INTEGER)""",
}

_FROM_CALL = (
    "at_ms",
    "decision",
    "tool",
    "grant",
    "client",
    "upstream",
    "method",
    "rule",
    "would_deny",
    "call_id",
    "session",
)
CALL_COLUMNS = (
    *((f'"{name}"', f"json_extract({{body}}, '$.{name}')") for name in _FROM_CALL),
    ("policy", f"substr(json_extract({{body}}, '$.policy'), 1, {POLICY_DIGITS})"),
    (
        "expires_ms",
        "(SELECT max(json_extract(value, '$[2]') + json_extract(value, '$[4]')) FROM json_each({body}, '$.charges'))",
    ),
)
"""Columns of `calls` and where in the body of the call's row they come from.

`expires_ms`: when the last window that the call was counted in is over, so that a start reads only what still counts.
"""

OUTCOME_COLUMNS = tuple((name, f"json_extract({{body}}, '$.{name}')") for name in ("outcome", "latency_ms"))

INDEXES: dict[str, str] = {
    "calls_at": "CREATE INDEX calls_at ON calls (at_ms)",
    "calls_tool": "CREATE INDEX calls_tool ON calls (tool COLLATE NOCASE)",
    "calls_grant": 'CREATE INDEX calls_grant ON calls ("grant" COLLATE NOCASE)',
    "calls_client": "CREATE INDEX calls_client ON calls (client COLLATE NOCASE)",
    "calls_decision": "CREATE INDEX calls_decision ON calls (decision)",
    "calls_charged": "CREATE INDEX calls_charged ON calls (expires_ms) WHERE expires_ms IS NOT NULL",
    "calls_open": """CREATE INDEX calls_open ON calls (seq)
        WHERE outcome_row IS NULL AND decision IN ('allow', 'hold')""",
    "rows_notes": "CREATE INDEX rows_notes ON rows (kind) WHERE kind NOT IN ('call', 'outcome')",
}


def _guard(table: str, verb: str) -> str:
    return f"""CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}
        BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"""


def _filled() -> str:
    columns = ", ".join(name for name, _ in CALL_COLUMNS)
    values = ", ".join(source.format(body="body") for _, source in CALL_COLUMNS)
    # A later decision on the same call (a held one, once the operator decided) replaces all but the time of arrival.
    latest = ", ".join(f"{name} = excluded.{name}" for name in ("call_row", *(name for name, _ in CALL_COLUMNS[1:])))
    outcome = ", ".join(f"{name} = {source.format(body='o.body')}" for name, source in OUTCOME_COLUMNS)
    span = "row > old.row AND row <= new.row"
    return f"""CREATE TRIGGER mark_moves AFTER UPDATE ON mark BEGIN
        INSERT INTO calls (seq, first_row, call_row, {columns})
            SELECT seq, row, row, {values} FROM rows WHERE {span} AND kind = 'call' ORDER BY row
            ON CONFLICT (seq) DO UPDATE SET {latest};
        UPDATE calls SET outcome_row = o.row, {outcome}
            FROM (SELECT seq, min(row) AS row, body FROM rows WHERE {span} AND kind = 'outcome' GROUP BY seq) AS o
            WHERE calls.seq = o.seq AND calls.outcome_row IS NULL;
        END"""  # noqa: S608  # built from the constants above only


TRIGGERS: dict[str, str] = {
    "rows_no_update": _guard("rows", "UPDATE"),
    "rows_no_delete": _guard("rows", "DELETE"),
    "policies_no_update": _guard("policies", "UPDATE"),
    "policies_no_delete": _guard("policies", "DELETE"),
    "mark_moves": _filled(),
}

OBJECTS: dict[str, str] = {**TABLES, **INDEXES, **TRIGGERS}
"""Everything a sound file has, by name, as `sqlite_master.sql` repeats it."""

CREATE = ";\n".join(
    ["BEGIN IMMEDIATE", *OBJECTS.values(), "INSERT INTO mark VALUES (0)", f"PRAGMA user_version = {VERSION}", "COMMIT"]
)
MOVE_MARK = "UPDATE mark SET row = ?1"
_INSERT = "INSERT INTO rows (row, kind, seq, hash, body) VALUES "
KEEP_POLICY = "INSERT OR IGNORE INTO policies (digest, text) VALUES (?, ?)"


@cache
def insert_rows(count: int) -> str:
    """One statement for `count` rows: one step of SQLite, so the interpreter's lock is handed over once a commit."""
    return _INSERT + ",".join(["(?,?,?,?,?)"] * count)
