"""What all requests of one gateway share, and the value that describes one request on its way through."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field

from mcpwatch.gateway.flights import Flights
from mcpwatch.gateway.freeze import Freeze
from mcpwatch.gateway.grants import Grant
from mcpwatch.gateway.holds import Holds
from mcpwatch.gateway.http_server.exchange import Exchange
from mcpwatch.gateway.link import Headers, Link, Request, UpstreamError
from mcpwatch.gateway.listeners import Listeners
from mcpwatch.gateway.metrics import Metrics
from mcpwatch.gateway.ports import Ports
from mcpwatch.gateway.room import Room
from mcpwatch.gateway.sessions import Session, Sessions, client_of
from mcpwatch.gateway.settings import GatewayConfig
from mcpwatch.gateway.wire import Message, encode
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Caller, Json

_INFO = "io.modelcontextprotocol/clientInfo"
_OWN_HEADERS: Headers = [(b"accept", b"application/json, text/event-stream")]


@dataclass(slots=True)
class Inbound:
    """One message of a caller, past every check that comes before policy. `arrived` is `time.monotonic`."""

    ex: Exchange
    upstream: str
    link: Link
    grant: Grant
    headers: Headers
    message: Message
    modern: bool
    session: Session | None
    arrived: float
    _caller: Caller | None = None

    def caller(self) -> Caller:
        """Who calls, by grant, session and the name the client gave itself."""
        if self._caller is None:
            self._caller = self._who()
        return self._caller

    def _who(self) -> Caller:
        if self.session is not None:
            session = self.session
            return Caller(self.grant.label, session.client, session.id, session.client_version)
        meta = self.message.params.get("_meta")
        name, version = client_of(meta.get(_INFO)) if isinstance(meta, dict) else ("", "")
        return Caller(self.grant.label, name, "", version)

    def request(self) -> Request:
        """The judged message as the upstream gets it."""
        return Request(
            "POST",
            self.headers,
            self.message.wire,
            self.message,
            self.session.upstream_id if self.session is not None else "",
            self.modern,
            self.caller_key(),
        )

    def caller_key(self) -> str:
        caller = self.caller()
        return f"{caller.grant}\0{caller.client}"


@dataclass(slots=True)
class Core:
    config: GatewayConfig
    ports: Ports
    links: Mapping[str, Link]
    freeze: Freeze
    holds: Holds
    metrics: Metrics
    flights: Flights = field(default_factory=Flights)
    listeners: Listeners = field(default_factory=Listeners)
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    stopping: bool = False
    sessions: Sessions = field(init=False)
    answers: Room = field(init=False)

    def __post_init__(self) -> None:
        limits = self.config.limits
        self.answers = Room(limits.answers_bytes)
        self.sessions = Sessions(limits.sessions, limits.session_idle_ms, self._end_upstream_session)

    def engine(self, inbound: Inbound) -> Engine:
        return self.ports.engine_for(inbound.upstream, inbound.grant.label)

    def background(self, work: Coroutine[None, None, None]) -> None:
        """Run something nobody waits for; it is kept until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def tell_upstream(self, session: Session, obj: dict[str, Json]) -> None:
        """Send a message of our own in a client's session (a refusal, a cancellation), without waiting for it."""
        method = obj.get("method")
        kind = "response" if method is None else "notification"
        message = Message(kind, None, method if isinstance(method, str) else "", {}, obj, encode(obj))
        request = Request("POST", _OWN_HEADERS, message.wire, message, session.upstream_id, False, session.grant)
        self.background(self._send(session.upstream, request))

    def _end_upstream_session(self, session: Session) -> None:
        request = Request("DELETE", [], b"", None, session.upstream_id, False, session.grant)
        self.background(self._send(session.upstream, request))

    async def _send(self, upstream: str, request: Request) -> None:
        try:
            answer = await self.links[upstream].send(request)
            await answer.aclose()
        except UpstreamError:
            return
