"""A small process that ends the upstreams when the gateway could not: killed with SIGKILL, crashed, out of memory.

The gateway tells it the process groups it owns over a pipe. When that pipe closes, the groups still named are ended.
A keeper rather than PR_SET_PDEATHSIG: it reaches grandchildren (`npx`, `uvx`), works on every POSIX system and needs
no code between fork and exec. This file is started by its path and imports the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

TERM_GRACE_S = 2.0


class Keeper:
    """The gateway's side. Starts the keeper process at the first group; `close` ends it without touching any group."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    def watch(self, group: int) -> None:
        """The process group `group` is ours from now on."""
        self._groups.add(group)
        if self._process is None or self._process.poll() is not None:
            self._start()
        else:
            self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group has ended and its number may be given to others."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.write(b"".join(b"-%d\n" % group for group in self._groups))
            process.stdin.close()
        process.wait()

    def _start(self) -> None:
        self._drop()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={},
            bufsize=0,
        )
        for group in self._groups:
            self._tell(f"+{group}\n")

    def _drop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(line.encode())


def _signal_groups(groups: set[int], number: int) -> set[int]:
    """The groups that were still there."""
    present: set[int] = set()
    for group in groups:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            pass
        present.add(group)
    return present


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line[1:])
        groups.add(group) if line.startswith(b"+") else groups.discard(group)
    groups = _signal_groups(groups, signal.SIGTERM)
    deadline = time.monotonic() + TERM_GRACE_S
    while groups and time.monotonic() < deadline:
        time.sleep(0.05)
        groups = _signal_groups(groups, 0)
    _signal_groups(groups, signal.SIGKILL)


if __name__ == "__main__":
    main()
