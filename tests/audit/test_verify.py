"""Ten ways to change the past, and that each of them shows."""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from mcpwatch.audit import schema
from mcpwatch.audit.chain import START, anchor_path, link
from mcpwatch.audit.verify import verify
from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.events import PolicyInstalled
from tests.audit.support import START_MS, call, opened, outcome

POLICY = '{"version": "1", "default": "deny"}'


async def _filled(path: Path) -> None:
    async with opened(path) as log:
        digest = hashlib.sha256(POLICY.encode()).hexdigest()
        await log.note(PolicyInstalled(START_MS, "eks", "policy.json", digest, POLICY))
        for number in range(10):
            await log.intend(call(f"c{number}", decision="deny" if number == 7 else "allow"))
            if number != 7:
                await log.settle(outcome(f"c{number}"))


def _unguarded(path: Path) -> sqlite3.Connection:
    """A connection of somebody who knows how to get rid of the guards, and puts them back afterwards."""
    connection = sqlite3.connect(path, isolation_level=None)
    for name in schema.TRIGGERS:
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def _guard_again(connection: sqlite3.Connection) -> None:
    for sql in schema.TRIGGERS.values():
        connection.execute(sql)
    connection.close()


def _compute_anew(connection: sqlite3.Connection) -> None:
    [(chain,)] = connection.execute("SELECT json_extract(body, '$.chain') FROM rows WHERE row = 1").fetchall()
    before = START
    for row, body in connection.execute("SELECT row, body FROM rows ORDER BY row").fetchall():
        before = link(bytes.fromhex(chain), before, body.encode())
        connection.execute("UPDATE rows SET hash = ? WHERE row = ?", (before, row))


