"""What can be asked of the audit, and that the index never changes an answer."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.audit import query, reader, schema
from mcpwatch.audit.rows import call_entry, outcome_entry
from mcpwatch.audit.store import Store
from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.events import CallOutcome, CallRecord, OutcomeKind
from mcpwatch.filters import parse_filter
from tests.audit.support import START_MS, call, opened, outcome

FILTERS = [
    "",
    "tool:list*",
    "tool:LIST_PODS,apply_yaml",
    "-tool:list*",
    "tool:*_* -grant:bob",
    "agent:cursor",
    "-agent:alice,cursor",
    "agent:al*",
    "client:Cursor session:s-1",
    "upstream:eks",
    "-upstream:git",
    "method:tools/*",
    "dec:deny",
    "dec:limit",
    "-dec:limit",
    "dec:hidden,hold",
    "dec:observe",
    "-dec:d*",
    "rule:/tools/*",
    "-rule:/tools/*/limits/*",
    "outcome:ok,timeout",
    "outcome:open",
    "-outcome:open",
    "outcome:not_sent",
    "outcome:t*",
    "ms>50",
    "-ms>50",
    "ms<=10 dec:allow",
    "bytes>100",
    "-bytes>100",
    "held>0",
    "seq>20",
    "seq<=7",
    "policy:ab",
    "-policy:ab",
    "id:c1",
    "arg:ns=prod",
    "-arg:ns=prod",
    "arg:ns=pr*",
    "arg:n=3*",
    "arg:ns=prod,dev",
    "arg:t=*naïve",
    "arg:f=1e-07",
    "arg:f=1e+16",
    "1e-07",
    "arg:n>30",
    "arg:a.b",
    "arg:50%_off",
    "prod",
    "-prod",
    '"50%_off"',
    '"naïve"',
    "Naïve",
    "refused",
    "since:2026-11-22T10:30:30",
    "-since:2026-11-22T10:30:30",
    "until:2026-11-22T10:30:30 dec:allow",
    "by:root",
    "instance:default",
    "tool:nothing",
]


def _some(count: int, seed: int) -> list[CallRecord | CallOutcome]:
    """Calls and outcomes in the order of their rows."""
    chance = random.Random(seed)
    rows: list[CallRecord | CallOutcome] = []
    for number in range(count):
        decision = chance.choice(["allow"] * 5 + ["deny", "deny", "hold", "reject"])
        rule = chance.choice(["/tools/x/limits/rate", "(hidden)", "/tools/x/deny_if/0"]) if decision == "deny" else ""
        made = call(
            f"c{number}",
            at_ms=START_MS + number * 1000 + chance.randrange(-3000, 3000),
            tool=chance.choice(["list_pods", "apply_yaml", "List_Pods", "get", ""]),
            grant=chance.choice(["alice", "bob"]),
            client=chance.choice(["cursor", "Cursor", "claude"]),
            upstream=chance.choice(["eks", "git"]),
            session=chance.choice(["", "s-1"]),
            args=chance.choice(
                [
                    {"ns": "prod"},
                    {"namespace": "Prod", "n": number},
                    {"a": {"b": 1}},
                    {"t": "50%_off naïve"},
                    {"f": [1e-7, 1e16]},
                    {},
                ]
            ),
            decision=decision,
            rule=rule,
            message="refused" if decision == "deny" else "",
            would_deny=chance.choice(["", "", "/tools/y/deny_if/0"]),
            policy=chance.choice(["ab", "cd"]) * 32,
            reason="x",
            charges=(),
        )
        rows.append(made)
        if decision == "hold" and chance.random() < 0.7:
            rows.append(replace(made, decision="allow", at_ms=made.at_ms + 5, held_ms=5, approved_by="root"))
            decision = "allow"
        kind: OutcomeKind = chance.choice(["ok", "ok", "timeout", "tool_error"])
        if decision == "allow" and chance.random() < 0.8:
            rows.append(CallOutcome(made.call_id, made.at_ms + 5, kind, chance.random() * 100, chance.randrange(200)))
    return rows


async def _filled(path: Path, rows: list[CallRecord | CallOutcome], index_upto: int) -> None:
    store = await Store.open(path, "normal")
    seqs: dict[str, int] = {}
    for row in rows:
        seq = seqs.get(row.call_id, 0)
        entry = call_entry(row, seq) if isinstance(row, CallRecord) else outcome_entry(row, seq)
        [seqs[row.call_id]] = await store.append([entry])
    await store.fetch(schema.MOVE_MARK, (index_upto,))
    await store.close()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
async def test_an_answer_is_what_the_filter_says_however_far_the_index_is(path: Path, share: float) -> None:
    rows = _some(60, seed=int(share * 10))
    await _filled(path, rows, int(len(rows) * share))
    everything = query.search(path)
    assert [record["seq"] for record in everything] == list(range(1, 61))
    for text in FILTERS:
        wanted = parse_filter(text)
        expected = [record for record in everything if wanted.matches(record)]
        assert query.search(path, text) == expected, text
        assert list(query.each(path, text)) == expected, text
        assert query.search(path, text, 0, 40, 5) == [r for r in expected if r["seq"] < 40][-5:], text
        assert query.search(path, text, START_MS + 30_000) == [
            r for r in expected if parse_filter("since:2026-11-22T10:30:30").matches(r)
        ], text
    for record in everything:
        assert query.show(path, record["seq"]) == record
        assert query.show(path, record["call_id"]) == record
    past = list(query.replay_rows(path))
    decided = [row for row in rows if isinstance(row, CallRecord)]
    assert [(p["call_id"], p["decision"], p["held_ms"]) for p in past] == [
        (row.call_id, row.decision, row.held_ms) for row in decided
    ]
    whole = {record["call_id"]: record for record in everything}
    same = ("seq", "at", "upstream", "grant", "client", "session", "method", "tool", "args", "rule", "outcome")
    for record in past:
        known = whole[record["call_id"]]
        if record["held_ms"] is None and record["decision"] != "hold":
            assert {name: record[name] for name in same} == {name: known[name] for name in same}
            assert record["would_deny"] == known["would_deny"]


async def test_a_what_if_starts_where_it_is_told_to(path: Path) -> None:
    async with opened(path) as log:
        for number, upstream in enumerate(["eks", "git", "eks"]):
            await log.intend(call(f"{number}", upstream=upstream, at_ms=START_MS + number))
        assert [past["seq"] for past in query.replay_rows(path, START_MS + 1)] == [2, 3]
    assert [past["seq"] for past in query.replay_rows(path, START_MS + 1)] == [2, 3]
    assert [past["seq"] for past in query.replay_rows(path, upstream="eks")] == [1, 3]


async def test_pages_go_back_to_the_first_call_without_leaving_one_out(path: Path) -> None:
    await _filled(path, _some(60, seed=5), 50)
    seen: list[int] = []
    before = 0
    while True:
        page = query.page(path, "dec:allow", before_seq=before, limit=7)
        seen = [record["seq"] for record in page.rows] + seen
        before = page.before_seq
        if not before:
            break
    assert seen == [record["seq"] for record in query.search(path, "dec:allow")]


async def test_a_page_that_runs_out_of_time_says_where_to_go_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "STRETCH", 10)
    ticks = iter(range(10**6))
    monkeypatch.setattr(query.time, "monotonic", lambda: next(ticks))
    await _filled(path, _some(60, seed=5), 10**6)
    seen: list[int] = []
    before = 0
    pages = 0
    while before or not pages:
        page = query.page(path, "tool:nothing", before_seq=before, within_ms=500)
        seen += [record["seq"] for record in page.rows]
        before = page.before_seq
        pages += 1
    assert seen == []
    assert pages == 6


async def test_what_changed_after_a_row_can_be_followed(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
        await log.intend(call("b"))
        records, last = query.follow(path, 0)
        assert [record["call_id"] for record in records] == ["a", "b"]
        assert last == query.last_row(path) == log.rows
        assert query.follow(path, last) == ([], last)
        await log.settle(outcome("a"))
        records, newer = query.follow(path, last)
        assert [(record["call_id"], record["outcome"]) for record in records] == [("a", "ok")]
        assert newer == last + 1
    records, _ = query.follow(path, last)
    assert [record["call_id"] for record in records] == ["a"]


async def test_a_call_is_found_by_the_beginning_of_its_id_when_there_is_only_one(path: Path) -> None:
    async with opened(path) as log:
        for call_id in ("abc", "abd", "x*z"):
            await log.intend(call(call_id))

        def found(which: str) -> Any:
            record = query.show(path, which)
            return record and record["call_id"]

        assert [found(which) for which in ("abc", "ab", "x*", "*", "nope")] == ["abc", None, "x*z", None, None]
    assert [found(which) for which in ("abc", "ab", "x*", "*", "nope")] == ["abc", None, "x*z", None, None]
    assert query.show(path, 99) is None


ASKING: list[Callable[[Path], object]] = [
    query.search,
    query.last_row,
    query.policies,
    lambda path: list(query.each(path)),
    lambda path: query.show(path, 1),
]


@pytest.mark.parametrize("ask", ASKING)
def test_without_an_audit_the_answer_is_one_sentence(path: Path, ask: Callable[[Path], object]) -> None:
    with pytest.raises(ConfigError, match="there is no audit at"):
        ask(path)
    assert not path.exists()


@pytest.mark.parametrize("ask", ASKING)
def test_a_damaged_audit_is_said(path: Path, ask: Callable[[Path], object]) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(AuditError, match="damaged"):
        ask(path)


async def test_a_copy_that_cannot_be_written_can_be_read(path: Path, tmp_path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
    copy = tmp_path / "copy"
    shutil.copytree(path.parent, copy)
    (copy / "audit.db").chmod(0o400)
    copy.chmod(0o500)
    try:
        assert [record["call_id"] for record in query.search(copy / "audit.db")] == ["a"]
    finally:
        copy.chmod(0o700)


async def test_reading_does_not_hold_up_writing(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
        await log.intend(call("b"))
        reading = query.each(path)
        assert next(reading)["call_id"] == "a"
        await log.intend(call("c"))
        assert [record["call_id"] for record in reading] == ["b"]
        assert len(query.search(path)) == 3


@pytest.mark.parametrize("few", [0, 1000])
async def test_an_agent_is_found_whether_its_calls_are_few_or_many(
    path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_FEW", few)
    await _filled(path, _some(60, seed=3), 10**6)
    everything = query.search(path)
    for text in ("agent:alice", "agent:claude dec:allow", "agent:nobody", "agent:bob,claude"):
        assert query.search(path, text) == [r for r in everything if parse_filter(text).matches(r)]


async def test_patterns_that_sqlite_would_refuse_are_matched_all_the_same(path: Path) -> None:
    await _filled(path, _some(60, seed=3), 10**6)
    long = "*" + "l" * 60_000
    assert len(query.search(path, f"-tool:{long}")) == 60
    assert query.search(path, f"tool:{long},{long} {'x' * 60_000}") == []


async def test_a_row_that_is_no_json_any_more_is_said(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
        await log.intend(call("b"))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER rows_no_update")
    connection.execute("UPDATE rows SET body = '{' WHERE row = 2")
    connection.close()
    assert query.show(path, 2) is not None
    with pytest.raises(AuditError, match="call 1 is damaged; see mcpwatch audit verify"):
        query.search(path)


async def test_a_locked_audit_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BUSY_S", 0.01)
    await _filled(path, _some(5, seed=3), 10**6)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(AuditError, match="another program holds its lock"):
            query.search(path)
    finally:
        other.close()
