"""Reads JSON that came over the socket: what has another shape than it should counts as empty."""

from __future__ import annotations

from typing import Any, cast

Table = dict[str, Any]


def table(value: object) -> Table:
    """A JSON object, empty for anything else."""
    return cast(Table, value) if isinstance(value, dict) else {}


def tables(value: object) -> list[Table]:
    """The objects of a JSON list."""
    return [cast(Table, item) for item in items(value) if isinstance(item, dict)]


def items(value: object) -> list[Any]:
    """A JSON list, empty for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def number(value: object) -> float:
    """A JSON number, 0 for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
