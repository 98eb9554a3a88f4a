"""Talks to the running gateway, for commands that ask one thing and end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcpwatch.config import Place

T = TypeVar("T")


def ask(place: Place, question: Callable[[Any], Awaitable[T]]) -> T:
    """Run `question(client)` on a ControlClient of that gateway. Raises ConfigError when none runs."""
    from mcpwatch.control.client import ControlClient

    async def run() -> T:
        async with ControlClient(place.socket) as client:
            return await question(client)

    return asyncio.run(run())
