"""When the audit cannot be written: refused, said, and recovered from without a restart."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mcpwatch.audit import query, recovery, schema, store, writer
from mcpwatch.audit.journal import AuditLog
from mcpwatch.audit.verify import verify
from mcpwatch.errors import AuditError
from mcpwatch.events import Frozen
from tests.audit.support import START_MS, Clock, States, call, opened, outcome


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_MS", 50)
    monkeypatch.setattr(writer, "RETRY_S", 0.02)
    monkeypatch.setattr(writer, "CHECK_S", 0.0)


class Faulty(sqlite3.Connection):
    """Fails every statement while `fault` is set, as SQLite does: before it ran, or after it took effect."""

    fault: ClassVar[sqlite3.Error | None] = None
    afterwards: ClassVar[bool] = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if Faulty.fault is None:
            return super().execute(sql, parameters)
        if Faulty.afterwards and sql.startswith("INSERT INTO rows"):
            super().execute(sql, parameters)
        raise Faulty.fault


def _fault(code: int, text: str) -> sqlite3.Error:
    fault = sqlite3.OperationalError(text)
    fault.sqlite_errorcode = code
    return fault


@pytest.fixture
def faulty() -> Any:
    Faulty.fault, Faulty.afterwards = None, False
    yield Faulty
    Faulty.fault = None


async def _recovered(log: AuditLog) -> None:
    async with asyncio.timeout(5):
        while log.state.state != "ok":
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (sqlite3.SQLITE_FULL, "database or disk is full", "the disk is full"),
        (sqlite3.SQLITE_BUSY, "database is locked", "another program holds its lock"),
        (sqlite3.SQLITE_READONLY, "attempt to write a readonly database", "it is read-only"),
        (sqlite3.SQLITE_IOERR | 3 << 8, "disk I/O error", "the disk failed"),
        (0, "something new", "something new"),
    ],
)
async def test_a_log_that_cannot_be_written_refuses_says_why_and_recovers(
    path: Path, faulty: type[Faulty], code: int, text: str, words: str
) -> None:
    states = States()
    async with opened(path, on_state=states, factory=Faulty) as log:
        await log.intend(call("before"))
        faulty.fault = _fault(code, text)
        with pytest.raises(AuditError, match=words):
            await log.intend(call("refused"))
        with pytest.raises(AuditError, match=words):
            await log.settle(outcome("before", "tool_error"))
        assert log.state.state == "failed"
        assert str(path) in log.state.error
        faulty.fault = None
        await _recovered(log)
        await log.intend(call("after"))
    assert states.names() == ["failed", "ok"]
    outcomes = {record["call_id"]: record["outcome"] for record in query.search(path)}
    assert outcomes == {"before": "tool_error", "after": None}
    assert verify(path).ok


async def test_the_next_call_tries_again_at_once(
    path: Path, faulty: type[Faulty], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 1000.0)
    async with opened(path, factory=Faulty) as log:
        faulty.fault = _fault(sqlite3.SQLITE_FULL, "full")
        with pytest.raises(AuditError):
            await log.intend(call("a"))
        faulty.fault = None
        assert await log.intend(call("b")) == 1
        assert log.state.state == "ok"


async def test_a_row_that_was_refused_but_written_all_the_same_is_marked_as_not_sent(
    path: Path, faulty: type[Faulty]
) -> None:
    async with opened(path, factory=Faulty) as log:
        faulty.fault, faulty.afterwards = _fault(sqlite3.SQLITE_IOERR, "lost the disk"), True
        with pytest.raises(AuditError):
            await log.intend(call("a"))
        faulty.fault = None
        await _recovered(log)
        assert await log.intend(call("b")) == 2
    records = {record["call_id"]: record for record in query.search(path)}
    assert records["a"]["outcome"] == "not_sent"
    assert records["b"]["outcome"] is None
    assert verify(path).ok


async def test_a_call_under_way_during_a_failure_gets_its_own_outcome(path: Path, faulty: type[Faulty]) -> None:
    async with opened(path, factory=Faulty) as log:
        await log.intend(call("a"))
        faulty.fault = _fault(sqlite3.SQLITE_FULL, "full")
        with pytest.raises(AuditError):
            await log.intend(call("b"))
        faulty.fault = None
        await _recovered(log)
        await log.settle(outcome("a", "timeout"))
    assert [record["outcome"] for record in query.search(path)] == ["timeout"]


async def test_events_of_a_failed_time_are_written_afterwards(path: Path, faulty: type[Faulty]) -> None:
    async with opened(path, factory=Faulty) as log:
        faulty.fault = _fault(sqlite3.SQLITE_FULL, "full")
        with pytest.raises(AuditError):
            await log.note(Frozen(START_MS, "*", True, "root"))
        faulty.fault = None
        await _recovered(log)
    assert [event["scope"] for event in query.events(path, kind="frozen")] == ["*"]


async def test_everybody_who_waits_is_refused_together(path: Path, faulty: type[Faulty]) -> None:
    async with opened(path, factory=Faulty) as log:
        faulty.fault = _fault(sqlite3.SQLITE_FULL, "full")
        answers = await asyncio.gather(*(log.intend(call(f"{n}")) for n in range(300)), return_exceptions=True)
        assert all(isinstance(answer, AuditError) for answer in answers)
        faulty.fault = None
        await _recovered(log)
    assert query.search(path) == []


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_another_program_that_holds_the_lock_is_waited_for_and_then_refused(path: Path) -> None:
    async with opened(path) as log:
        async with _locked(path):
            with pytest.raises(AuditError, match="another program holds its lock"):
                await log.intend(call("a"))
        assert await log.intend(call("b")) == 1


async def test_a_full_disk_refuses_and_recovers(path: Path) -> None:
    class Small(sqlite3.Connection):
        pages: ClassVar[int] = 0

        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            super().execute(f"PRAGMA max_page_count = {Small.pages or 2_000_000}")
            return super().execute(sql, parameters)

    async with opened(path, factory=Small) as log:
        await log.intend(call("a", args={"x": "y" * 100_000}))
        Small.pages = 1
        with pytest.raises(AuditError, match="the disk is full"):
            await log.intend(call("b", args={"x": "y" * 100_000}))
        Small.pages = 0
        await log.intend(call("c"))
    assert [record["call_id"] for record in query.search(path)] == ["a", "c"]
    assert verify(path).ok


async def test_a_damaged_file_is_set_aside_at_the_start_and_named_by_the_new_chain(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
    path.write_bytes(b"this is no database at all, whatever it was before" * 100)
    async with opened(path) as log:
        assert await log.intend(call("b")) == 2
    kept = path.with_name("audit.db.corrupt-20261122T103000000Z")
    assert kept.exists()
    report = verify(path)
    assert report.ok
    assert any(kept.name in remark for remark in report.remarks)


async def test_a_file_damaged_in_use_is_set_aside_without_a_restart(path: Path, faulty: type[Faulty]) -> None:
    states = States()
    async with opened(path, on_state=states, factory=Faulty) as log:
        await log.intend(call("a"))
        await log.intend(call("under way"))
        for file in path.parent.glob("audit.db*"):
            file.write_bytes(b"scribbled over" * 1000)
        faulty.fault = _fault(sqlite3.SQLITE_CORRUPT, "database disk image is malformed")
        with pytest.raises(AuditError, match="damaged"):
            await log.intend(call("refused"))
        faulty.fault = None
        await _recovered(log)
        assert await log.intend(call("b")) == 3
        await log.settle(outcome("under way"))
        await log.settle(outcome("b"))
    assert [(record["call_id"], record["outcome"]) for record in query.search(path)] == [("b", "ok")]
    assert states.names() == ["failed", "ok"]
    assert verify(path).ok


async def test_a_failing_index_is_a_failing_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoIndex(sqlite3.Connection):
        broken: ClassVar[bool] = False

        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            if NoIndex.broken and sql == schema.MOVE_MARK:
                raise _fault(sqlite3.SQLITE_IOERR, "no index")
            return super().execute(sql, parameters)

    monkeypatch.setattr(writer, "INDEX_STEP", 10)
    states = States()
    async with opened(path, on_state=states, factory=NoIndex) as log:
        NoIndex.broken = True
        for number in range(10):
            await log.intend(call(f"{number}"))
        async with asyncio.timeout(5):
            while log.state.state == "ok":
                await asyncio.sleep(0.005)
        NoIndex.broken = False
        await _recovered(log)
    assert states.names()[:1] == ["failed"]
    assert [record["call_id"] for record in query.search(path)] == [f"{number}" for number in range(10)]


async def test_a_file_removed_in_use_is_noticed_and_its_head_is_named(path: Path) -> None:
    async with opened(path) as log:
        await log.intend(call("a"))
        for file in path.parent.glob("audit.db*"):
            file.unlink()
        with pytest.raises(AuditError, match="removed or replaced"):
            await log.intend(call("b"))
        assert await log.intend(call("c")) == 2
    report = verify(path)
    assert [fault.message.partition(" (")[0] for fault in report.faults] == ["the log before this one is gone"]


async def test_a_file_of_a_later_version_is_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(AuditError, match="its form 99 is not known"):
        await AuditLog.open(path, instance="default", now_ms=Clock())


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="file"):
        await AuditLog.open(tmp_path / "file" / "audit.db", instance="default", now_ms=Clock())


class Failing(sqlite3.Connection):
    """Fails the statement number `at`, of all connections together, once."""

    at: ClassVar[int] = 0
    count: ClassVar[int] = 0
    afterwards: ClassVar[bool] = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        Failing.count += 1
        if Failing.count != Failing.at:
            return super().execute(sql, parameters)
        if Failing.afterwards:
            super().execute(sql, parameters)
        raise _fault(sqlite3.SQLITE_IOERR, f"statement {Failing.at}")


async def _work(path: Path) -> tuple[dict[str, int], set[str]]:
    """Calls in parallel and one after the other; returns what was acknowledged: numbers, and settled ids."""
    numbers: dict[str, int] = {}
    settled: set[str] = set()

    async def one(call_id: str) -> None:
        with suppress(AuditError):
            numbers[call_id] = await log.intend(call(call_id))
            await log.settle(outcome(call_id))
            settled.add(call_id)

    try:
        async with opened(path, factory=Failing) as log:
            for call_id in ("a", "b"):
                await one(call_id)
            await asyncio.gather(*(one(f"c{number}") for number in range(5)))
            with suppress(AuditError):
                await log.note(Frozen(START_MS, "*", True))
            await one("d")
    except AuditError:
        assert not numbers
    return numbers, settled


@pytest.mark.parametrize("afterwards", [False, True], ids=["before it ran", "after it took effect"])
async def test_whichever_statement_fails_no_acknowledged_row_is_missing(path: Path, afterwards: bool) -> None:
    Failing.at, Failing.afterwards = 0, afterwards
    Failing.count = 10**6
    while Failing.count >= Failing.at:
        Failing.at, Failing.count = Failing.at + 1, 0
        shutil.rmtree(path.parent, ignore_errors=True)
        numbers, settled = await _work(path)
        async with opened(path):
            pass
        records = {record["call_id"]: record for record in query.search(path)}
        assert {call_id: records[call_id]["seq"] for call_id in numbers} == numbers
        assert all(records[call_id]["outcome"] == "ok" for call_id in settled)
        assert all(record["outcome"] in ("ok", "not_sent", "unknown") for record in records.values())
        report = verify(path)
        assert report.ok, (Failing.at, report.faults)
    assert Failing.at > 20


async def test_whenever_a_statement_is_interrupted_no_acknowledged_row_is_missing(path: Path) -> None:
    class Interrupted(sqlite3.Connection):
        after: ClassVar[int] = 0

        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            steps = iter(range(Interrupted.after))
            self.set_progress_handler((lambda: next(steps, None) is None) if Interrupted.after else None, 7)
            return super().execute(sql, parameters)

    acknowledged: dict[str, int] = {}
    async with opened(path, factory=Interrupted) as log:
        for after in range(1, 40):
            Interrupted.after = after
            try:
                acknowledged[f"{after}"] = await log.intend(call(f"{after}"))
            except AuditError:
                Interrupted.after = 0
                acknowledged[f"{after} again"] = await log.intend(call(f"{after} again"))
        Interrupted.after = 0
    assert {record["call_id"]: record["seq"] for record in query.search(path)}.items() >= acknowledged.items()
    assert verify(path).ok


def test_every_code_of_sqlite_has_its_words() -> None:
    assert recovery.explain(Path("/x/audit.db"), _fault(sqlite3.SQLITE_FULL, "full")) == (
        "/x/audit.db: the disk is full (full)"
    )
    assert recovery.explain(Path("/x"), OSError(28, "No space left on device")) == "/x: the disk is full"
