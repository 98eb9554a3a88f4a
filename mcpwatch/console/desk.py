"""What the console needs of the gateway. `control.client.ControlClient` is the real one; tests bring their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

Object = dict[str, Any]


class Desk(Protocol):
    """The operator's desk. Every method raises ConfigError with one sentence when it cannot be done."""

    async def status(self) -> Object: ...

    def events(self) -> AsyncIterator[Object]:
        """`hello` first, then every event; ends when the gateway goes."""
        ...

    async def policy(self, upstream: str) -> Object: ...

    async def save_policy(self, upstream: str, text: str, base_digest: str, by: str = "console") -> Object:
        """{"status": 200, "digest"} | {"status": 409, "digest", "text"} | {"status": 422, "problems"}."""
        ...

    async def history(self, upstream: str) -> Object: ...

    async def search(self, filter: str = "", since_ms: int = 0, before_seq: int = 0, limit: int = 200) -> Object: ...

    async def show(self, seq: int) -> Object: ...

    async def hold(
        self, call_id: str, action: str, reason: str = "", remember: bool = False, by: str = "console"
    ) -> Object: ...

    async def freeze(self, grant: str = "", tool: str = "", by: str = "console") -> Object: ...

    async def thaw(self, grant: str = "", tool: str = "", by: str = "console") -> Object: ...

    async def stop(self) -> Object: ...

    async def connect(self) -> Object: ...
