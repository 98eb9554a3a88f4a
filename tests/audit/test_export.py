"""The audit for other programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from mcpwatch.audit import query
from mcpwatch.audit.export import csv_lines, json_lines, stats
from tests.audit.support import START_MS, call, opened, outcome


async def _some(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a", args={"n": 10**30, "s": "é\u2028\ud800"}))
        await log.settle(outcome("a", latency_ms=10.0))
        await log.intend(call("b", decision="deny", rule="/tools/x/limits/rate", grant="bob", at_ms=START_MS + 1000))
        await log.intend(call("c"))
        await log.settle(outcome("c", "timeout", latency_ms=60_000.0, result_bytes=0))
        await log.intend(call("d", tool="get"))


async def test_json_lines_lose_nothing(path: Path) -> None:
    await _some(path)
    lines = list(json_lines(query.each(path)))
    assert [json.loads(line) for line in lines] == query.search(path)
    assert all(line.isascii() and line.endswith("\n") and "\n" not in line[:-1] for line in lines)


async def test_csv_has_one_row_for_each_call(path: Path) -> None:
    await _some(path)
    rows = list(csv.DictReader(io.StringIO("".join(csv_lines(query.each(path))))))
    assert [(row["seq"], row["grant"], row["client"], row["outcome"]) for row in rows] == [
        ("1", "alice", "claude-code", "ok"),
        ("2", "bob", "claude-code", "not_sent"),
        ("3", "alice", "claude-code", "timeout"),
        ("4", "alice", "claude-code", ""),
    ]
    assert rows[0]["latency_ms"] == "10.0"
    assert json.loads(rows[2]["args"]) == {"kind": "Pod", "namespace": "dev"}


async def test_no_cell_is_a_formula(path: Path) -> None:
    hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", '=cmd|"/c calc"!A0', "%0A=1"]
    async with opened(path) as log:
        for number, text in enumerate(hostile):
            await log.intend(call(f"{number}", tool=text, grant=text, client=text, message=text, rule=text))
    rows = list(csv.DictReader(io.StringIO("".join(csv_lines(query.each(path))), newline="")))
    assert len(rows) == len(hostile)
    for row, text in zip(rows, hostile, strict=True):
        assert [row[name] for name in ("tool", "grant", "client", "message", "rule")] == [f"'{text}"] * 5


async def test_a_cell_is_never_longer_than_a_spreadsheet_takes(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a", args={"x": "y" * 100_000}))
    [row] = csv.DictReader(io.StringIO("".join(csv_lines(query.each(path)))))
    assert len(row["args"]) < 32_767


async def test_figures_count_what_was_called_and_how_long_it_took(path: Path) -> None:
    await _some(path)
    figures = stats(path)
    assert figures["calls"] == 4
    assert (figures["first"], figures["last"]) == ("2026-11-22T10:30:00.000Z", "2026-11-22T10:30:00.000Z")
    assert figures["decision"] == {"allow": 3, "deny": 1}
    assert figures["outcome"] == {"ok": 1, "not_sent": 1, "timeout": 1, "open": 1}
    assert figures["tool"] == {"list_k8s_resources": 3, "get": 1}
    assert figures["rule"] == {"/tools/x/limits/rate": 1}
    assert figures["latency_ms"] == {"p50": 10.0, "p95": 10.0, "p99": 10.0, "max": 10.0}
    assert figures["result_bytes"] == 345
    assert stats(path, "grant:bob")["calls"] == 1
    assert stats(path, since_ms=START_MS + 500)["calls"] == 1


async def test_figures_of_nothing_are_empty(path: Path) -> None:
    async with opened(path):
        pass
    figures = stats(path)
    assert (figures["calls"], figures["first"], figures["latency_ms"]["p50"]) == (0, None, None)
