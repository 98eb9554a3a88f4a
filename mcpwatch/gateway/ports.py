"""What the gateway needs of its neighbours; `service.py` hands it the real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mcpwatch.errors import AuditError
from mcpwatch.events import CallOutcome, CallRecord, Event
from mcpwatch.policy.engine import Engine


class Journal(Protocol):
    """The audit as the gateway sees it. Both calls return after the commit; they raise AuditError when it failed."""

    async def intend(self, record: CallRecord) -> int:
        """Record a decision; returns its seq. Nothing may be forwarded before this returned."""
        ...

    async def settle(self, outcome: CallOutcome) -> None:
        """Record an outcome. The answer may not be released before this returned."""
        ...


__all__ = ["AuditError", "EngineFor", "Journal", "Publish"]

Publish = Callable[[Event], None]
"""Tells every attached console, never blocks."""

EngineFor = Callable[[str, str], Engine]
"""(upstream, grant) -> the engine that judges: the grant's own policy, else the upstream's."""
