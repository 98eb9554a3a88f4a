"""The policy file on disk: read it when it changed and has come to rest, and save it without losing anybody's edit."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mcpwatch.errors import ConfigError
from mcpwatch.files import others_can_write, replace_file
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError, Problem

MOST_BYTES = 4 * 1024 * 1024
_SETTLE_S = 0.04
_MISSING_S = 0.4
_Signature = tuple[int, int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the file said when it was read. `document` is None when it cannot be put in force; then `problems` say why.

    With a document, `problems` are warnings. `text` is b"" and `digest` "" when there is no readable file.
    `by` is who changed it: `start`, `file` (an edit from outside), `reload`, or the console that saved.
    """

    path: Path
    text: bytes
    digest: str
    document: PolicyDocument | None
    problems: tuple[Problem, ...]
    by: str = "file"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A save refused because the file changed since it was opened: what it says now."""

    digest: str
    text: bytes


OnChange = Callable[[Reading], Awaitable[None]]


class PolicyFile:
    """One policy file. `on_change` is awaited with every reading that differs from the one before."""

    def __init__(self, path: Path, on_change: OnChange) -> None:
        self.path = path.absolute()
        self.reading: Reading | None = None
        self._on_change = on_change
        self._signature: _Signature = None
        self._busy = asyncio.Lock()

    async def load(self, by: str = "start") -> Reading:
        """Read and tell, changed or not. Never raises: faults are in the reading."""
        async with self._busy:
            read = await asyncio.to_thread(self._read) if by == "start" else await self._at_rest()
            return await self._take(read, by)

    def look(self) -> Reading:
        """Read now, blocking, without telling anybody; for a file that must count before the next call is judged."""
        self._signature, text = self._read()
        self.reading = _understand(self.path, text)
        return self.reading

    async def refresh(self) -> None:
        """Tell of the file if it changed and has come to rest, so that no half-written text is put in force."""
        if signature(self.path) == self._signature:
            return
        async with self._busy:
            seen, text = await self._at_rest()
            before = self.reading
            self._signature = seen
            if before is None or text != (before.text if before.digest else None):
                await self._take((seen, text), "file")

    async def save(self, text: bytes, base_digest: str, by: str) -> Reading | Conflict:
        """Put `text` into the file and in force, if the file still has `base_digest`.

        Raises PolicyError when the text is no valid policy, ConfigError when the file cannot be written.
        """
        read_policy(text, name=self.path.name)
        async with self._busy:
            _, now = await asyncio.to_thread(self._read)
            if digest_of(now) != base_digest:
                return Conflict(digest_of(now), now or b"")
            try:
                await asyncio.to_thread(_write, self.path, text)
            except OSError as fault:
                raise ConfigError(f"cannot write {self.path}: {fault.strerror}") from fault
            return await self._take((signature(self.path), text), by)

    def _read(self) -> tuple[_Signature, bytes | None]:
        before = signature(self.path)
        try:
            with self.path.open("rb") as file:
                return before, file.read(MOST_BYTES + 1)
        except OSError:
            return before, None

    async def _at_rest(self) -> tuple[_Signature, bytes | None]:
        """Two equal readings in a row; an absent or empty file gets longer, editors delete and create again."""
        last = await asyncio.to_thread(self._read)
        patience = _MISSING_S
        for _ in range(25):
            await asyncio.sleep(_SETTLE_S)
            again = await asyncio.to_thread(self._read)
            patience -= _SETTLE_S
            if again == last and (again[1] or patience <= 0):
                return again
            last = again
        return last

    async def _take(self, read: tuple[_Signature, bytes | None], by: str) -> Reading:
        self._signature, text = read
        reading = replace(_understand(self.path, text), by=by)
        self.reading = reading
        await self._on_change(reading)
        return reading


def digest_of(text: bytes | None) -> str:
    """The sha-256 (hex) of a policy text, "" for an absent file."""
    return "" if text is None else hashlib.sha256(text).hexdigest()


def signature(path: Path) -> _Signature:
    """What changes when a file is written, replaced or reached by another way; None when it is absent."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _understand(path: Path, text: bytes | None) -> Reading:
    if text is None:
        return Reading(path, b"", "", None, (Problem(1, 1, "", _why_unreadable(path)),))
    digest = digest_of(text)
    try:
        document = read_policy(text, name=path.name)
    except PolicyError as fault:
        return Reading(path, text, digest, None, fault.problems)
    return Reading(path, text, digest, document, (*open_to_others(path), *document.warnings))


def _why_unreadable(path: Path) -> str:
    try:
        with path.open("rb"):
            return "the file cannot be read"
    except OSError as fault:
        return f"the file cannot be read: {fault.strerror}"


def open_to_others(path: Path) -> tuple[Problem, ...]:
    """A warning when other users can change or replace the file."""
    if not others_can_write(path):
        return ()
    text = "other users can change this file; make it yours alone with chmod go-w (the file and its folder)"
    return (Problem(1, 1, "", text, "warning"),)


def _write(path: Path, text: bytes) -> None:
    """Replace what `path` leads to, through links, keeping its mode."""
    target = path.resolve()
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        mode = 0o600
    replace_file(target, text, mode)
