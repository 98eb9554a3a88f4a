"""Pictures of the console on a running gateway, for the README: `python -m tests.screenshots FOLDER SOCKET`.

Start `mcpwatch serve --upstream demo --traffic` first and let it run for a minute; SOCKET is `control` of its ready
line.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mcpwatch.console.app import ConsoleApp, Settings
from mcpwatch.control.client import ControlClient

PICTURES: tuple[tuple[str, tuple[int, int], tuple[str, ...]], ...] = (
    ("live", (120, 34), ()),
    ("live-80x24", (80, 24), ()),
    ("live-200x50", (200, 50), ("k",)),
    ("detail", (120, 40), ("k", "enter")),
    ("tools", (120, 34), ("2",)),
    ("policy", (120, 34), ("3",)),
    ("audit", (120, 34), ("4",)),
    ("holds", (120, 34), ("5",)),
    ("quick-edit", (120, 34), ("2", "j", "x")),
)
SETTLE_S = 4
SHOWN_S = 1.5
"""A dialog that asks the gateway first has no size, and makes an empty picture, until it has come and been laid out."""


async def picture(folder: Path, socket: Path, name: str, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    """One picture: attach, let calls come in, press keys, save."""
    client = ControlClient(socket)
    app = ConsoleApp(client, Settings(read_only=False))
    async with app.run_test(size=size) as pilot:
        await asyncio.sleep(SETTLE_S)
        for key in keys:
            await pilot.press(key)
            await asyncio.sleep(SHOWN_S)
            await pilot.pause()
        while not app.screen.size:
            await pilot.pause(0.05)
        (folder / f"{name}.svg").write_text(app.export_screenshot(title="mcpwatch"), "utf-8")
    await client.close()


async def main(folder: Path, socket: Path) -> None:
    """All pictures, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size, keys in PICTURES:
        await picture(folder, socket, name, size, keys)
        print(folder / f"{name}.svg")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
