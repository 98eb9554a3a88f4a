"""What goes over the socket for one event, and what a subscription keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwatch.control.feed import KEPT, Feed, line
from mcpwatch.events import HoldClosed


@pytest.mark.parametrize(
    "value",
    [
        {"n": 10**40},
        {"t": "é\u2028\x00\x1b"},
        {"t": "\ud800 alone"},
        {"deep": [[[{"a": None}]]]},
        {"f": 1e300, "b": True},
    ],
)
def test_every_value_travels_in_one_line_and_comes_back_equal(value: dict[str, Any]) -> None:
    sent = line(value)
    assert sent.count(b"\n") == 1
    assert json.loads(sent) == value


async def test_of_too_many_events_the_newest_are_kept_and_the_lost_ones_counted() -> None:
    feed = Feed()
    subscription = feed.subscribe()
    for number in range(KEPT + 7):
        feed.publish(HoldClosed(number, "c", "timeout"))
    lines = (await subscription.take()).splitlines()
    assert json.loads(lines[0]) == {"type": "dropped", "count": 7}
    assert json.loads(lines[1])["at_ms"] == 7


async def test_of_too_large_events_the_newest_are_kept() -> None:
    feed = Feed()
    subscription = feed.subscribe()
    for number in range(200):
        feed.publish({"number": number, "text": "x" * 2**20})
    lines = (await subscription.take()).splitlines()
    assert len(lines) < 70
    assert json.loads(lines[0])["type"] == "dropped"
    assert json.loads(lines[-1])["number"] == 199


async def test_who_left_gets_nothing_more() -> None:
    feed = Feed()
    subscription = feed.subscribe()
    feed.leave(subscription)
    feed.publish(HoldClosed(1, "c", "timeout"))
    assert len(feed) == 0
