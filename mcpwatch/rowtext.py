"""The JSON text of decisions and outcomes, made once: the audit hashes and stores it, consoles get the same bytes.

All texts are objects without their opening brace, so that what only the reader knows (a row's number, a type) can
stand in front.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from mcpwatch.events import CallOutcome, CallRecord
from mcpwatch.records import outcome_to_json, record_to_json

DEPTH = 200
"""Deeper values than this are cut; `to_json` itself gives up at 256."""


def decision_text(record: CallRecord) -> bytes:
    """`record_to_json` without `seq`."""
    if not record.text:
        values = record_to_json(record)
        del values["seq"]
        # The record is frozen for its readers; this says nothing that it does not say itself.
        object.__setattr__(record, "text", fields(values))
    return record.text


def outcome_text(outcome: CallOutcome) -> bytes:
    """`outcome_to_json`."""
    if not outcome.text:
        object.__setattr__(outcome, "text", fields(outcome_to_json(outcome)))
    return outcome.text


def fields(values: dict[str, Any]) -> bytes:
    """JSON without its opening brace. Never raises: what JSON cannot hold (lone surrogates, NaN) is written as text."""
    try:
        return to_json(values, inf_nan_mode="strings")[1:]
    except ValueError:
        return to_json(_plain(values, DEPTH), inf_nan_mode="strings", fallback=repr)[1:]


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if depth == 0:
        return "[too deep]"
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())  # pyright: ignore[reportUnknownArgumentType]
        return {str(_plain(key, 1)): _plain(item, depth - 1) for key, item in items}
    if isinstance(value, list | tuple):
        members: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return [_plain(item, depth - 1) for item in members]
    return value
