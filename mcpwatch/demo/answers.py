"""What a call of the demo answers: a sentence for people and JSON text, as the real servers do, or an error text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mcpwatch.demo.cluster import Cluster
from mcpwatch.demo.offer import complete, fault, tools

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The text blocks of a result, whether it is an error, and the structured content of tools that have it."""

    texts: tuple[str, ...]
    error: bool = False
    structured: Json | None = None


def done(sentence: str, data: Json) -> Answer:
    """A success: the sentence, then the data as JSON text."""
    return Answer((sentence, json.dumps(data)))


def failed(text: str) -> Answer:
    """An error of a tool. It is a result, not a protocol error: so the real server does it."""
    return Answer((text,), error=True)


@dataclass(slots=True)
class World:
    """Everything that the demo remembers. `now` is the clock; the two flags are those of the real server."""

    cluster: Cluster
    now: Callable[[], datetime]
    allow_write: bool = False
    allow_sensitive: bool = False
    manifests: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    inline: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    stacks: dict[str, str] = field(default_factory=dict[str, str])
    invoked: int = 0

    def stamp(self, seconds_ago: float = 0) -> str:
        """RFC 3339, UTC, whole seconds."""
        return (self.now() - timedelta(seconds=seconds_ago)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Tool = Callable[[World, Json], Answer]


def answer(world: World, handlers: Mapping[str, Tool], tool: str, arguments: Mapping[str, Any]) -> Answer:
    """The answer to one call. An unknown tool and bad arguments are results with `isError`."""
    if tool not in handlers or tool not in {t["name"] for t in tools()}:
        return failed(f"Unknown tool: {tool}")
    if problem := fault(tool, arguments):
        return failed(problem)
    return handlers[tool](world, complete(tool, arguments))
