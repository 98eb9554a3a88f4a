"""Opens the console on this terminal, or prints lines where there is no terminal to draw on."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import sys
from typing import Literal

from mcpwatch.config import Place

Ending = Literal["stop", "leave"]


def can_draw() -> bool:
    """Whether stdin and stdout are a terminal that understands more than lines."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def show(place: Place, *, read_only: bool, plain: bool, owned: bool) -> Ending:
    """Show the gateway until the operator quits. `owned`: this process started it and asks what becomes of it.

    Returns what becomes of that one.
    """
    if plain or not can_draw():
        from mcpwatch.cli.plain import follow

        follow(place)
        return "stop"
    return "stop" if _draw(place, read_only=read_only, owned=owned) == "stop" else "leave"


def operator() -> str:
    """Who sits here, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "console"


def _draw(place: Place, *, read_only: bool, owned: bool) -> str | None:
    from mcpwatch.console.app import ConsoleApp, Settings
    from mcpwatch.control.client import ControlClient
    from mcpwatch.files import config_dir

    settings = Settings(read_only=read_only, owned=owned, config=config_dir(), by=operator())

    async def run() -> str | None:
        async with ControlClient(place.socket) as client:
            app = ConsoleApp(client, settings)
            ending = "stop" if owned else "leave"
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.exit, ending)
            return await app.run_async()

    return asyncio.run(run())
