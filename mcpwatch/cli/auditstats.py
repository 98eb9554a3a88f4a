"""`mcpwatch audit stats`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from mcpwatch.audit.export import stats as counted
from mcpwatch.cli.auditoptions import FILTERS, LANGUAGE, filtered
from mcpwatch.cli.output import put, put_json, table

_MOST = 10


@click.command(context_settings=FILTERS, epilog=LANGUAGE)
@filtered("24h")
def stats(words: tuple[str, ...], since_ms: int, as_json: bool, path: Path) -> None:
    """Count the records that match FILTER by decision, outcome, tool, caller and rule."""
    found = counted(path, " ".join(words), since_ms)
    if as_json:
        put_json(found)
        return
    for line in _lines(found):
        put(line)


def _lines(found: dict[str, Any]) -> Iterable[str]:
    """Numbers of the top of `found`, then its groups, most first."""
    for name, value in found.items():
        if not isinstance(value, dict):
            yield f"{name}: {'-' if value is None else value}"
    for name, group in found.items():
        if isinstance(group, dict) and group:
            rows = [(f"  {key or '-'}", _number(value)) for key, value in _items(group)]
            yield f"{name}{f' ({len(rows)}, the first {_MOST})' if len(rows) > _MOST else ''}"
            yield from table((number, key.strip()) for key, number in rows[:_MOST])


def _items(group: Any) -> list[tuple[str, Any]]:
    return list(group.items())


def _number(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
