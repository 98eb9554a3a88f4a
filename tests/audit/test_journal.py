"""What the gateway may rely on: when a call returns, its row is there."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.audit import query
from mcpwatch.audit.chain import read_anchor
from mcpwatch.audit.journal import AuditLog
from mcpwatch.audit.store import LOG_KEPT_BYTES
from mcpwatch.audit.verify import verify
from mcpwatch.errors import AuditError
from mcpwatch.events import CallDecided, Frozen, OutcomeKind, PolicyInstalled
from mcpwatch.policy.values import Charge
from tests.audit.support import RECORD, START_MS, Clock, call, opened, outcome


async def test_a_decision_can_be_read_by_others_as_soon_as_intend_returns(path: Path) -> None:
    async with opened(path) as log:
        seq = await log.intend(call("a"))
        record = query.show(path, seq)
    assert record is not None
    assert (record["call_id"], record["decision"], record["outcome"]) == ("a", "allow", None)


async def test_an_outcome_can_be_read_by_others_as_soon_as_settle_returns(path: Path) -> None:
    async with opened(path) as log:
        seq = await log.intend(call("a"))
        await log.settle(outcome("a", "tool_error", error="no such pod"))
        record = query.show(path, seq)
    assert record is not None
    assert (record["outcome"], record["latency_ms"], record["result_bytes"]) == ("tool_error", 12.5, 345)
    assert record["error"] == "no such pod"


async def test_calls_are_numbered_without_gaps_across_restarts(path: Path) -> None:
    seqs: list[int] = []
    for run in range(3):
        async with opened(path) as log:
            for number in range(2):
                seqs.append(await log.intend(call(f"{run}-{number}")))
                await log.settle(outcome(f"{run}-{number}"))
    assert seqs == [1, 2, 3, 4, 5, 6]


async def test_a_held_call_keeps_its_number_and_shows_its_final_decision(path: Path) -> None:
    async with opened(path) as log:
        first = await log.intend(call("a", decision="hold"))
        await log.intend(call("b"))
        assert query.search(path, "dec:hold")[0]["outcome"] is None
        final = await log.intend(call("a", decision="allow", held_ms=900, approved_by="root", at_ms=START_MS + 900))
        await log.settle(outcome("a"))
        records = query.search(path)
    assert first == final == 1
    assert [record["call_id"] for record in records] == ["a", "b"]
    assert (records[0]["decision"], records[0]["held_ms"], records[0]["approved_by"]) == ("allow", 900, "root")
    assert records[0]["at"] == "2026-11-22T10:30:00.000Z"
    assert records[0]["outcome"] == "ok"


async def test_a_refused_hold_was_not_sent(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a", decision="hold"))
        await log.intend(call("a", decision="deny", rule="/tools/x/approve_if/0"))
    assert [(r["decision"], r["outcome"]) for r in query.search(path)] == [("deny", "not_sent")]


class Counting(sqlite3.Connection):
    inserts = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        Counting.inserts += sql.startswith("INSERT INTO rows")
        return super().execute(sql, parameters)


async def test_callers_who_wait_together_share_a_commit(path: Path) -> None:
    async with opened(path, factory=Counting) as log:
        Counting.inserts = 0
        seqs = await asyncio.gather(*(log.intend(call(f"{number}")) for number in range(100)))
    assert sorted(seqs) == list(range(1, 101))
    assert Counting.inserts <= 4


async def test_the_first_outcome_of_a_call_counts(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
        await log.settle(outcome("a", "timeout"))
        await log.settle(outcome("a", "ok"))
        await log.settle(outcome("nobody knows this one"))
    assert [r["outcome"] for r in query.search(path)] == ["timeout"]
    assert verify(path).ok


async def test_a_caller_who_goes_away_before_the_answer_did_not_send_anything(path: Path) -> None:
    async with opened(path) as log:
        waiting = asyncio.ensure_future(log.intend(call("a")))
        await asyncio.sleep(0)
        waiting.cancel()
        await log.intend(call("b"))
    first, second = query.search(path)
    assert (first["outcome"], first["error"]) == ("not_sent", "the caller went away")
    assert second["outcome"] is None


async def _left_behind(path: Path, tmp_path: Path) -> Path:
    """The files as a killed gateway leaves them: one call settled, one forwarded, one held, one refused."""
    copy = tmp_path / "copy" / path.name
    async with opened(path) as log:
        await log.intend(call("settled"))
        await log.settle(outcome("settled"))
        await log.intend(call("forwarded"))
        await log.intend(call("held", decision="hold", charges=()))
        await log.intend(call("denied", decision="deny", charges=()))
        shutil.copytree(path.parent, copy.parent)
    return copy


async def test_calls_that_a_killed_gateway_left_open_are_marked_at_the_next_start(path: Path, tmp_path: Path) -> None:
    copy = await _left_behind(path, tmp_path)
    async with opened(copy):
        pass
    outcomes = {record["call_id"]: record["outcome"] for record in query.search(copy)}
    assert outcomes == {"settled": "ok", "forwarded": "unknown", "held": "not_sent", "denied": "not_sent"}
    assert verify(copy).ok


@pytest.mark.parametrize(("kind", "counted"), [("ok", 1), ("tool_error", 1), ("unknown", 1), ("not_sent", 0)])
async def test_what_forwarded_calls_counted_is_given_back_at_the_start(
    path: Path, kind: OutcomeKind, counted: int
) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
        await log.settle(outcome("a", kind))
    async with opened(path) as log:
        assert await log.restore_charges(START_MS - 1) == [("eks", RECORD.charges[0])] * counted


async def test_charges_come_back_exactly_and_only_while_their_window_lasts(path: Path) -> None:
    exact = Charge(("spend", "näme", 86_400_000), 10**25 + 1, START_MS)
    part = Charge(("spend", "x", 86_400_000), 0.1, START_MS)
    over = Charge(("rate", "x", 60_000), 1, START_MS)
    clock = Clock()
    async with opened(path, now_ms=clock) as log:
        await log.intend(call("a", charges=(exact, part, over)))
        await log.intend(call("b", decision="deny", charges=(exact,)))
        await log.intend(call("c", decision="hold", charges=()))
        await log.intend(call("c", decision="allow", charges=(part,)))
        for call_id in ("a", "c"):
            await log.settle(outcome(call_id))
    clock.now_ms += 60_000
    async with opened(path, now_ms=clock) as log:
        assert await log.restore_charges(START_MS) == [("eks", exact), ("eks", part), ("eks", part)]
        assert await log.restore_charges(START_MS + 1) == []


async def test_only_the_owner_can_read_whatever_the_umask_says(path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(path) as log:
            await log.intend(call("a"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"audit.db": 0o600, "audit.db-wal": 0o600, "audit.db-shm": 0o600, "audit.head": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_text_of_a_policy_is_kept_once_however_often_it_comes_into_force(path: Path) -> None:
    text = '{"version": "1"}\r\n'
    digest = hashlib.sha256(text.encode()).hexdigest()
    async with opened(path) as log:
        await log.note(PolicyInstalled(START_MS, "eks", "policy.json", digest, text))
        await log.note(PolicyInstalled(START_MS + 5, "eks", "policy.json", digest, text, by="root"))
        await log.note(PolicyInstalled(START_MS + 6, "git", "git.json", digest, text))
    assert sqlite3.connect(path).execute("SELECT count(*) FROM policies").fetchone() == (1,)
    history = query.policies(path, "eks")
    assert [(entry["at"], entry["by"], entry["text"]) for entry in history] == [
        ("2026-11-22T10:30:00.000Z", "file", text),
        ("2026-11-22T10:30:00.005Z", "root", text),
    ]
    assert query.policy_text(path, digest[:12]) == text
    assert query.policy_text(path, "f" * 12) is None
    assert verify(path).ok


async def test_events_are_rows_of_the_same_chain(path: Path) -> None:
    async with opened(path) as log:
        await log.note(Frozen(START_MS, "grant:alice", True, "root"))
        await log.intend(call("a"))
        assert log.rows == 3
    [frozen] = query.events(path, kind="frozen")
    assert (frozen["row"], frozen["scope"], frozen["on"], frozen["by"]) == (2, "grant:alice", True, "root")


async def test_a_call_is_not_an_event(path: Path) -> None:
    async with opened(path) as log:
        with pytest.raises(ValueError, match="intend"):
            await log.note(CallDecided(call("a")))


async def test_stopping_puts_down_the_head_and_leaves_no_log_behind(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
        rows = log.rows
    anchor = read_anchor(path)
    assert anchor is not None
    assert (anchor.row, anchor.seq) == (rows, 1)
    assert sorted(file.name for file in path.parent.iterdir()) == ["audit.db", "audit.head"]


async def test_a_head_is_put_down_every_thousand_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcpwatch.audit.writer.ANCHOR_PAUSE_S", 0.0)
    async with opened(path) as log:
        for start in range(0, 1100, 100):
            await asyncio.gather(*(log.intend(call(f"{start + number}")) for number in range(100)))
        async with asyncio.timeout(5):
            while (anchor := read_anchor(path)) is None or anchor.row < 1000:
                await asyncio.sleep(0.01)


async def test_the_write_ahead_log_is_moved_into_the_file_while_calls_go_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcpwatch.audit.writer.LOG_BYTES", 400_000)
    log_file = path.with_name("audit.db-wal")
    async with opened(path) as log:
        for start in range(20):
            await asyncio.gather(*(log.intend(call(f"{start}-{number}")) for number in range(100)))
        async with asyncio.timeout(30):
            while log_file.stat().st_size > LOG_KEPT_BYTES or path.stat().st_size < 1_000_000:
                await asyncio.gather(*(log.intend(call(f"{os.urandom(8).hex()}")) for _ in range(50)))


async def test_after_closing_nothing_is_recorded_any_more(path: Path) -> None:
    async with opened(path) as log:
        pass
    with pytest.raises(AuditError, match="closed"):
        await log.intend(call("a"))


async def test_closing_writes_what_still_waits(path: Path) -> None:
    log = await AuditLog.open(path, instance="default", now_ms=Clock())
    waiting = [asyncio.ensure_future(log.intend(call(f"{number}"))) for number in range(200)]
    await asyncio.sleep(0)
    await log.close()
    assert sorted(await asyncio.gather(*waiting)) == list(range(1, 201))
    assert len(query.search(path)) == 200


def _huge() -> int:
    return int("7" * 4000) ** 2


STRANGE: dict[str, Any] = {
    "a lone surrogate": {"x": "\ud800"},
    "a lone surrogate as a name": {"\udfff": 1},
    "not a number": {"x": math.nan},
    "infinity": {"x": -math.inf},
    "a big integer": {"x": 10**4000},
    "an integer that Python does not read": {"x": _huge()},
    "a null character": {"x": "a\0b"},
    "quotes": {"x": "'\"\\; DROP TABLE rows; --"},
    "control characters": {"x": "\x1b]52;c;\x07\u2028\u202e"},
    "a list": [1, 2],
    "nothing": None,
}


@pytest.mark.parametrize("args", STRANGE.values(), ids=STRANGE.keys())
async def test_no_argument_keeps_a_call_out_of_the_audit(path: Path, args: Any) -> None:
    async with opened(path) as log:
        await log.intend(call("a", args=args))
        await log.settle(outcome("a"))
    assert [record["outcome"] for record in query.search(path)] == ["ok"]
    assert verify(path).ok


async def test_deep_arguments_are_cut_instead_of_refused(path: Path) -> None:
    deep: Any = 1
    for _ in range(800):
        deep = [deep]
    async with opened(path) as log:
        await log.intend(call("a", args={"x": deep}, tool="\ud800"))
    assert "[too deep]" in str(query.search(path)[0]["args"])


async def test_exact_arguments_come_back(path: Path) -> None:
    args = {"n": 10**30, "f": 0.1, "t": [True, None, -0.0], "ü": "\u2028é\U0001f600"}
    async with opened(path) as log:
        await log.intend(call("a", args=args))
    record = query.show(path, "a")
    assert record is not None
    assert record["args"] == args
