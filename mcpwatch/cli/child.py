"""A gateway as a child process: started so that it outlives the console, the terminal and this process if it should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mcpwatch.cli.output import say
from mcpwatch.config import GatewayOptions
from mcpwatch.files import private_dir

_END_S = 20.0
_LOG_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Failed:
    """It ended before it was ready: its exit code, and what it said."""

    code: int
    words: str


class Child:
    """One `mcpwatch serve`. Its log goes to `gateway.log` in the instance's folder, so that it can be left running."""

    def __init__(self, options: GatewayOptions) -> None:
        self.log = private_dir(options.place.folder) / "gateway.log"
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._from = os.fstat(handle).st_size
        with os.fdopen(handle, "ab") as log:
            self._process = _spawn(log)
        assert self._process.stdin is not None
        # Options may hold secrets (--env NAME=VALUE): they travel through the pipe, not on the command line.
        self._process.stdin.write(options.to_json().encode() + b"\n")
        self._process.stdin.close()

    def ready(self) -> dict[str, Any] | Failed:
        """Wait until it is ready; it ends by itself when it cannot start, within its own time limits.

        Whoever is interrupted while waiting leaves no half-started gateway behind.
        """
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
        except BaseException:
            self.stop()
            raise
        self._process.stdout.close()
        if line:
            ready: dict[str, Any] = json.loads(line)
            return ready
        return Failed(self._process.wait(), self._said())

    def stop(self) -> None:
        """End it cleanly and wait for that."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                say(f"The gateway (pid {self._process.pid}) does not end; it is killed.")
                self._process.kill()
                self._process.wait()

    def warnings(self) -> list[str]:
        """What it has warned of since its start, a line each."""
        lines = (line.split(maxsplit=2) for line in self._said().splitlines())
        return [parts[2] for parts in lines if len(parts) == 3 and parts[1] == "warning"]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def _said(self) -> str:
        with Path(self.log).open("rb") as log:
            log.seek(self._from)
            return log.read(64 * 1024).decode("utf-8", "replace")


def _spawn(log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: a module in the current folder must not stand in for a library.
        [sys.executable, "-P", "-m", "mcpwatch", "serve", "--options-on-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    )
