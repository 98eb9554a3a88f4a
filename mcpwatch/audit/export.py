"""The audit for other programs: JSON lines (lossless), CSV (for people with a spreadsheet), and figures."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mcpwatch.audit.query import Record, each
from mcpwatch.filters import Filter

COLUMNS = (
    "seq",
    "at",
    "call_id",
    "instance",
    "upstream",
    "grant",
    "client",
    "client_version",
    "session",
    "method",
    "tool",
    "args",
    "decision",
    "rule",
    "reason",
    "message",
    "would_deny",
    "policy",
    "held_ms",
    "approved_by",
    "outcome",
    "latency_ms",
    "result_bytes",
    "error",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""What makes a spreadsheet compute a cell. Source: OWASP, CSV injection."""

_CELL_CHARACTERS = 32_000
"""A spreadsheet takes 32,767 characters in a cell; longer ones spill over into others."""


def json_lines(records: Iterable[Record]) -> Iterator[str]:
    """One line a record, with its line end; everything the record holds, characters beyond ASCII escaped."""
    for record in records:
        yield json.dumps(record, separators=(",", ":")) + "\n"


def csv_lines(records: Iterable[Record]) -> Iterator[str]:
    """A header and one line a record (RFC 4180). A cell that a spreadsheet would compute begins with an apostrophe."""
    yield _line(COLUMNS)
    for record in records:
        flat = {**record, "client": record["client"]["name"], "client_version": record["client"]["version"]}
        yield _line([_cell(flat[column]) for column in COLUMNS])


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    # Blanks in front do not keep a spreadsheet from computing what follows.
    if text.lstrip(" ").startswith(_FORMULA):
        text = f"'{text}"
    return text if len(text) <= _CELL_CHARACTERS else f"{text[:_CELL_CHARACTERS]}…"


def stats(path: Path, wanted: Filter | str = "", since_ms: int = 0) -> dict[str, Any]:
    """How many calls, by decision, outcome, tool, grant, client, upstream and rule (most first), and their times in ms.

    `first` and `last` are the times of the first and the last call, null when there is none.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
    times: list[float] = []
    first = last = None
    calls = sent_bytes = 0
    for record in each(path, wanted, since_ms):
        calls += 1
        first, last = first or record["at"], record["at"]
        for name, counter in counts.items():
            word = _word(name, record)
            if word:
                counter[word] += 1
        sent_bytes += record["result_bytes"] or 0
        if record["outcome"] in ("ok", "tool_error", "rpc_error"):
            times.append(record["latency_ms"])
    return {
        "calls": calls,
        "first": first,
        "last": last,
        **{name: dict(counter.most_common()) for name, counter in counts.items()},
        "latency_ms": _spread(times),
        "result_bytes": sent_bytes,
    }


_COUNTED = ("decision", "outcome", "tool", "grant", "client", "upstream", "rule")


def _word(name: str, record: Mapping[str, Any]) -> str:
    if name == "client":
        return record["client"]["name"]
    if name == "outcome":
        return record["outcome"] or "open"
    return record[name]


def _spread(times: list[float]) -> dict[str, float | None]:
    times.sort()
    if not times:
        return {"p50": None, "p95": None, "p99": None, "max": None}
    return {
        **{f"p{share}": times[min(len(times) * share // 100, len(times) - 1)] for share in (50, 95, 99)},
        "max": times[-1],
    }
