"""Brings an upstream's answer to its caller: whole or as a stream, unchanged but for what the rules take out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

from mcpwatch.gateway import sse
from mcpwatch.gateway.core import Core
from mcpwatch.gateway.flights import Flight
from mcpwatch.gateway.headers import SESSION, downward, one
from mcpwatch.gateway.http_server.exchange import JSON_TYPE, Exchange
from mcpwatch.gateway.link import Answer, Headers, SseEvent
from mcpwatch.gateway.listfilter import LIST_METHODS, filter_answer
from mcpwatch.gateway.names import SERVER_METHODS
from mcpwatch.gateway.replies import error
from mcpwatch.gateway.sessions import OnFinal, Session
from mcpwatch.gateway.wire import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    MessageId,
    encode_upstream,
    parse_upstream,
    repeats_key,
)
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Json

_LARGE_BYTES = 256 * 1024
_NO_ROOM = "The call was made, but too many large answers wait to be read, so this one is withheld. Read them first."
_LIST_CHANGED = "notifications/tools/list_changed"


class Delivery:
    """One answer on its way. `session` None in the modern era and before `initialize` was answered.

    `message_id` and `method` are those of the request the answer is for; None and "" for a stream that merely listens.
    """

    def __init__(
        self,
        core: Core,
        ex: Exchange,
        engine: Engine,
        upstream: str,
        grant: str,
        *,
        session: Session | None,
        message_id: MessageId = None,
        method: str = "",
        on_final: OnFinal | None = None,
    ) -> None:
        self._core = core
        self._ex = ex
        self._engine = engine
        self._upstream = upstream
        self._grant = grant
        self._session = session
        self._id = message_id
        self._method = method
        self._on_final = on_final
        self.answered = False
        self.resumable = False

    async def run(self, answer: Answer, flight: Flight) -> None:
        """Deliver all of it. Raises GivenUp and UpstreamError when it ends early; `answered` says how far it came."""
        headers = downward(answer.headers)
        if self._session is not None and one(answer.headers, SESSION):
            headers = [*headers, (SESSION, self._session.id.encode())]
        if self._session is not None and answer.status == 404:
            self._core.sessions.drop(self._session)
        if answer.events is None:
            await self._whole(answer, headers)
        else:
            try:
                await self._stream(answer, headers, flight)
            finally:
                with suppress(Exception):
                    await answer.aclose()

    async def _whole(self, answer: Answer, headers: Headers) -> None:
        body, status = answer.body or b"", answer.status
        obj = parse_upstream(body) if body else None
        if 300 <= status < 400:
            # A client that follows a redirect would talk past the gateway.
            headers = [field for field in headers if field[0] != b"location"]
        if (self._awaited and status < 300 and not self._answers(obj)) or _is_no_answer(obj, body):
            body = error(self._id, INTERNAL_ERROR, "The upstream answered with what is no answer")
            obj = parse_upstream(body)
            if status < 300:
                status, headers = 200, Headers([JSON_TYPE])
        if obj is not None:
            body = await self._response(obj, body, status)
        if not self.answered and self._on_final is not None:
            self.answered = True
            body = await self._on_final(obj, len(body), status) or body
        with self._room(len(body)) as room:
            await self._reply(status, headers, obj, body if room else error(self._id, INTERNAL_ERROR, _NO_ROOM))

    async def _reply(self, status: int, headers: Headers, obj: dict[str, Json] | None, body: bytes) -> None:
        if not self._ex.streaming:
            await self._ex.reply(status, headers, body)
        elif obj is not None:
            await self._ex.message(body)
        else:
            text = f"The upstream answered with HTTP status {status}"
            await self._ex.message(error(self._id, INTERNAL_ERROR, text))

    @contextmanager
    def _room(self, size: int) -> Generator[bool]:
        """Whether there is room for a large answer while its caller reads it."""
        if size < _LARGE_BYTES:
            yield True
            return
        answers = self._core.answers
        room = answers.take(self._grant, size)
        try:
            yield room
        finally:
            if room:
                answers.give(self._grant, size)

    @property
    def _awaited(self) -> bool:
        """Whether a client waits for this: it is the answer to a request, not to a notification or a response."""
        return self._id is not None and self._method != ""

    def _answers(self, obj: dict[str, Json] | None) -> bool:
        """Whether `obj` answers the request; ids are compared as text, and an error may come without one."""
        if obj is None or "method" in obj or ("result" not in obj and "error" not in obj):
            return False
        told = obj.get("id")
        return str(told) == str(self._id) or (told is None and "error" in obj)

    async def _stream(self, answer: Answer, headers: Headers, flight: Flight) -> None:
        assert answer.events is not None
        if not self._ex.streaming:
            await self._ex.begin(headers, answer.status)
        events = aiter(answer.events)
        while True:
            with flight:
                event = await anext(events, None)
            if event is None:
                return
            answered = self.answered
            raw = await self._event(event)
            if event.data is not None:
                flight.touch()
            if raw:
                await self._write(raw, final=self.answered and not answered)

    async def _write(self, raw: bytes, *, final: bool) -> None:
        """Send an event; without room for a large one, the error in place of the answer and nothing for all else."""
        with self._room(len(raw)) as room:
            if room:
                await self._ex.write(raw)
            elif final:
                await self._ex.write(sse.event(error(self._id, INTERNAL_ERROR, _NO_ROOM)))

    async def _event(self, event: SseEvent) -> bytes | None:
        """The event as the caller gets it, None when he does not get it."""
        if event_id := sse.id_of(event.raw):
            self.resumable = True
            if self._session is not None:
                self._session.show_event(event_id)
        obj = parse_upstream(event.data) if event.data else None
        if obj is None or event.data is None:
            # What cannot be read here may be a question, or an answer, to a reader of another mind.
            return None if event.data and event.data.strip() else event.raw
        method = obj.get("method")
        if method is None:
            data = await self._response(obj, event.data, 200)
            return event.raw if data is event.data else sse.with_data(event.raw, data)
        if "id" in obj:
            if not self._may_ask(obj):
                return None
            return sse.with_data(event.raw, encode_upstream(obj)) if repeats_key(event.data) else event.raw
        if method == _LIST_CHANGED:
            self._core.ports.tools_changed(self._upstream)
        return event.raw

    async def _response(self, obj: dict[str, Json], data: bytes, status: int) -> bytes:
        # Streams that were resumed or merely listen carry answers to requests made elsewhere: those are told by shape.
        own = self._id is not None and obj.get("id") == self._id
        seen = not own or self._method in LIST_METHODS
        if seen and (filter_answer(obj, self._engine, self._shown) or repeats_key(data)):
            data = encode_upstream(obj)
        on_final = self._told_of(obj, own)
        return data if on_final is None else await on_final(obj, len(data), status) or data

    def _told_of(self, obj: dict[str, Json], own: bool) -> OnFinal | None:
        """Who waits for this answer."""
        if own:
            first, self.answered = not self.answered, True
            return self._on_final if first else None
        message_id = obj.get("id")
        if self._session is None or not isinstance(message_id, (str, int)):
            return None
        return self._session.pending.pop(message_id, None)

    def _shown(self, name: str, visible: bool) -> None:
        self._core.listeners.shown(self._upstream, self._grant, name, visible)

    def _may_ask(self, obj: dict[str, Json]) -> bool:
        """Whether an upstream's request reaches the client; one that does not is refused in the client's place."""
        method, message_id, session = obj.get("method"), obj.get("id"), self._session
        if session is None or not (isinstance(message_id, str) or type(message_id) is int):
            return False
        needed = SERVER_METHODS.get(method) if isinstance(method, str) else None
        if needed is not None and (not needed or needed in session.capabilities):
            session.ask(message_id, str(method))
            return True
        refusal: dict[str, Json] = {"code": METHOD_NOT_FOUND, "message": "The client has not declared this capability"}
        self._core.tell_upstream(session, {"jsonrpc": "2.0", "id": message_id, "error": refusal})
        return False


def _is_batch(data: bytes) -> bool:
    return data.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"[")


def _is_no_answer(obj: dict[str, Json] | None, body: bytes) -> bool:
    """Batches and questions are not taken as the answer to a request: what is in them would pass unseen."""
    return _is_batch(body) if obj is None else "method" in obj
