"""`python -m mcpwatch.demo.traffic`: the demo's agents, as real MCP clients of a gateway.

Reads one line of JSON from stdin: {"url": URL of the upstream at the gateway, "tokens": {agent: token}, "pace": 1.0,
"seed": 0, "agents": [names]}; the last three may be absent. An agent without a token of its own uses that of `local`.
Runs until stdin closes, SIGTERM or SIGINT, and comes back after every restart of the gateway. Prints nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mcpwatch.demo.agent import live
from mcpwatch.demo.roster import AGENTS, ROLES
from mcpwatch.demo.scripts import SCRIPTS

_STAGGER_S = 0.3


@dataclass(frozen=True, slots=True)
class Orders:
    """What came on stdin."""

    url: str
    tokens: Mapping[str, str]
    pace: float = 1.0
    seed: int = 0
    agents: Sequence[str] = AGENTS

    def token(self, agent: str) -> str:
        """The token of an agent, "" when there is none at all (a gateway that is open)."""
        return self.tokens.get(agent) or self.tokens.get("local", "")


def read_orders(line: str) -> Orders:
    """The orders in one line of JSON. Raises ValueError with one sentence."""
    value: object = json.loads(line)
    if not isinstance(value, dict) or not isinstance(cast("dict[str, Any]", value).get("url"), str):
        raise ValueError('expected {"url": …, "tokens": {…}} on stdin')
    given = cast("dict[str, Any]", value)
    agents = [str(name) for name in given.get("agents", AGENTS)]
    if unknown := [name for name in agents if name not in AGENTS]:
        raise ValueError(f"unknown agents: {', '.join(unknown)}; known: {', '.join(AGENTS)}")
    tokens = {str(name): str(token) for name, token in given.get("tokens", {}).items()}
    return Orders(given["url"], tokens, float(given.get("pace", 1)), int(given.get("seed", 0)), agents)


async def run(orders: Orders, stop: asyncio.Event) -> None:
    """Run the agents until `stop` is set. They start one after the other, so that the screen fills gently."""
    agents = asyncio.create_task(_all(orders))
    await stop.wait()
    agents.cancel()
    await asyncio.wait([agents], timeout=2)


async def _all(orders: Orders) -> None:
    async with asyncio.TaskGroup() as group:
        for role in ROLES:
            if role.grant in orders.agents:
                token = orders.token(role.grant)
                group.create_task(
                    live(role, SCRIPTS[role.grant], orders.url, token, seed=orders.seed, pace=orders.pace)
                )
                await asyncio.sleep(_STAGGER_S / orders.pace)


async def _main(orders: Orders) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def watch_stdin() -> None:
        while sys.stdin.read(4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch_stdin, daemon=True).start()
    await run(orders, stop)


def main() -> None:
    """The program. Exit code 2 when stdin does not hold the orders."""
    logging.disable(logging.CRITICAL)
    try:
        orders = read_orders(sys.stdin.readline())
    except ValueError as error:
        sys.stderr.write(f"traffic: {error}\n")
        raise SystemExit(2) from None
    asyncio.run(_main(orders))


if __name__ == "__main__":
    main()
