"""`mcpwatch audit search`, `tail` and `show`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from mcpwatch.audit import query
from mcpwatch.cli.auditoptions import FILTERS, LANGUAGE, audit_path, filtered
from mcpwatch.cli.options import json_option
from mcpwatch.cli.output import one_line, put, put_json, say, wrapped
from mcpwatch.cli.plain import call_line
from mcpwatch.errors import ConfigError
from mcpwatch.filters import Filter, parse_filter

_FOLLOW_S = 0.25
Record = dict[str, Any]


@click.command(context_settings=FILTERS, epilog=LANGUAGE)
@filtered()
@click.option("--limit", type=click.IntRange(min=1), default=None, metavar="N", help="Only the newest N.")
def search(words: tuple[str, ...], since_ms: int, as_json: bool, path: Path, limit: int | None) -> None:
    """Print every recorded call that matches FILTER, oldest first; with --json one JSON object a line."""
    wanted = parse_filter(" ".join(words))
    rows: Iterable[Record]
    rows = query.search(path, wanted, since_ms, 0, limit) if limit else query.each(path, wanted, since_ms)
    _tell_all(rows, as_json)


@click.command(context_settings=FILTERS, epilog=LANGUAGE)
@filtered()
@click.option("-n", "--lines", type=click.IntRange(min=0), default=10, metavar="N", help="How many (default 10).")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
def tail(words: tuple[str, ...], since_ms: int, as_json: bool, path: Path, lines: int, follow: bool) -> None:
    """Print the newest recorded calls that match FILTER, oldest first."""
    wanted = parse_filter(" ".join(words))
    last = query.last_row(path)
    if lines:
        _tell_all(query.search(path, wanted, since_ms, 0, lines), as_json)
    if follow:
        _follow(path, wanted, last, as_json)


@click.command()
@click.argument("which", metavar="SEQ|CALL_ID")
@audit_path
@json_option
def show(which: str, path: Path, as_json: bool) -> None:
    """Print everything recorded about one call, by its number or call id (or the beginning of it)."""
    record = query.show(path, int(which) if which.isascii() and which.isdigit() and len(which) < 19 else which)
    if record is None:
        raise ConfigError(f"the audit has no call {one_line(which, 40)}", "See: mcpwatch audit tail")
    if as_json:
        put_json(record)
        return
    for line in _lines(record):
        put(line)


def _follow(path: Path, wanted: Filter, last: int, as_json: bool) -> None:
    """A call is shown when it is decided, and once more when its outcome is known."""
    while True:
        rows, last = query.follow(path, last)
        for record in rows:
            if wanted.matches(record):
                _tell(record, as_json)
        time.sleep(_FOLLOW_S)


def _tell_all(records: Iterable[Record], as_json: bool) -> None:
    """Nothing at all would leave open whether anything was looked at."""
    told = False
    for record in records:
        _tell(record, as_json)
        told = True
    if not told and not as_json:
        say("No recorded call matches.")


def _tell(record: Record, as_json: bool) -> None:
    if as_json:
        put_json(record, pretty=False)
    else:
        # With its day: what is searched for is often not of today.
        line = f"{record['seq']:>6} {record['at'][:10]} {call_line(record)}"
        put(line if len(line) <= 80 else line[:79] + "…")


def _lines(record: Record) -> Iterable[str]:
    yield f"call {record['seq']}  {record['call_id']}  {record['at']}"
    yield f"{record['decision'].upper()}  {record['tool'] or record['method']}  on {record['upstream']}"
    client = record["client"]
    yield from wrapped(f"by {record['grant'] or '-'} with {client['name'] or '?'} {client['version']}".rstrip())
    for name in ("rule", "reason", "message", "would_deny", "approved_by", "policy", "error"):
        if record.get(name):
            yield from wrapped(f"{name.replace('_', ' ')}: {record[name]}")
    for step in record["steps"]:
        yield from wrapped(f"step {step['step']} {step['result']}: {step['detail']}")
    for counter in record["counters"]:
        yield f"  limit {counter['name']}: {counter['used']} of {counter['max']} per {counter['window']}"
    if record["outcome"]:
        spent = "" if record["latency_ms"] is None else f" in {record['latency_ms']:.1f} ms"
        size = "" if record["result_bytes"] is None else f", {record['result_bytes']} bytes"
        yield f"  outcome: {record['outcome']}{spent}{size}"
    yield "  arguments (secrets are not stored)"
    for line in json.dumps(record["args"], indent=2, ensure_ascii=False).splitlines():
        yield f"    {line}" if len(line) <= 76 else f"    {line[:75]}…"
