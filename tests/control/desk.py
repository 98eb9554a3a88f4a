"""A small operator's desk in memory: enough of a gateway for the socket's two sides to talk about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcpwatch.control.operations import Changed, HoldAnswer, Invalid, Object, SaveAnswer, Saved
from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.policy.values import Problem


class MemoryDesk:
    """Implements `Operations`. Keeps what it was asked to do in `done`."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.text = "{}"
        self.digest = "d0"
        self.now: list[Mapping[str, Any]] = []
        self.next: list[Mapping[str, Any]] = []
        self.audit_fails = False

    def status(self) -> Object:
        return {"instance": "default", "pid": 1}

    async def hello(self) -> Object:
        return {"status": self.status(), "calls": []}

    async def refresh(self) -> None:
        self.now = self.next or self.now

    def counters(self) -> Sequence[Mapping[str, Any]]:
        return self.now

    def policy(self, upstream: str) -> Object:
        if upstream != "demo":
            raise ConfigError(f'there is no upstream "{upstream}"', "look again")
        return {"file": "/p.json", "text": self.text, "digest": self.digest, "problems": []}

    async def save_policy(self, upstream: str, text: str, base_digest: str, by: str) -> SaveAnswer:
        if base_digest != self.digest:
            return Changed(self.digest, self.text)
        if "bad" in text:
            return Invalid((Problem(2, 3, "/x", "bad"),))
        self.text, self.digest = text, "d1"
        self.done.append(("saved", upstream, by))
        return Saved(self.digest)

    async def history(self, upstream: str) -> Object:
        return {"policies": [upstream]}

    async def search(self, filter_text: str, since_ms: int, before_seq: int, limit: int) -> Object:
        if self.audit_fails:
            raise AuditError("disk I/O error")
        return {"rows": [[filter_text, since_ms, before_seq, limit]]}

    async def show(self, seq: int) -> Object:
        return {"seq": seq}

    async def hold(self, answer: HoldAnswer) -> Object:
        self.done.append(answer)
        return {"call_id": answer.call_id}

    async def freeze(self, grant: str, tool: str, on: bool, by: str) -> Object:
        self.done.append((on, grant, tool, by))
        return {"frozen": ["*"] if on else []}

    def connect(self) -> Object:
        return {"endpoints": {"demo": "http://127.0.0.1:1/mcp/demo"}, "token": "t"}

    def stop(self) -> None:
        self.done.append("stopped")
