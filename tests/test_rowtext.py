"""The text of a record is made once, and says what the record says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mcpwatch.control.feed import Feed
from mcpwatch.events import CallDecided, CallOutcome, CallSettled, Event
from mcpwatch.records import event_from_json, record_to_json
from mcpwatch.rowtext import decision_text
from tests.audit.support import call, outcome


def test_a_changed_record_has_a_text_of_its_own() -> None:
    record = call("a")
    before = decision_text(record)
    after = json.loads(b"{" + decision_text(replace(record, rule="/x", approved_by="bob")))
    assert (after["rule"], after["approved_by"]) == ("/x", "bob")
    assert decision_text(record) is before


@pytest.mark.parametrize("event", [CallDecided(call("a", seq=7)), CallSettled(outcome("a"))])
async def test_a_console_reads_the_event_that_was_sent(event: Event) -> None:
    feed = Feed()
    subscription = feed.subscribe()
    feed.publish(event)
    assert event_from_json(json.loads(await subscription.take())) == event


def test_what_json_cannot_hold_is_written_as_text() -> None:
    values = json.loads(b"{" + decision_text(call("a", args={"x": "\ud800", "y": float("inf")})))
    assert values["args"] == {"x": "\\ud800", "y": "Infinity"}


def test_every_field_but_the_number_is_in_the_text() -> None:
    record = call("a", seq=3)
    expected = record_to_json(record)
    assert expected.pop("seq") == 3
    assert json.loads(b"{" + decision_text(record)) == expected


def test_an_outcome_says_nothing_of_its_text() -> None:
    assert "text" not in repr(CallOutcome("a", 1, "ok", 1.0, 2))
