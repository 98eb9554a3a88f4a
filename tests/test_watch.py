"""Every way in which editors, deployments and people change a file is in force within a second."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mcpwatch.policyfile import PolicyFile, Reading, digest_of
from mcpwatch.watch import watch

OLD = b'{"version": "1", "default": "deny", "tools": {}}'
NEW = b'{"version": "1", "default": "allow", "tools": {}}'
WITHIN_S = 1.0

Queue = asyncio.Queue[Reading]


@asynccontextmanager
async def watched(*paths: Path) -> AsyncGenerator[Queue]:
    """Follow files; what is told comes out of the queue, except what was there at the start."""
    queue: Queue = asyncio.Queue()
    files = [PolicyFile(path, queue.put) for path in paths]
    for file in files:
        await file.load()
        queue.get_nowait()
    task = asyncio.create_task(watch(files))
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(NEW)
        file.truncate()


def truncate_then_write(path: Path) -> None:
    with path.open("wb") as file:
        file.flush()
        os.fsync(file.fileno())
        file.write(NEW)


def in_two_writes(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(NEW[:20])
        os.fsync(file.fileno())
        file.write(NEW[20:])


def rename_over(path: Path) -> None:
    temporary = path.with_name(".policy.json.tmp")
    temporary.write_bytes(NEW)
    temporary.replace(path)


def rename_over_from_another_folder(path: Path) -> None:
    folder = path.parent / "drafts"
    folder.mkdir()
    (folder / "draft").write_bytes(NEW)
    (folder / "draft").replace(path)


def vim_backup(path: Path) -> None:
    backup = path.with_name("policy.json~")
    path.rename(backup)
    path.write_bytes(NEW)
    backup.unlink()


def delete_and_create(path: Path) -> None:
    path.unlink()
    path.write_bytes(NEW)


def hard_link_swap(path: Path) -> None:
    draft = path.with_name("draft")
    draft.write_bytes(NEW)
    path.unlink()
    os.link(draft, path)


def copy_over(path: Path) -> None:
    source = path.with_name("new.json")
    source.write_bytes(NEW)
    shutil.copyfile(source, path)


def old_timestamp(path: Path) -> None:
    path.write_bytes(NEW)
    os.utime(path, (1_000_000_000, 1_000_000_000))


def turned_into_a_link(path: Path) -> None:
    target = path.with_name("v2.json")
    target.write_bytes(NEW)
    path.unlink()
    path.symlink_to(target.name)


def read_only_then_replaced(path: Path) -> None:
    path.chmod(0o400)
    rename_over(path)
    path.chmod(0o644)


@pytest.mark.parametrize(
    "save",
    [
        in_place,
        truncate_then_write,
        in_two_writes,
        rename_over,
        rename_over_from_another_folder,
        vim_backup,
        delete_and_create,
        hard_link_swap,
        copy_over,
        old_timestamp,
        turned_into_a_link,
        read_only_then_replaced,
    ],
)
async def test_every_way_of_saving_is_told_within_a_second(save: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(OLD)
    async with watched(path) as queue:
        save(path)
        reading = await asyncio.wait_for(queue.get(), WITHIN_S)
        assert reading.digest == digest_of(NEW)


async def test_a_second_and_a_third_rename_are_seen_too(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(OLD)
    async with watched(path) as queue:
        for blanks in (1, 2, 3):
            text = NEW + b" " * blanks
            path.with_name("t").write_bytes(text)
            path.with_name("t").replace(path)
            assert (await asyncio.wait_for(queue.get(), WITHIN_S)).digest == digest_of(text)


async def test_a_configmap_swap_is_seen(tmp_path: Path) -> None:
    for name, text in (("..one", OLD), ("..two", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.json").write_bytes(text)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "policy.json").symlink_to("..data/policy.json")
    async with watched(tmp_path / "policy.json") as queue:
        (tmp_path / "..data_tmp").symlink_to("..two")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        assert (await asyncio.wait_for(queue.get(), WITHIN_S)).digest == digest_of(NEW)


async def test_a_change_behind_a_link_to_another_folder_is_seen(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    (tmp_path / "far" / "real.json").write_bytes(OLD)
    (tmp_path / "near" / "policy.json").symlink_to(tmp_path / "far" / "real.json")
    async with watched(tmp_path / "near" / "policy.json") as queue:
        (tmp_path / "far" / "real.json").write_bytes(NEW)
        assert (await asyncio.wait_for(queue.get(), WITHIN_S)).digest == digest_of(NEW)


async def test_a_replaced_folder_is_seen(tmp_path: Path) -> None:
    for name, text in (("policies", OLD), ("next", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.json").write_bytes(text)
    async with watched(tmp_path / "policies" / "policy.json") as queue:
        (tmp_path / "policies").rename(tmp_path / "before")
        (tmp_path / "next").rename(tmp_path / "policies")
        assert (await asyncio.wait_for(queue.get(), WITHIN_S)).digest == digest_of(NEW)


async def test_two_files_of_one_folder_are_both_followed(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        path.write_bytes(OLD)
    async with watched(*paths) as queue:
        for path in paths:
            rename_to = path.with_name("t")
            rename_to.write_bytes(NEW)
            rename_to.replace(path)
        told = {(await asyncio.wait_for(queue.get(), WITHIN_S)).path for _ in paths}
        assert told == set(paths)


async def test_a_file_that_comes_later_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    async with watched(path) as queue:
        path.write_bytes(NEW)
        assert (await asyncio.wait_for(queue.get(), WITHIN_S)).digest == digest_of(NEW)
