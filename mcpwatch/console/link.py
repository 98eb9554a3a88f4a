"""Keeps the console fed: reads the gateway's events, and comes back by itself when the gateway was away."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from mcpwatch.console.desk import Desk
from mcpwatch.errors import ConfigError

_KEPT = 50_000
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 5.0
_STATUS_S = 2.0


class Link:
    """Events wait in `pending` until the next frame takes them; `up` and `error` tell whether the gateway is there."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.pending: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self.up = False
        self.error = ""

    async def run(self) -> None:
        """Read until cancelled; waits longer after each failure."""
        wait_s = _FIRST_WAIT_S
        while True:
            if await self._read():
                wait_s = _FIRST_WAIT_S
            await asyncio.sleep(wait_s)
            wait_s = min(_LONGEST_WAIT_S, wait_s * 2)

    async def poll_status(self) -> None:
        """Ask now and then for what events do not tell (rows, consoles), until cancelled."""
        while True:
            await asyncio.sleep(_STATUS_S)
            if self.up:
                try:
                    self.pending.append({"type": "status", "status": await self._desk.status()})
                except ConfigError as fault:
                    self.error = fault.message

    async def _read(self) -> bool:
        """One connection, to its end; whether it ever came about."""
        came = False
        try:
            async for event in self._desk.events():
                if event.get("type") == "hello":
                    came = self.up = True
                    self.error = ""
                self.pending.append(event)
            self.error = "the gateway has ended"
        except ConfigError as fault:
            self.error = fault.message
        except ValueError:
            self.error = "the gateway sent something that is not JSON"
        finally:
            self.up = False
        return came
