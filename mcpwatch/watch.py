"""Notices every way of changing a policy file. Files of one folder share one watch.

The folder is watched, not the file: a watch on the file goes blind after the first rename over it. A look at the file
twice a second catches what the folder does not tell (a link to elsewhere, a replaced folder, a network file system).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType]  (its event may be trio's)

from mcpwatch.policyfile import PolicyFile

_LOOK_S = 0.5
_AGAIN_S = 1.0
_STEP_MS = 100
"""How often the watching thread wakes; each time it takes the interpreter's lock for a moment."""


async def watch(files: Iterable[PolicyFile]) -> None:
    """Refresh each file whenever it changes, until cancelled."""
    folders: dict[Path, list[PolicyFile]] = {}
    for file in files:
        folders.setdefault(file.path.parent, []).append(file)
    async with asyncio.TaskGroup() as group:
        for folder, members in folders.items():
            group.create_task(_listen(folder, members))
            group.create_task(_look(members))


async def _listen(folder: Path, files: list[PolicyFile]) -> None:
    names = {file.path.name for file in files}

    def concerns(change: Change, path: str) -> bool:
        name = Path(path).name
        # A ConfigMap swaps the link `..data` beside the file, and not the file itself.
        return name in names or name.startswith("..")

    while True:
        try:
            async for _ in awatch(folder, watch_filter=concerns, recursive=False, step=_STEP_MS, debounce=200):
                await _refresh(files)
        except (OSError, RuntimeError, ExceptionGroup):
            # No such folder (yet), or no inotify left: `_look` goes on alone meanwhile.
            await asyncio.sleep(_AGAIN_S)


async def _look(files: list[PolicyFile]) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        await _refresh(files)


async def _refresh(files: list[PolicyFile]) -> None:
    for file in files:
        await file.refresh()
