"""Talks to the running gateway, for commands that ask one thing and end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcpwatch.config import Place
from mcpwatch.errors import ConfigError

T = TypeVar("T")


def ask(place: Place, question: Callable[[Any], Awaitable[T]]) -> T:
    """Run `question(client)` on a ControlClient of that gateway. Raises ConfigError when none runs."""
    from mcpwatch.control.client import ControlClient

    async def run() -> T:
        async with ControlClient(place.socket) as client:
            return await question(client)

    return asyncio.run(run())


def offered_by_all(place: Place) -> set[str]:
    """The names of all tools that any upstream of the running gateway offers. Raises ConfigError when none runs."""
    hello: dict[str, Any] = ask(place, lambda client: anext(client.events()))
    return {str(tool["name"]) for tools in hello["tools"].values() for tool in tools}


def offered_tools(place: Place, upstream: str) -> list[dict[str, Any]]:
    """The tool objects that an upstream of the running gateway offers. Raises ConfigError when there is none."""
    hello: dict[str, Any] = ask(place, lambda client: anext(client.events()))
    tools: dict[str, list[dict[str, Any]]] = hello["tools"]
    if upstream not in tools:
        raise ConfigError(
            f'the gateway knows no tools of "{upstream}"', f"It knows those of: {', '.join(tools) or '-'}"
        )
    return tools[upstream]


def known_schemas(place: Place, upstream: str) -> dict[str, dict[str, Any]] | None:
    """The inputSchema of every tool of an upstream, or of the only one; None when no gateway runs that knows them."""
    try:
        hello: dict[str, Any] = ask(place, lambda client: anext(client.events()))
    except ConfigError:
        return None
    offered: dict[str, list[dict[str, Any]]] = hello["tools"]
    name = upstream or (next(iter(offered)) if len(offered) == 1 else "")
    return schemas_of(offered[name]) if name in offered else None


def schemas_of(tools: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {tool["name"]: tool["inputSchema"] for tool in tools if isinstance(tool.get("inputSchema"), dict)}
