"""`mcpwatch audit export`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click

from mcpwatch.audit import query
from mcpwatch.audit.export import csv_lines, json_lines
from mcpwatch.cli.auditoptions import FILTERS, LANGUAGE, filtered
from mcpwatch.cli.output import printable, put_raw, say
from mcpwatch.errors import ConfigError
from mcpwatch.filters import parse_filter


@click.command(context_settings=FILTERS, epilog=LANGUAGE)
@filtered()
@click.option("--csv", "as_csv", is_flag=True, help="For a spreadsheet, instead of JSON lines.")
@click.option("--out", default="-", metavar="FILE", help="Where to (0600, must not exist); default stdout.")
def export(words: tuple[str, ...], since_ms: int, as_json: bool, path: Path, as_csv: bool, out: str) -> None:
    """Write every record that matches FILTER, oldest first, whole: JSON lines, or CSV with --csv."""
    if as_csv and as_json:
        raise ConfigError("--csv and --json exclude each other")
    records = query.each(path, parse_filter(" ".join(words)), since_ms)
    lines = csv_lines(records) if as_csv else json_lines(records)
    if out == "-":
        for line in lines:
            put_raw(printable(line.rstrip("\r\n")) + "\r\n" if as_csv else line)
    else:
        say(f"{_write(out, lines)} lines in {out}")


def _write(out: str, lines: Iterable[str]) -> int:
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise ConfigError(f"cannot write {out}: {fault.strerror}", "Name a file that does not exist yet.") from fault
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        return sum(1 for line in lines if file.write(line))