def _edit(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE rows SET body = replace(body, 'alice', 'mallet') WHERE row = 7")


def _delete(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM rows WHERE row = 9")


def _delete_and_number_anew(connection: sqlite3.Connection) -> None:
    _delete(connection)
    connection.execute("UPDATE rows SET row = row - 1 WHERE row > 9")


def _swap(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE rows SET row = 0 WHERE row = 5")
    connection.execute("UPDATE rows SET row = 5 WHERE row = 7")
    connection.execute("UPDATE rows SET row = 7 WHERE row = 0")


def _insert(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO rows SELECT 22, kind, seq, hash, body FROM rows WHERE row = 5")


def _truncate(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM rows WHERE row > 12")
    connection.execute("DELETE FROM calls WHERE call_row > 12")
    connection.execute("UPDATE mark SET row = 12")


def _empty(connection: sqlite3.Connection) -> None:
    for table in schema.TABLES:
        connection.execute(f"DELETE FROM {table}")


def _edit_and_compute_anew(connection: sqlite3.Connection) -> None:
    _edit(connection)
    connection.execute("UPDATE calls SET \"grant\" = 'mallet' WHERE call_row = 7")
    _compute_anew(connection)


def _number(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE rows SET seq = 9 WHERE row = 7")


def _policy(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE policies SET text = replace(text, 'deny', 'allow')")


def _policy_gone(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM policies")


def _index_lies(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE calls SET decision = 'allow' WHERE decision = 'deny'")


def _index_hides(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM calls WHERE seq = 8")


def _index_points_elsewhere(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE calls SET call_row = 3 WHERE seq = 8")


def _outcome_lies(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE calls SET outcome = 'timeout' WHERE seq = 2")


def _outcome_hidden(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE calls SET outcome = NULL, outcome_row = NULL, latency_ms = NULL WHERE seq = 2")


def _table_added(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE x (y)")


CHANGES: dict[Callable[[sqlite3.Connection], None], str] = {
    _edit: "row or the one before it was changed",
    _delete: "row 9 is missing",
    _delete_and_number_anew: "changed, moved or computed anew",
    _swap: "changed, moved or computed anew",
    _insert: "changed, moved or computed anew",
    _truncate: "audit.head knows 21 rows",
    _empty: "audit.head knows 21 rows|not the log that audit.head",
    _edit_and_compute_anew: "computed anew: audit.head knows another hash",
    _number: "number, kind or call of this row",
    _policy: "the text of policy [0-9a-f]{12} was changed",
    _policy_gone: "the text of policy [0-9a-f]{12} is missing",
    _index_lies: "the search index tells something else about call 8",
    _index_hides: "the search index does not know call 8",
    _index_points_elsewhere: "the search index tells something else about call 8",
    _outcome_lies: "the search index tells another outcome of call 2",
    _outcome_hidden: "the search index does not know call 2",
    _table_added: "x was added to the file",
}


@pytest.mark.parametrize(("change", "seen"), CHANGES.items(), ids=[change.__name__ for change in CHANGES])
async def test_a_changed_past_is_seen(path: Path, change: Callable[[sqlite3.Connection], None], seen: str) -> None:
    await _filled(path)
    assert verify(path).ok
    connection = _unguarded(path)
    change(connection)
    _guard_again(connection)
    report = verify(path)
    assert not report.ok
    assert any(_found(seen, fault.message) for fault in report.faults), report.faults


@pytest.mark.parametrize("change", [_truncate, _empty, _edit_and_compute_anew], ids=["cut", "emptied", "computed anew"])
async def test_a_gateway_that_starts_afterwards_does_not_cover_it_up(
    path: Path, change: Callable[[sqlite3.Connection], None]
) -> None:
    await _filled(path)
    connection = _unguarded(path)
    change(connection)
    _guard_again(connection)
    async with opened(path) as log:
        await log.intend(call("later"))
    async with opened(path) as log:
        await log.intend(call("even later"))
    assert not verify(path).ok


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


async def test_a_row_of_another_log_is_seen(path: Path, tmp_path: Path) -> None:
    await _filled(path)
    other = tmp_path / "other" / "audit.db"
    await _filled(other)
    [taken] = sqlite3.connect(other).execute("SELECT hash, body FROM rows WHERE row = 7").fetchall()
    connection = _unguarded(path)
    connection.execute("UPDATE rows SET hash = ?, body = ? WHERE row = 7", taken)
    _guard_again(connection)
    assert {fault.row for fault in verify(path).faults} >= {7, 8}


async def test_the_whole_log_of_another_gateway_is_seen(path: Path, tmp_path: Path) -> None:
    await _filled(path)
    other = tmp_path / "other" / "audit.db"
    await _filled(other)
    shutil.copy(other, path)
    assert [fault.message for fault in verify(path).faults] == ["this is not the log that audit.head was made for"]


async def test_a_missing_guard_is_seen(path: Path) -> None:
    await _filled(path)
    _unguarded(path).close()
    messages = {fault.message for fault in verify(path).faults}
    assert messages == {f"guard {name} is missing" for name in schema.TRIGGERS}


async def test_a_weakened_guard_is_seen(path: Path) -> None:
    await _filled(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER rows_no_delete")
    connection.execute("CREATE TRIGGER rows_no_delete BEFORE DELETE ON rows BEGIN SELECT 1; END")
    connection.close()
    assert [fault.message for fault in verify(path).faults] == ["guard rows_no_delete was changed"]


@pytest.mark.parametrize("sql", ["UPDATE rows SET kind = 'x'", "DELETE FROM rows", "DELETE FROM policies"])
async def test_the_guards_stop_accidents(path: Path, sql: str) -> None:
    await _filled(path)
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql)
    connection.close()


async def test_a_log_that_is_gone_is_seen_by_its_head(path: Path) -> None:
    await _filled(path)
    path.unlink()
    assert [fault.message for fault in verify(path).faults] == ["the log is gone; audit.head knows 21 rows"]
    path.write_bytes(b"")
    assert "the log is empty; audit.head knows 21 rows" in [fault.message for fault in verify(path).faults]
    async with opened(path):
        pass
    assert any("the log before this one is gone (21 rows" in fault.message for fault in verify(path).faults)


@pytest.mark.parametrize("text", [None, b"", b"{}", b"[]", b'{"chain": 1, "row": "x"}'])
async def test_a_head_that_is_gone_or_damaged_is_seen_also_after_the_next_start(path: Path, text: bytes | None) -> None:
    await _filled(path)
    if text is None:
        anchor_path(path).unlink()
    else:
        anchor_path(path).write_bytes(text)
    assert [fault.message.partition(";")[0] for fault in verify(path).faults] == [
        f"audit.head is {'missing' if text is None else 'damaged'}"
    ]
    async with opened(path):
        pass
    assert [fault.message.partition("Z: ")[2] for fault in verify(path).faults] == ["audit.head is missing or damaged"]


async def test_a_damaged_file_is_a_fault_and_no_traceback(path: Path) -> None:
    await _filled(path)
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = b"\xff" * (len(data) - 4096 * 2)
    path.write_bytes(data)
    assert not verify(path).ok
    path.write_bytes(b"no database" * 1000)
    assert not verify(path).ok


def test_neither_log_nor_head_is_one_sentence(path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no audit"):
        verify(path)


async def test_a_locked_out_reader_says_so(path: Path) -> None:
    await _filled(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(AuditError, match=r"audit\.db"):
        verify(path)


async def test_a_log_can_be_verified_while_the_gateway_writes(path: Path) -> None:
    await _filled(path)
    async with opened(path) as log:
        await log.intend(call("x"))
        report = verify(path)
    assert report.ok
    assert report.json()["rows"] == 22
    assert report.json()["calls"] == 11


async def test_the_report_names_the_head_to_be_kept_elsewhere(path: Path) -> None:
    await _filled(path)
    head = verify(path).json()["head"]
    assert head["row"] == 21
    assert head["hash"] in anchor_path(path).read_text()
