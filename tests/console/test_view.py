"""Which calls a list shows, in which line, and how wide its columns are."""

from __future__ import annotations

import pytest

from mcpwatch.console.columns import Needs, plan
from mcpwatch.console.ring import Ring
from mcpwatch.console.view import View
from mcpwatch.filters import parse_filter
from tests.console.feed import START_MS, Object


def row(tool: str, decision: str = "allow") -> Object:
    return {
        "call_id": f"{tool}-{decision}-{id(object())}",
        "at": "2026-11-22T10:30:00.000Z",
        "tool": tool,
        "method": "tools/call",
        "grant": "a",
        "client": {"name": "c", "version": "1"},
        "decision": decision,
        "rule": "",
        "reason": "",
        "message": "",
        "args": {},
        "latency_ms": None,
    }


def ring_of(*tools: str, capacity: int = 100) -> Ring:
    ring = Ring(capacity)
    for number, tool in enumerate(tools):
        ring.append(row(tool) | {"call_id": str(number)})
    return ring


def test_without_a_filter_lines_are_the_ring() -> None:
    ring = ring_of("a", "b", "c", "d", capacity=3)
    view = View(ring)
    assert len(view) == 3
    assert [view.number_at(line) for line in range(3)] == [1, 2, 3]
    assert view.line_of(2) == 1
    ring.append(row("e"))
    assert view.take([]) == 1
    with pytest.raises(IndexError):
        view.number_at(3)


def test_a_filter_keeps_only_what_matches_and_follows_new_calls() -> None:
    ring = ring_of("a", "b", "a")
    view = View(ring)
    view.use(parse_filter("tool:a"))
    assert [view.number_at(line) for line in range(len(view))] == [0, 2]
    ring.append(row("b"))
    ring.append(row("a"))
    assert view.take([]) == 1
    assert [view.number_at(line) for line in range(len(view))] == [0, 2, 4]
    assert view.line_of(3) == 2
    assert (view.shows(2), view.shows(3)) == (True, False)


def test_a_call_that_changes_enters_or_leaves_the_filter() -> None:
    ring = ring_of("a", "b", "c")
    view = View(ring)
    view.use(parse_filter("ms>500"))
    assert len(view) == 0
    ring[1].settle({"outcome": "ok", "latency_ms": 900, "result_bytes": 1, "error": ""})
    ring[0].settle({"outcome": "ok", "latency_ms": 600, "result_bytes": 1, "error": ""})
    view.take([1, 0])
    assert [view.number_at(line) for line in range(len(view))] == [0, 1]
    ring[0].settle({"outcome": "ok", "latency_ms": 6, "result_bytes": 1, "error": ""})
    view.take([0])
    assert [view.number_at(line) for line in range(len(view))] == [1]


def test_calls_that_leave_the_ring_leave_the_filtered_list() -> None:
    ring = ring_of("a", "b", "a", capacity=3)
    view = View(ring)
    view.use(parse_filter("tool:a"))
    ring.append(row("a"))
    view.take([])
    assert [view.number_at(line) for line in range(len(view))] == [2, 3]


@pytest.mark.parametrize("width", [60, 79, 80, 81, 100, 119, 130, 160, 220])
def test_columns_fill_the_width_exactly_and_never_overflow(width: int) -> None:
    columns = plan(width, Needs(tool=24, caller=9, used=3, most=4)).columns
    assert 1 + sum(column.width + 1 for column in columns) - 1 <= width
    assert [column.name for column in columns[:3]] == ["time", "decision", "tool"]


def test_what_matters_least_is_dropped_first() -> None:
    needs = Needs(tool=24, caller=8, used=3, most=3)
    names = {width: [column.name for column in plan(width, needs).columns] for width in (46, 60, 70, 80, 110)}
    assert names[46] == ["time", "decision", "tool"]
    assert names[60] == ["time", "decision", "tool", "counter", "latency"]
    assert names[70] == ["time", "decision", "tool", "caller", "counter", "latency"]
    assert names[80] == [*names[70], "args"]
    assert names[110] == [*names[70], "why", "args"]


def test_tool_names_are_not_cut_at_eighty_columns() -> None:
    columns = {column.name: column.width for column in plan(79, Needs(tool=29)).columns}
    assert columns["tool"] == 29


def test_the_ring_is_in_utc_whatever_the_time_says() -> None:
    assert ring_of("a")[0].at_ms == START_MS
