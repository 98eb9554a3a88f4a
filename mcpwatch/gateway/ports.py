"""What the gateway needs of its neighbours; `service.py` hands it the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mcpwatch.errors import AuditError
from mcpwatch.events import CallOutcome, CallRecord, Event
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Json


class Journal(Protocol):
    """The audit as the gateway sees it. Its calls return after the commit; they raise AuditError when it failed."""

    async def intend(self, record: CallRecord) -> int:
        """Record a decision; returns its seq. Nothing may be forwarded before this returned."""
        ...

    async def settle(self, outcome: CallOutcome) -> None:
        """Record an outcome. The answer may not be released before this returned."""
        ...

    async def note(self, event: Event) -> object:
        """Record what is not a call: a freeze, a hold that opened or closed."""
        ...


Publish = Callable[[Event], None]
"""Tells every attached console, never blocks."""

EngineFor = Callable[[str, str], Engine]
"""(upstream, grant) -> the engine that judges: the grant's own policy, else the upstream's."""

Redact = Callable[[str, str, Json], Json]
"""(upstream, grant, arguments) -> the arguments as they may be stored and shown, secrets taken out."""

Clock = Callable[[], int]
"""Milliseconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything around the gateway in one value.

    `tools_changed` is called with the upstream's name when it said that its tools changed: ask it again.
    """

    engine_for: EngineFor
    journal: Journal
    publish: Publish
    redact: Redact
    now_ms: Clock
    tools_changed: Callable[[str], None] = lambda upstream: None


__all__ = ["AuditError", "Clock", "EngineFor", "Journal", "Ports", "Publish", "Redact"]
