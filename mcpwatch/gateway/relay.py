"""What a message is, and which way it goes: judged and recorded, passed on, or answered here.

Judged is the body, never the headers; forwarded is the judged message, never the received bytes.
"""

from __future__ import annotations

import time
from contextlib import suppress

from mcpwatch.gateway.book import Book
from mcpwatch.gateway.calls import Calls, answer_given_up, answer_unreachable, cancel_upstream, login_text
from mcpwatch.gateway.core import Core, Inbound
from mcpwatch.gateway.deliver import Delivery
from mcpwatch.gateway.flights import Flight, GivenUp
from mcpwatch.gateway.grants import Grant
from mcpwatch.gateway.headers import SESSION, check_routing, is_modern, one, upward
from mcpwatch.gateway.http_server.exchange import Exchange
from mcpwatch.gateway.judging import Judging, wanted_resources
from mcpwatch.gateway.link import Answer, Headers, LoginNeeded, Request, UpstreamError
from mcpwatch.gateway.listeners import Listener
from mcpwatch.gateway.names import CALL, CLIENT_METHODS, is_lookalike
from mcpwatch.gateway.rejections import UNKNOWN_SESSION, Rejections
from mcpwatch.gateway.replies import error
from mcpwatch.gateway.sessions import Session
from mcpwatch.gateway.wire import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    Message,
    MessageId,
    WireError,
    parse_message,
)
from mcpwatch.policy.values import Json

_TARGETS = {
    "resources/read": "uri",
    "resources/subscribe": "uri",
    "prompts/get": "name",
    "tasks/get": "taskId",
    "tasks/result": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}


