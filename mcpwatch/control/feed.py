"""Carries events to consoles. A console that does not read loses events and is told how many; nobody waits for it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from mcpwatch.events import CallDecided, CallSettled, Event
from mcpwatch.records import event_to_json
from mcpwatch.rowtext import decision_text, outcome_text

KEPT = 5_000
"""Events waiting for one console; older ones are dropped."""
KEPT_BYTES = 32 * 1024 * 1024
_BEHIND = 32
"""A console with so many events waiting is behind, and the size of what comes is counted: arguments may be large."""

SLICE = 50
"""Events encoded in one go: about a millisecond, for which calls wait."""


class _Line:
    """One line of NDJSON, encoded when the first console takes it, for all of them."""

    __slots__ = ("_bytes", "_source")

    def __init__(self, source: Event | Mapping[str, Any]) -> None:
        self._source = source
        self._bytes = b""

    def encoded(self) -> bytes:
        if not self._bytes:
            source = self._source
            self._bytes = _encoded(source)
        return self._bytes


class Subscription:
    """What one console has not yet been sent."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[_Line, int]] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._dropped = 0

    def put(self, item: _Line) -> None:
        size = len(item.encoded()) if len(self._waiting) >= _BEHIND else 0
        while self._waiting and (len(self._waiting) >= KEPT or self._size + size > KEPT_BYTES):
            self._pop()
            self._dropped += 1
        self._waiting.append((item, size))
        self._size += size
        self._arrived.set()

    def __len__(self) -> int:
        return len(self._waiting)

    async def take(self, most: int = SLICE) -> bytes:
        """The next lines, at least one; when some were lost, first a `dropped` line with their number."""
        await self._arrived.wait()
        count = min(most, len(self._waiting))
        parts = [self._pop().encoded() for _ in range(count)]
        if not self._waiting:
            self._arrived.clear()
        if self._dropped:
            parts.insert(0, line({"type": "dropped", "count": self._dropped}))
            self._dropped = 0
        return b"".join(parts)

    def _pop(self) -> _Line:
        item, size = self._waiting.popleft()
        self._size -= size
        return item


class Feed:
    """Hands every event to every subscription, in a few microseconds, never blocking."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def publish(self, event: Event | Mapping[str, Any]) -> None:
        if self._subscriptions:
            item = _Line(event)
            for subscription in self._subscriptions:
                subscription.put(item)

    def subscribe(self) -> Subscription:
        subscription = Subscription()
        self._subscriptions.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)


def _encoded(source: Event | Mapping[str, Any]) -> bytes:
    match source:
        case CallDecided(record):
            return b'{"type":"call_decided","record":{"seq":%d,%b}\n' % (record.seq, decision_text(record))
        case CallSettled(outcome):
            return b'{"type":"call_settled","outcome":{%b}\n' % outcome_text(outcome)
        case Mapping():
            return line(source)
        case _:
            return line(event_to_json(source))


def line(value: Mapping[str, Any]) -> bytes:
    """One JSON object and a newline. Lone surrogates, which UTF-8 has no bytes for, travel as escapes."""
    try:
        return to_json(value) + b"\n"
    except PydanticSerializationError:
        return json.dumps(value).encode() + b"\n"
