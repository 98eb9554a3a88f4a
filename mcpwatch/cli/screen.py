"""Opens the console on this terminal, or prints lines where there is no terminal to draw on."""

from __future__ import annotations

import asyncio
import getpass
import os
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
    return _draw(place, read_only=read_only, owned=owned)


def operator() -> str:
    """Who sits here, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "console"


def _draw(place: Place, *, read_only: bool, owned: bool) -> Ending:
    from mcpwatch.console.app import Settings, run_console
    from mcpwatch.control.client import ControlClient
    from mcpwatch.files import config_dir

    settings = Settings(read_only=read_only, owned=owned, config=config_dir(), by=operator())

    async def run() -> Ending:
        async with ControlClient(place.socket) as client:
            return await run_console(client, settings)

    return asyncio.run(run())
