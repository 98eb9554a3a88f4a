"""The audit log as the gateway writes it: one writer, group commit, refused when it cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from mcpwatch.events import AuditState, CallOutcome, CallRecord, Event
from mcpwatch.policy.values import Charge

Durability = Literal["full", "normal"]
OnState = Callable[[AuditState], None]


class AuditLog:
    """One open audit file (`audit.db`, beside it `audit.head`). Single writer of it; readers use `query`."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        instance: str,
        durability: Durability = "normal",
        now_ms: Callable[[], int],
        on_state: OnState | None = None,
    ) -> AuditLog: ...

    @property
    def state(self) -> AuditState: ...

    @property
    def rows(self) -> int: ...

    async def intend(self, record: CallRecord) -> int: ...

    async def settle(self, outcome: CallOutcome) -> None: ...

    async def note(self, event: Event) -> None: ...

    async def restore_charges(self, since_ms: int) -> Sequence[tuple[str, Charge]]: ...

    async def close(self) -> None: ...
