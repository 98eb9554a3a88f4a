"""The folder of logins: one file for each upstream, 0600 in a folder 0700, replaced as a whole.

One process at a time changes a login: a refresh token that is used twice may end the whole login.
Source: OAuth 2.1, 4.3.1 (rotation).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Generator
from pathlib import Path

from mcpwatch.errors import ConfigError
from mcpwatch.files import private_dir, private_write
from mcpwatch.upstreams.logins.record import Login

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")

Stamp = tuple[int, int, int]


class LoginStore:
    """The logins in `folder`, which is made when the first one is written. Methods raise ConfigError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> Login | None:
        """The login at the upstream `name`, None when there is none."""
        path = self._path(name)
        try:
            return Login.from_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as fault:
            why = fault.strerror if isinstance(fault, OSError) else "it is no login"
            raise ConfigError(f"cannot read {path}: {why}", f"Run: mcpwatch upstream login {name}") from None

    def stamp(self, name: str) -> Stamp | None:
        """What changes whenever the file does; None without a file."""
        try:
            info = os.stat(self._path(name))
        except OSError:
            return None
        return info.st_mtime_ns, info.st_size, info.st_ino

    def write(self, name: str, login: Login) -> None:
        path = self._path(name)
        private_dir(self._folder)
        try:
            private_write(path, login.to_json())
        except OSError as fault:
            raise ConfigError(f"cannot write {path}: {fault.strerror}", "Make room there, then log in again.") from None

    def remove(self, name: str) -> bool:
        """Whether there was one."""
        path = self._path(name)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as fault:
            raise ConfigError(f"cannot remove {path}: {fault.strerror}", "Remove it by hand.") from None
        return True

    def names(self) -> list[str]:
        """The upstreams with a login, sorted."""
        try:
            return sorted(p.stem for p in self._folder.iterdir() if p.suffix == ".json" and _NAME.match(p.stem))
        except OSError:
            return []

    @contextlib.contextmanager
    def locked(self, name: str) -> Generator[None]:
        """Keep other processes (and threads) from changing this login; waits for those that do."""
        lock = self._path(name).with_suffix(".lock")
        private_dir(self._folder)
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise ConfigError(f"cannot use {lock}: {fault.strerror}", "Make it writable for you.") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise ConfigError(
                f'"{name.encode("ascii", "backslashreplace").decode()[:40]}" cannot be the name of an upstream',
                "Names have small letters, digits, - and _, at most 32.",
            )
        return self._folder / f"{name}.json"
