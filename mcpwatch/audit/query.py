"""Questions to the audit, for commands, consoles and the operator's API; they can be asked while the gateway writes.

All functions open the file read-only for themselves and may be called from any thread. They raise ConfigError when
there is no audit at that path and AuditError when it cannot be read. Records are those of `records.record_json`: one
a call, in its final state, whatever number of rows tell about it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpwatch.audit.reader import Reader, reading
from mcpwatch.audit.rows import read_body, read_json
from mcpwatch.filters import Filter, Term, parse_filter
from mcpwatch.records import rfc3339

Record = dict[str, Any]


STRETCH = 5000
"""How many calls are looked through between two looks at the clock (some 20 ms when texts are searched)."""


@dataclass(frozen=True, slots=True)
class Page:
    """Records, newest last. `before_seq`: where the next older page begins, 0 when there is none."""

    rows: list[Record]
    before_seq: int


def search(
    path: Path, wanted: Filter | str = "", since_ms: int = 0, before_seq: int = 0, limit: int = 0
) -> list[Record]:
    """The newest `limit` matching records before `before_seq`, newest last; 0 means no bound."""
    return page(path, wanted, since_ms, before_seq, limit).rows


def page(
    path: Path,
    wanted: Filter | str = "",
    since_ms: int = 0,
    before_seq: int = 0,
    limit: int = 0,
    within_ms: int = 0,
) -> Page:
    """As `search`, and where to go on. With `within_ms` it stops after about that time with what was found."""
    rule = _filter(wanted, since_ms)
    end = time.monotonic() + within_ms / 1000 if within_ms else None
    rows: list[Record] = []
    with reading(path) as reader:
        top = min(before_seq or (1 << 62), reader.next_seq())
        while top > 1:
            # A search that finds nothing gives no chance to look at the clock, so it is done in pieces.
            bottom = max(top - 1 - STRETCH, 0) if end else 0
            for found in reader.calls(rule, after_seq=bottom, before_seq=top, newest_first=True):
                record = found.record()
                if rule.matches(record):
                    rows.append(record)
                if (limit and len(rows) >= limit) or (end and time.monotonic() > end):
                    return Page(rows[::-1], found.seq)
            top = bottom + 1
            if end and time.monotonic() > end:
                break
    return Page(rows[::-1], top if top > 1 else 0)


def each(path: Path, wanted: Filter | str = "", since_ms: int = 0, after_seq: int = 0) -> Iterator[Record]:
    """Every matching record, oldest first, one at a time."""
    rule = _filter(wanted, since_ms)
    with reading(path) as reader:
        for found in reader.calls(rule, after_seq=after_seq, newest_first=False):
            record = found.record()
            if rule.matches(record):
                yield record


def _filter(wanted: Filter | str, since_ms: int) -> Filter:
    rule = parse_filter(wanted) if isinstance(wanted, str) else wanted
    return Filter((*rule.terms, Term("since", ":", (), since_ms)), rule.text) if since_ms > 0 else rule


def show(path: Path, which: int | str) -> Record | None:
    """One record by its number or call id (also by an unambiguous beginning of it); None when there is none."""
    with reading(path) as reader:
        found = reader.call(which if isinstance(which, int) else _numbered(reader, which))
        return found.record() if found else None


def _numbered(reader: Reader, call_id: str) -> int:
    """The number of the call with this id, 0 when there is none or more than one begins so."""
    late = {read_body(found.call)["call_id"]: found.seq for found in reader.late().values()}
    if call_id in late:
        return late[call_id]
    pattern = f"{call_id.replace('[', '[[]').replace('*', '[*]').replace('?', '[?]')}*"
    found = dict(reader.fetch("SELECT call_id, seq FROM calls WHERE call_id GLOB ? LIMIT 2", (pattern,)))
    found |= {name: seq for name, seq in late.items() if name.startswith(call_id)}
    return found.get(call_id) or (next(iter(found.values())) if len(found) == 1 else 0)


def follow(path: Path, after_row: int) -> tuple[list[Record], int]:
    """Records that changed after row `after_row`, by number, and the last row: what to ask from the next time."""
    with reading(path) as reader:
        last = reader.last_row()
        return [found.record() for found in reader.since(after_row)], last


def last_row(path: Path) -> int:
    """The number of the last row."""
    with reading(path) as reader:
        return reader.last_row()


def events(path: Path, since_ms: int = 0, kind: str = "") -> list[dict[str, Any]]:
    """Rows that are no calls (`policy_installed`, `frozen`, `alarm`, …), oldest first, as JSON with `row` and `at`."""
    with reading(path) as reader:
        rows = reader.fetch(
            """SELECT body FROM rows INDEXED BY rows_notes WHERE kind NOT IN ('call', 'outcome')
                AND (?1 = '' OR kind = ?1) AND json_extract(body, '$.at_ms') >= ?2 ORDER BY row""",
            (kind, since_ms),
        )
    return [_event(read_body(body)) for (body,) in rows]


def _event(body: dict[str, Any]) -> dict[str, Any]:
    del body["seq"]
    body["at"] = rfc3339(body["at_ms"])
    return body


def policies(path: Path, upstream: str = "", *, texts: bool = True) -> list[dict[str, Any]]:
    """Policies that came into force, oldest first: row, at, at_ms, upstream, file, digest, by, warnings, text."""
    history = [event for event in events(path, kind="policy_installed") if upstream in ("", event["upstream"])]
    if texts:
        with reading(path) as reader:
            known = dict(reader.fetch("SELECT digest, text FROM policies"))
        for event in history:
            event["text"] = known.get(event["digest"], "")
    return history


def policy_text(path: Path, digest: str) -> str | None:
    """The text of a policy by the beginning of its digest; None when there is none or more than one."""
    with reading(path) as reader:
        rows = reader.fetch("SELECT text FROM policies WHERE digest >= ?1 AND digest < ?1 || 'g'", (digest.lower(),))
    return rows[0][0] if len(rows) == 1 else None


def replay_rows(path: Path, since_ms: int = 0, upstream: str = "") -> Iterator[Record]:
    """What a what-if folds over a draft: every decision on a `tools/call`, in the order they were taken.

    A held call that was decided comes twice, held (`held_ms` null) and decided. The records have these fields of an
    audit record: seq, call_id, at, upstream, grant, client, session, method, tool, args, decision, rule, would_deny,
    held_ms, outcome. Reading them takes a third of the time that whole records take.
    """
    with reading(path) as reader:
        late = reader.late()
        for seq, outcome, at_ms, call_id, name, *rest in reader.decisions(since_ms):
            if at_ms < since_ms or upstream not in ("", name):
                continue
            found = late.get(seq)
            if found and found.outcome:
                outcome = read_body(found.outcome)["outcome"]
            yield _past(seq, outcome, rfc3339(at_ms), call_id, name, *rest)


def _past(
    seq: int,
    outcome: str | None,
    at: str,
    call_id: str,
    upstream: str,
    grant: str,
    client: str,
    version: str,
    session: str,
    tool: str,
    args: Any,
    kind: str,
    decision: str,
    rule: str,
    would_deny: str,
    held_ms: int | None,
) -> Record:
    return {
        "seq": seq,
        "call_id": call_id,
        "at": at,
        "upstream": upstream,
        "grant": grant,
        "client": {"name": client, "version": version},
        "session": session,
        "method": "tools/call",
        "tool": tool,
        "args": read_json(args) if kind in ("object", "array") else args,
        "decision": decision,
        "rule": rule,
        "would_deny": would_deny,
        "held_ms": held_ms,
        "outcome": outcome or ("not_sent" if decision in ("deny", "reject") else None),
    }
