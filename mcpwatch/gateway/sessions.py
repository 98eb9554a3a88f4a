"""Sessions of the handshake revisions: whose they are, what their client can, what is under way in them.

The ids agents see are made here, 128 bits each; what an upstream calls the session stays inside.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mcpwatch.gateway.flights import Flight
from mcpwatch.gateway.names import SERVER_METHODS
from mcpwatch.gateway.wire import MessageId
from mcpwatch.policy.values import Json

OnFinal = Callable[[dict[str, Json] | None, int, int], Awaitable[bytes | None]]
"""Told of the answer (None: no JSON object), its size and HTTP status before it is released; bytes replace it."""

_ASKED = 1_000
_IDLE_SCAN_MS = 10_000
_EVENTS = 2_048
_NAME = 200
_KNOWN = frozenset(SERVER_METHODS.values())


@dataclass(slots=True, eq=False)
class Session:
    """`asked`: requests of the upstream that the client has not answered. `flights`: its own requests by id.

    `pending`: calls whose stream broke off; the answer on a resumed one is told to them before it is released.
    """

    id: str
    upstream: str
    upstream_id: str
    grant: str
    client: str
    client_version: str
    capabilities: frozenset[str]
    used_ms: int
    streams: int = 0
    flights: dict[MessageId, Flight] = field(default_factory=dict[MessageId, Flight])
    pending: dict[MessageId, OnFinal] = field(default_factory=dict[MessageId, OnFinal])
    asked: OrderedDict[MessageId, str] = field(default_factory=OrderedDict[MessageId, str])
    _events: OrderedDict[int, None] = field(default_factory=OrderedDict[int, None])

    def show_event(self, event_id: bytes) -> None:
        """An event with this id went to the client; the oldest of very many are forgotten."""
        key = hash(event_id)
        self._events[key] = None
        self._events.move_to_end(key)
        if len(self._events) > _EVENTS:
            self._events.popitem(last=False)

    def saw_event(self, event_id: bytes) -> bool:
        """Whether the client may go on behind this event: servers keep the events of all sessions in one place."""
        return hash(event_id) in self._events

    def ask(self, message_id: MessageId, method: str) -> None:
        """The upstream asked the client something; the oldest of too many open questions is forgotten."""
        self.asked[message_id] = method
        if len(self.asked) > _ASKED:
            self.asked.popitem(last=False)

    @property
    def busy(self) -> bool:
        return bool(self.flights) or self.streams > 0


class Sessions:
    """All sessions by the id agents know. `ended` is told each one that timed out, so that its upstream can be told."""

    def __init__(self, most: int, idle_ms: int, ended: Callable[[Session], None]) -> None:
        self._most = most
        self._idle_ms = idle_ms
        self._ended = ended
        self._all: dict[str, Session] = {}
        self._scanned_ms = 0

    def __len__(self) -> int:
        return len(self._all)

    def find(self, session_id: str, grant: str, upstream: str, now_ms: int) -> Session | None:
        """The session, only to the grant and upstream it belongs to."""
        session = self._all.get(session_id)
        if session is None or session.grant != grant or session.upstream != upstream:
            return None
        session.used_ms = now_ms
        return session

    def full(self, now_ms: int) -> bool:
        """Whether no further session can be opened, idle ones having been ended."""
        self._end_idle(now_ms)
        return len(self._all) >= self._most

    def open(self, upstream: str, upstream_id: str, grant: str, params: dict[str, Json], now_ms: int) -> Session:
        """A new session, of the client that sent these parameters of `initialize`."""
        client, version = client_of(params.get("clientInfo"))
        declared = params.get("capabilities")
        # Only those that are asked for: a session may last for long, and a client can declare megabytes.
        capabilities = _KNOWN.intersection(declared) if isinstance(declared, dict) else frozenset[str]()
        session = Session(secrets.token_hex(16), upstream, upstream_id, grant, client, version, capabilities, now_ms)
        self._all[session.id] = session
        return session

    def drop(self, session: Session) -> None:
        self._all.pop(session.id, None)

    def of_upstream(self, upstream: str) -> list[Session]:
        return [session for session in self._all.values() if session.upstream == upstream]

    def _end_idle(self, now_ms: int) -> None:
        if abs(now_ms - self._scanned_ms) < _IDLE_SCAN_MS and len(self._all) < self._most:
            return
        self._scanned_ms = now_ms
        for session in [s for s in self._all.values() if now_ms - s.used_ms > self._idle_ms and not s.busy]:
            self.drop(session)
            self._ended(session)


def client_of(info: Json) -> tuple[str, str]:
    """Name and version a client gave itself, at most 200 characters each; "" for what is not text."""
    if not isinstance(info, dict):
        return "", ""
    name, version = info.get("name"), info.get("version")
    return name[:_NAME] if isinstance(name, str) else "", version[:_NAME] if isinstance(version, str) else ""
