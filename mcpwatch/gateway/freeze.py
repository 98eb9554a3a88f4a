"""The kill switch: everything, one grant or one tool, until it is thawed. Survives restarts, also without a console.

The state is `freeze.json` in the state folder, {"version": 1, "scopes": ["*", "grant:NAME", "tool:NAME"]}. A file
written by hand counts like an order of the operator; one that cannot be read freezes everything.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.events import Frozen
from mcpwatch.files import private_write
from mcpwatch.gateway.ports import Ports
from mcpwatch.gateway.replies import Denial

EVERYTHING = "*"
RULE = "(frozen)"
_RECHECK_S = 0.25
_FOLLOW_S = 1.0
_TEXT = "The operator has stopped these calls. Do not try again until you are told to."


class Freeze:
    """What is frozen now. `folder` None keeps it in memory.

    `on_set` is told each scope that is frozen from now on, and whether calls under way are to be cancelled.
    """

    def __init__(self, folder: Path | None, ports: Ports, on_set: Callable[[str, bool], None]) -> None:
        self._on_set = on_set
        self._file = None if folder is None else folder / "freeze.json"
        self._ports = ports
        self._scopes: frozenset[str] = frozenset()
        self._stamp: tuple[int, int] | None = None
        self._checked = 0.0
        self._notes: set[asyncio.Task[None]] = set()
        self._looked = False
        self._refresh()
        self._looked = True

    @property
    def scopes(self) -> list[str]:
        """What is frozen, sorted; [] when nothing is."""
        self._refresh()
        return sorted(self._scopes)

    def judge(self, grant: str, tool: str = "") -> Denial | None:
        """The denial of a call that is frozen, None when it may be judged by the policy."""
        now = time.monotonic()
        if now - self._checked > _RECHECK_S:
            self._checked = now
            self._refresh()
        if not self._scopes:
            return None
        for scope in (EVERYTHING, f"grant:{grant}", f"tool:{tool}" if tool else ""):
            if scope in self._scopes:
                return Denial(RULE, f"frozen: {scope}", _TEXT)
        return None

    async def follow(self) -> None:
        """See a file that was written by hand also when nobody calls, so that held calls end; until cancelled."""
        while True:
            await asyncio.sleep(_FOLLOW_S)
            self._refresh()

    async def set(self, scope: str, *, on: bool, by: str = "", cancel: bool = False) -> None:
        """Freeze or thaw `*`, `grant:NAME` or `tool:NAME`; thawing `*` thaws everything. Raises ConfigError for others.

        Calls under way finish unless `cancel`. Freezing counts before it is written anywhere; raises AuditError when
        the record could not be written.
        """
        if scope != EVERYTHING and not (scope.startswith(("grant:", "tool:")) and scope.partition(":")[2]):
            raise ConfigError(f'"{scope}" cannot be frozen', "Use *, grant:NAME or tool:NAME.")
        self._refresh()
        gone = self._scopes if scope == EVERYTHING else frozenset({scope})
        self._scopes = self._scopes | {scope} if on else self._scopes - gone
        if on:
            self._on_set(scope, cancel)
        event = Frozen(self._ports.now_ms(), scope, on, by)
        self._ports.publish(event)
        try:
            self._keep()
        finally:
            await self._ports.journal.note(event)

    def _keep(self) -> None:
        if self._file is not None:
            text = json.dumps({"version": 1, "scopes": sorted(self._scopes)}) + "\n"
            try:
                private_write(self._file, text.encode())
            except OSError as fault:
                raise ConfigError(f"it holds now, but not after a restart: {self._file}: {fault.strerror}") from fault
            self._stamp = _stamp(self._file)

    def _refresh(self) -> None:
        if self._file is None:
            return
        stamp = _stamp(self._file)
        if stamp != self._stamp:
            self._stamp = stamp
            before, self._scopes = self._scopes, _read(self._file) if stamp else frozenset[str]()
            if self._looked:
                self._changed_by_hand(before)

    def _changed_by_hand(self, before: frozenset[str]) -> None:
        """Somebody wrote or removed the file: that is recorded like an order of the operator."""
        for scope in sorted(before ^ self._scopes):
            event = Frozen(self._ports.now_ms(), scope, scope in self._scopes, "file")
            if event.on:
                self._on_set(scope, False)
            self._ports.publish(event)
            task = asyncio.get_running_loop().create_task(self._note(event))
            self._notes.add(task)
            task.add_done_callback(self._notes.discard)

    async def _note(self, event: Frozen) -> None:
        # While the audit cannot be written every call is refused anyway.
        with suppress(AuditError):
            await self._ports.journal.note(event)


def _read(file: Path) -> frozenset[str]:
    try:
        data: Any = json.loads(file.read_bytes())
        return frozenset(str(scope) for scope in data["scopes"])
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset({EVERYTHING})


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        info = file.stat()
    except FileNotFoundError:
        return None
    except OSError:
        return 0, 0
    return info.st_mtime_ns, info.st_ino
