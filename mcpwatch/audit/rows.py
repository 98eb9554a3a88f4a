"""What the rows of the audit hold: calls, outcomes, events and the log's own remarks, each as one JSON object."""

from __future__ import annotations

import json
from typing import Any

from mcpwatch.audit.chain import Entry, Head, head_json
from mcpwatch.events import CallDecided, CallOutcome, CallRecord, CallSettled, Event, PolicyInstalled
from mcpwatch.records import event_to_json
from mcpwatch.rowtext import decision_text, fields, outcome_text

CALL = "call"
OUTCOME = "outcome"
CHAIN = "chain"
ALARM = "alarm"


def call_entry(record: CallRecord, seq: int) -> Entry:
    """The row of a decision; `seq` 0 for a call that has no number yet."""
    return Entry(CALL, decision_text(record), seq)


def outcome_entry(outcome: CallOutcome, seq: int) -> Entry:
    """The row of an outcome; with `seq` 0 it belongs to no call that is open and changes no record."""
    return Entry(OUTCOME, outcome_text(outcome), seq)


def event_entry(event: Event) -> Entry:
    """The row of an event that is no call. A policy's text is kept apart, once by digest."""
    if isinstance(event, CallDecided | CallSettled):
        raise ValueError("calls are recorded by intend and settle")
    values = event_to_json(event)
    kind = values.pop("type")
    policy = (event.digest, values.pop("text")) if isinstance(event, PolicyInstalled) else None
    return Entry(kind, fields(values), policy=policy)


def chain_entry(chain: str, at_ms: int, instance: str, before: Head | None, file: str | None) -> Entry:
    """The first row of a chain: the head of the log that it continues, and the file that was set aside (a name)."""
    named = None if before is None else {**head_json(before), "file": file}
    values = {"chain": chain, "at_ms": at_ms, "instance": instance, "before": named}
    return Entry(CHAIN, fields(values), before.seq if before else 0)


def alarm_entry(at_ms: int, text: str, anchor: Head | None) -> Entry:
    """The log was not as its anchor says when it was opened. The row keeps what the next anchor would hide."""
    return Entry(ALARM, fields({"at_ms": at_ms, "text": text, "anchor": anchor and head_json(anchor)}))


def read_body(body: str) -> dict[str, Any]:
    """A row's JSON. Raises ValueError."""
    return read_json(body)


def read_json(text: str) -> Any:
    """JSON with exact integers; one of more digits than Python reads becomes text. Raises ValueError."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) < 4000 else digits
