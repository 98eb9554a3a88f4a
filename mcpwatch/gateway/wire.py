"""Strict parsing of what callers send. Only what this module accepts is judged, and only that is forwarded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcpwatch.policy.values import Json

MessageId = int | str | None


@dataclass(frozen=True, slots=True)
class Message:
    """One JSON-RPC message. `obj` is the whole object; forwarding means re-serialising it (`encode`).

    `id` is None for notifications. `method` is "" for responses.
    """

    kind: Literal["request", "notification", "response"]
    id: MessageId
    method: str
    params: dict[str, Json]
    obj: dict[str, Json]
