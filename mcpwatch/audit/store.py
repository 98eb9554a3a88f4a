"""The one connection that writes `audit.db`. Each commit is one statement.

With `synchronous` NORMAL a commit only hands pages to the system, in less time than another thread takes to wake up:
`append_now` makes it where it is called. Whatever may wait, for a lock, a disk or many rows, is done in a thread.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from mcpwatch.audit import schema
from mcpwatch.audit.chain import START, Entry, Head, extend
from mcpwatch.files import private_dir

Durability = Literal["full", "normal"]
Row = tuple[Any, ...]
T = TypeVar("T")

BUSY_MS = 2000
"""How long a commit waits for another program's lock before the audit counts as not writable."""

_AGAIN_S = 0.01
_ROUNDS = 5
_LITTLE_S = 0.02

CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
LOG_KEPT_BYTES = 64 << 20
"""To what the write-ahead log is cut once it was moved into the file: room that is there already is written faster."""

NO_CHAIN = Head("", 0, 0, START)
"""The head of a file without rows."""


class Store:
    """The open file, where its chain ends (`head`), and up to which row it is indexed (`indexed`).

    `quick`: its commits wait for no disk. Only one method may be under way at a time.

    Methods raise sqlite3.Error or OSError; after any of them the store must be closed and opened again, because
    only the file knows then what was committed.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, thread: ThreadPoolExecutor, *, quick: bool) -> None:
        self.path = path
        self.head = NO_CHAIN
        self.indexed = 0
        self.quick = quick
        self._connection = connection
        self._thread = thread
        self._file = path.stat()

    @classmethod
    async def open(
        cls, path: Path, durability: Durability, factory: type[sqlite3.Connection] = sqlite3.Connection
    ) -> Store:
        """Open or make the file, 0600 in a folder 0700. A damaged file raises sqlite3.DatabaseError."""
        private_dir(path.parent)
        _make_private(path)
        thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        try:
            connection = await _run(thread, _connect, path, factory)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        store = cls(path, connection, thread, quick=durability == "normal")
        try:
            await store._prepare(durability)
        except BaseException:
            await store.close()
            raise
        return store

    async def _prepare(self, durability: Durability) -> None:
        [(mode,)] = await self.fetch("PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise sqlite3.NotSupportedError("its file system cannot hold a write-ahead log")
        await self.fetch(f"PRAGMA synchronous = {durability.upper()}")
        await self.fetch("PRAGMA wal_autocheckpoint = 0")
        await self.fetch(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
        [(version,)] = await self.fetch("PRAGMA user_version")
        if version == 0:
            await self._patiently(self._connection.executescript, schema.CREATE)
        elif version != schema.VERSION:
            raise sqlite3.NotSupportedError(f"its form {version} is not known to this program")
        await self._read_head()
        await self.index()

    async def _read_head(self) -> None:
        last = await self.fetch("SELECT row, hash FROM rows ORDER BY row DESC LIMIT 1")
        await self.fetch("INSERT INTO mark SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM mark)")
        [(self.indexed,)] = await self.fetch("SELECT max(row) FROM mark")
        if not last:
            self.head = NO_CHAIN
            return
        [(row, digest)] = last
        [(chain,)] = await self.fetch("SELECT json_extract(body, '$.chain') FROM rows WHERE row = 1")
        [(seq,)] = await self.fetch(
            """SELECT max(coalesce((SELECT max(seq) FROM calls), 0),
                coalesce((SELECT max(seq) FROM rows WHERE row > ? OR row = 1), 0))""",
            (self.indexed,),
        )
        self.head = Head(chain, row, seq, digest)

    async def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement and read all of its rows."""
        return await self._patiently(self._fetch, sql, values)

    async def append(self, entries: Sequence[Entry]) -> list[int]:
        """Commit rows, all or none; returns the call number of each. Waits `BUSY_MS` for another program's lock."""
        return await self._patiently(self.append_now, entries)

    def append_now(self, entries: Sequence[Entry]) -> list[int]:
        """`append`, here and without waiting. `is_busy` tells a fault after which nothing was written."""
        for entry in entries:
            if entry.policy:
                self._connection.execute(schema.KEEP_POLICY, entry.policy)
        head, values, seqs = extend(self.head, entries)
        self._connection.execute(schema.insert_rows(len(entries)), values)
        self.head = head
        return seqs

    async def _patiently(self, work: Callable[..., T], *arguments: Any) -> T:
        return await _run(self._thread, _unhurried, work, *arguments)

    def _fetch(self, sql: str, values: Sequence[Any]) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    async def begin(self, chain: str, first: Entry) -> None:
        """Write the first row of the chain `chain`; call numbers go on after the entry's."""
        self.head = Head(chain, 0, first.seq, START)
        await self.append([first])

    @property
    def behind(self) -> int:
        """How many rows are not indexed yet."""
        return self.head.row - self.indexed

    async def index_step(self) -> None:
        """Index the next `schema.INDEX_STEP` rows."""
        await self._patiently(self.index_now, schema.INDEX_STEP)

    def index_now(self, rows: int) -> None:
        """Index the next `rows` rows, here: some ten microseconds each."""
        upto = min(self.head.row, self.indexed + rows)
        self._connection.execute(schema.MOVE_MARK, (upto,))
        self.indexed = upto

    async def index(self) -> None:
        """Index all rows."""
        while self.behind:
            await self.index_step()

    async def checkpoint(self) -> None:
        """Move the log into the file, as far as no reader needs it; never waits for one, but commits wait for it.

        The first commit after it makes the disk write, so one that nobody waits for is made at once.
        """
        await self.fetch(CHECKPOINT)
        await self.index_step()

    async def checkpoint_beside(self) -> None:
        """The same on a connection of its own: commits go on meanwhile, so a little of the log is left."""
        await asyncio.to_thread(_checkpoint, self.path)

    def log_bytes(self) -> int:
        """Size of the write-ahead log."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    def replaced(self) -> bool:
        """Whether the file was removed or another one put in its place: what is written now would be lost."""
        try:
            now = self.path.stat()
        except OSError:
            return True
        return (now.st_dev, now.st_ino) != (self._file.st_dev, self._file.st_ino)

    async def close(self) -> None:
        """Close; faults do not matter any more."""
        with suppress(sqlite3.Error):
            await _run(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)


def is_busy(fault: BaseException) -> bool:
    """Whether another program's lock was in the way."""
    return isinstance(fault, sqlite3.Error) and getattr(fault, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


async def _run(thread: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)


def _unhurried(work: Callable[..., T], *arguments: Any) -> T:
    """Do it, in a thread, as soon as no other program's lock is in the way; for `BUSY_MS` at most."""
    end = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            return work(*arguments)
        except sqlite3.Error as fault:
            if not is_busy(fault) or time.monotonic() >= end:
                raise
        time.sleep(_AGAIN_S)


def _connect(path: Path, factory: type[sqlite3.Connection]) -> sqlite3.Connection:
    # Used by one thread after the other, never by two at once: the writer sees to that.
    return sqlite3.connect(
        path, isolation_level=None, cached_statements=128, timeout=0, factory=factory, check_same_thread=False,
    )  # fmt: skip


def _checkpoint(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=BUSY_MS / 1000)) as connection:
        for _ in range(_ROUNDS):
            began = time.monotonic()
            connection.execute(CHECKPOINT)
            # What came meanwhile is as much less as this was quick.
            if time.monotonic() - began < _LITTLE_S:
                return


def _make_private(path: Path) -> None:
    # SQLite gives its log and index the mode of the file itself, so this one decides for all three. A file that is
    # there is not opened: closing it again would drop the locks that other connections of this process hold on it.
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)
