"""A policy file on disk: read when it has come to rest, saved without losing anybody's edit."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mcpwatch.policy.values import PolicyError
from mcpwatch.policyfile import Conflict, PolicyFile, Reading, digest_of

DENY = b'{"version": "1", "default": "deny", "tools": {}}'
ALLOW = b'{"version": "1", "default": "allow", "tools": {}}'


class Told:
    """Keeps every reading that was told."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []

    async def __call__(self, reading: Reading) -> None:
        self.readings.append(reading)


async def opened(path: Path, text: bytes | None = DENY) -> tuple[PolicyFile, Told]:
    if text is not None:
        path.write_bytes(text)
    told = Told()
    file = PolicyFile(path, told)
    await file.load()
    return file, told


async def test_a_valid_file_is_read_into_a_document_with_its_digest(tmp_path: Path) -> None:
    _, told = await opened(tmp_path / "policy.json")
    (reading,) = told.readings
    assert reading.document is not None
    assert reading.document.default == "deny"
    assert reading.digest == reading.document.digest == digest_of(DENY)
    assert reading.by == "start"


async def test_a_broken_file_has_no_document_and_says_where_the_fault_is(tmp_path: Path) -> None:
    _, told = await opened(tmp_path / "policy.json", b'{"version": "1",\n "defalt": "deny"}')
    assert told.readings[0].document is None
    assert any(problem.line == 2 and "defalt" in problem.message for problem in told.readings[0].problems)


async def test_an_absent_file_is_a_reading_without_text(tmp_path: Path) -> None:
    _, told = await opened(tmp_path / "policy.json", None)
    (reading,) = told.readings
    assert (reading.document, reading.digest, reading.text) == (None, "", b"")
    assert "No such file" in reading.problems[0].message


async def test_a_file_that_others_can_write_is_taken_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(DENY)
    path.chmod(0o666)
    told = Told()
    await PolicyFile(path, told).load()
    assert told.readings[0].document is not None
    assert [p.severity for p in told.readings[0].problems if "other users" in p.message] == ["warning"]


async def test_a_change_is_told_once_and_an_unchanged_file_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    file, told = await opened(path)
    await file.refresh()
    path.write_bytes(ALLOW)
    await file.refresh()
    await file.refresh()
    assert [r.digest for r in told.readings] == [digest_of(DENY), digest_of(ALLOW)]


async def test_the_same_text_written_again_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    file, told = await opened(path)
    path.unlink()
    path.write_bytes(DENY)
    await file.refresh()
    assert len(told.readings) == 1


async def test_a_deleted_file_is_told_when_it_stays_away(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    file, told = await opened(path)
    path.unlink()
    await file.refresh()
    await file.refresh()
    assert [r.digest for r in told.readings] == [digest_of(DENY), ""]


async def test_a_save_is_in_the_file_and_told_with_who_did_it(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    file, told = await opened(path)
    answer = await file.save(ALLOW, digest_of(DENY), "anna")
    assert isinstance(answer, Reading)
    assert path.read_bytes() == ALLOW
    assert told.readings[-1].by == "anna"
    await file.refresh()
    assert len(told.readings) == 2


async def test_a_save_over_somebody_elses_edit_is_refused_and_shows_that_edit(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    file, _ = await opened(path)
    edited = DENY + b"\n"
    path.write_bytes(edited)
    assert await file.save(ALLOW, digest_of(DENY), "anna") == Conflict(digest_of(edited), edited)
    assert path.read_bytes() == edited


async def test_a_save_of_an_invalid_text_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    file, told = await opened(path)
    with pytest.raises(PolicyError):
        await file.save(b'{"version": "2"}', digest_of(DENY), "anna")
    assert path.read_bytes() == DENY
    assert len(told.readings) == 1


async def test_a_save_keeps_the_mode_and_goes_through_a_link(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "real.json"
    real.parent.mkdir()
    real.write_bytes(DENY)
    real.chmod(0o640)
    link = tmp_path / "policy.json"
    link.symlink_to(real)
    file, _ = await opened(link, None)
    await file.save(ALLOW, digest_of(DENY), "anna")
    assert link.is_symlink()
    assert real.read_bytes() == ALLOW
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


async def test_a_deleted_file_can_be_saved_anew_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    file, _ = await opened(path)
    path.unlink()
    assert isinstance(await file.save(ALLOW, "", "anna"), Reading)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
