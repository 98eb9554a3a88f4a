"""One gateway per instance and state folder: a lock the kernel gives back when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from mcpwatch.errors import ConfigError


class InstanceLock:
    """Held while open. Raises ConfigError, naming the first gateway's pid, when another process holds it."""

    def __init__(self, folder: Path, instance: str) -> None:
        self._handle = os.open(folder / f"{instance}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            pid = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._handle)
            raise ConfigError(
                f"a gateway is already running for instance {instance} (pid {pid})",
                "See it with `mcpwatch attach`, end it with `mcpwatch stop`, or start another with --instance NAME.",
            ) from taken
        os.fchmod(self._handle, 0o600)
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._handle)

    def __enter__(self) -> InstanceLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