class Relay:
    """The messages of one gateway, after the checks of HTTP."""

    def __init__(self, core: Core, book: Book) -> None:
        self._core = core
        self._book = book
        self._calls = Calls(core, book)
        self._rejections = Rejections(book)

    async def post(self, ex: Exchange, upstream: str, grant: Grant, raw: bytes) -> None:
        """Answer a POST."""
        arrived = time.monotonic()
        message: Message | None = None
        try:
            message = parse_message(raw, self._core.config.limits)
            modern = is_modern(ex.headers, message)
            headers = upward(check_routing(ex.headers, message, modern=modern))
            session = self._session(ex.headers, upstream, grant)
            link = self._core.links[upstream]
            inbound = Inbound(ex, upstream, link, grant, headers, message, modern, session, arrived)
            if session is None and one(ex.headers, SESSION) and not modern:
                await self._rejections.no_session(inbound)
            else:
                await self._message(inbound)
        except WireError as fault:
            await self._rejections.malformed(ex, upstream, grant, message, fault)
        except Exception as fault:
            await self._rejections.internal(ex, upstream, grant, message, fault)

    async def get(self, ex: Exchange, upstream: str, grant: Grant) -> None:
        """Answer a GET: the stream on which an upstream speaks first, or the rest of one that broke off."""
        session = self._session(ex.headers, upstream, grant)
        if session is None and one(ex.headers, SESSION):
            await self._book.reject(upstream, grant.label, UNKNOWN_SESSION, "no such session", method="GET")
            await ex.reply(404, [])
            return
        last_event = one(ex.headers, b"last-event-id").encode("latin-1")
        if session is not None and last_event and not session.saw_event(last_event):
            text = "This Last-Event-ID is of no stream of this session"
            await self._book.reject(upstream, grant.label, "(unknown event)", text, method="GET", session=session.id)
            await ex.message(error(None, INVALID_REQUEST, text), 400)
            return
        flight = self._core.flights.open(ex, grant=grant.label, timeout_s=0)
        listener = Listener(ex, upstream, grant.label)
        try:
            if session is not None:
                session.streams += 1
            with flight:
                answer = await self._core.links[upstream].send(self._bare("GET", ex.headers, session, grant))
            if answer.events is not None and session is not None:
                self._core.listeners.add(listener)
            await self._delivery(ex, upstream, grant, session).run(answer, flight)
            await ex.end()
        except UpstreamError as fault:
            await self._unreachable(ex, upstream, fault)
        except GivenUp:
            await ex.end() if ex.started else await ex.reply(503, [])
        finally:
            self._core.listeners.remove(listener)
            if session is not None:
                session.streams -= 1
            flight.close()

    async def delete(self, ex: Exchange, upstream: str, grant: Grant) -> None:
        """Answer a DELETE: the client ends its session."""
        session = self._session(ex.headers, upstream, grant)
        if session is None and one(ex.headers, SESSION):
            await self._book.reject(upstream, grant.label, UNKNOWN_SESSION, "no such session", method="DELETE")
            await ex.reply(404, [])
            return
        flight = self._core.flights.open(ex, grant=grant.label, timeout_s=self._timeout_s())
        try:
            with flight:
                answer = await self._core.links[upstream].send(self._bare("DELETE", ex.headers, session, grant))
            if session is not None and answer.status != 405:
                self._core.sessions.drop(session)
                for held in [flight for flight in session.flights.values() if flight.held]:
                    held.cancel()
            await self._delivery(ex, upstream, grant, None).run(answer, flight)
        except UpstreamError as fault:
            await self._unreachable(ex, upstream, fault)
        except GivenUp:
            if not ex.started:
                await ex.reply(504, [])
        finally:
            flight.close()

    async def _message(self, inbound: Inbound) -> None:
        message = inbound.message
        if message.kind == "response":
            await self._response(inbound)
            return
        method = message.method
        if self._core.stopping:
            await self._rejections.stopping(inbound)
            return
        if method not in CLIENT_METHODS and not self._may_pass(inbound):
            await self._rejections.unknown_method(inbound)
            return
        if method == "initialize" and inbound.session is None and self._core.sessions.full(self._core.ports.now_ms()):
            await inbound.ex.message(error(message.id, INTERNAL_ERROR, "Too many sessions are open"), 503)
            return
        if method == "notifications/cancelled":
            self._cancel(inbound)
        with self._flight(inbound) as flight:
            if method == CALL:
                await self._calls.tool(inbound, flight)
            elif method in _TARGETS:
                await self._calls.target(inbound, flight, {_TARGETS[method]: message.params.get(_TARGETS[method])})
            elif method not in CLIENT_METHODS:
                await self._calls.target(inbound, flight, {})
            elif uris := wanted_resources(message):
                await self._calls.target(inbound, flight, {"uris": list[Json](uris)})
            else:
                await self._pass(inbound, flight)

    def _flight(self, inbound: Inbound) -> _Tracked:
        message, session = inbound.message, inbound.session
        tool = message.params.get("name") if message.method == CALL else ""
        listens = message.method == "subscriptions/listen"
        tracked = session.flights if session is not None and message.kind == "request" else None
        if tracked is not None and message.id in tracked:
            raise WireError(INVALID_REQUEST, "A request with this id is still under way in this session", message.id)
        flight = self._core.flights.open(
            inbound.ex, grant=inbound.grant.label, tool=str(tool), timeout_s=0 if listens else self._timeout_s()
        )
        if tracked is not None:
            tracked[message.id] = flight
        return _Tracked(flight, tracked, message.id)

    async def _pass(self, inbound: Inbound, flight: Flight) -> None:
        """Forward what needs no word of the policy; lists are filtered on their way back."""
        listener: Listener | None = None
        message = inbound.message
        if message.method == "subscriptions/listen" and _wants_tools(message):
            listener = Listener(inbound.ex, inbound.upstream, inbound.grant.label, message.id)
        try:
            with flight:
                answer = await inbound.link.send(inbound.request())
            session = self._established(inbound, answer)
            if listener is not None and answer.events is not None:
                self._core.listeners.add(listener)
            delivery = self._delivery(
                inbound.ex, inbound.upstream, inbound.grant, session, message_id=message.id, method=message.method
            )
            await delivery.run(answer, flight)
            await inbound.ex.end()
        except UpstreamError as fault:
            if delivery_began(inbound.ex):
                await inbound.ex.end()
            else:
                await answer_unreachable(inbound, fault)
        except GivenUp as given_up:
            if given_up.why == "timeout":
                cancel_upstream(self._core, inbound)
            if flight.passive:
                await inbound.ex.end()
            else:
                await answer_given_up(inbound, given_up.why, self._core.config.limits.call_timeout_ms)
        finally:
            if listener is not None:
                self._core.listeners.remove(listener)

    def _established(self, inbound: Inbound, answer: Answer) -> Session | None:
        """The session the answer belongs to: a new one when `initialize` opened one upstream."""
        session, given = inbound.session, one(answer.headers, SESSION)
        if session is not None and answer.status == 404:
            self._core.sessions.drop(session)
        if inbound.message.method != "initialize" or not given or answer.status >= 300:
            return session
        if session is not None and session.upstream_id == given:
            return session
        now = self._core.ports.now_ms()
        return self._core.sessions.open(inbound.upstream, given, inbound.grant.label, inbound.message.params, now)

    async def _response(self, inbound: Inbound) -> None:
        """The client answers a question of the upstream; answers to questions nobody asked go nowhere."""
        session, message = inbound.session, inbound.message
        if session is None or session.asked.pop(message.id, None) is None:
            raise WireError(INVALID_REQUEST, "This is the answer to a question nobody asked")
        with self._core_flight(inbound) as flight:
            await self._pass(inbound, flight)

    def _core_flight(self, inbound: Inbound) -> _Tracked:
        return _Tracked(
            self._core.flights.open(inbound.ex, grant=inbound.grant.label, timeout_s=self._timeout_s()), None, None
        )

    def _cancel(self, inbound: Inbound) -> None:
        """A client of a session takes a request back: a held one ends at once, others when the upstream says so."""
        wanted = inbound.message.params.get("requestId")
        if inbound.session is None or not (isinstance(wanted, str) or type(wanted) is int):
            return
        flight = inbound.session.flights.get(wanted)
        if flight is not None:
            flight.cancel()

    def _may_pass(self, inbound: Inbound) -> bool:
        return not is_lookalike(inbound.message.method) and Judging.allows_unknown(self._core.engine(inbound))

    def _session(self, headers: Headers, upstream: str, grant: Grant) -> Session | None:
        given = one(headers, SESSION)
        if not given:
            return None
        return self._core.sessions.find(given, grant.label, upstream, self._core.ports.now_ms())

    def _bare(self, verb: str, headers: Headers, session: Session | None, grant: Grant) -> Request:
        upstream_id = session.upstream_id if session is not None else ""
        key = f"{grant.label}\0{session.client if session is not None else ''}"
        modern = is_modern(headers, None)
        return Request("GET" if verb == "GET" else "DELETE", upward(headers), b"", None, upstream_id, modern, key)

    def _delivery(
        self,
        ex: Exchange,
        upstream: str,
        grant: Grant,
        session: Session | None,
        *,
        message_id: MessageId = None,
        method: str = "",
    ) -> Delivery:
        engine = self._core.ports.engine_for(upstream, grant.label)
        return Delivery(
            self._core, ex, engine, upstream, grant.label, session=session, message_id=message_id, method=method
        )

    async def _unreachable(self, ex: Exchange, upstream: str, fault: UpstreamError) -> None:
        if ex.started:
            await ex.end()
            return
        needs_login = isinstance(fault, LoginNeeded)
        text = login_text(upstream, fault) if needs_login else f'Upstream "{upstream}" is not available'
        await ex.message(error(None, INTERNAL_ERROR, text), 502)

    def _timeout_s(self) -> float:
        return self._core.config.limits.call_timeout_ms / 1000


class _Tracked:
    """A flight that is known by its id for as long as it lasts."""

    __slots__ = ("_flight", "_id", "_table")

    def __init__(self, flight: Flight, table: dict[MessageId, Flight] | None, message_id: MessageId) -> None:
        self._flight = flight
        self._table = table
        self._id = message_id

    def __enter__(self) -> Flight:
        return self._flight

    def __exit__(self, *_: object) -> None:
        self._flight.close()
        if self._table is not None:
            with suppress(KeyError):
                del self._table[self._id]


def delivery_began(ex: Exchange) -> bool:
    """Whether an answer is on the wire already, so that no other can be given."""
    return ex.started


def _wants_tools(message: Message) -> bool:
    wanted: Json = message.params.get("notifications")
    return isinstance(wanted, dict) and wanted.get("toolsListChanged") is True
