"""One legacy session: one process that belongs to one client, behind Streamable HTTP as that client expects it.

Source: MCP 2025-11-25, transports: which stream carries which message, resumption, session end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

from mcpwatch.gateway import replies
from mcpwatch.gateway.link import Answer, Request, SseEvent, UpstreamError
from mcpwatch.gateway.names import SERVER_METHODS
from mcpwatch.gateway.stdio_link import answers
from mcpwatch.gateway.stdio_link.channel import KEPT_BYTES, Channel
from mcpwatch.gateway.stdio_link.codec import Said, read, token_of
from mcpwatch.gateway.stdio_link.process import Child
from mcpwatch.gateway.wire import METHOD_NOT_FOUND, Message, MessageId
from mcpwatch.policy.values import Json

COMMIT_MS = 15_000
CANCEL_GRACE_MS = 1_000
BUSY_BYTES = 1024 * 1024
_CHANNEL_LIMIT_BYTES = 64 * 1024 * 1024
_LISTENER_BYTES = 8 * 1024 * 1024
_OVER_STREAMS = 8
_OVER_BYTES = 4 * 1024 * 1024
_PRIMED_SINCE = "2025-11-25"
_GET = "g"
_ASKED = 1_000
_OFFERS = frozenset(SERVER_METHODS.values())


@dataclass(slots=True)
class Exchange:
    """One request of the client that waits for its answer. `streams` when the client can take more than the answer."""

    id: MessageId
    method: str
    token: Json
    streams: bool
    channel: Channel
    streamed: bool = False


class Session:
    """Raises UpstreamError from `handle` and from the events it returns when the process ends."""

    def __init__(self, name: str, child: Child, now_ms: Callable[[], int]) -> None:
        self.name = name
        self.child = child
        self.accepted = False
        self.over = False
        self.garbage = 0
        self.listened = False
        self._now_ms = now_ms
        self._used_ms = now_ms()
        self._streams = 0
        self._open: dict[MessageId, Exchange] = {}
        self._ended: OrderedDict[str, Channel] = OrderedDict()
        self._get = self._channel(_GET)
        self._get.attached = False
        self._asked: OrderedDict[MessageId, None] = OrderedDict()
        self._offers: frozenset[str] = frozenset()
        child.on_line = self._on_line

    @property
    def idle_ms(self) -> int:
        """How long nobody has used it; 0 while a request is being answered or a client listens."""
        busy = self._get.attached or any(exchange.channel.attached for exchange in self._open.values())
        return 0 if busy else self._now_ms() - self._used_ms

    async def handle(self, request: Request) -> Answer:
        self._used_ms = self._now_ms()
        if request.verb == "GET":
            return self._listen(request)
        message = request.message
        if message is None or message.kind != "request":
            return self._accept(request, message)
        return await self._ask(request, message)

    def end(self, fault: UpstreamError) -> None:
        """Whoever waits for an answer gets `fault`, whoever listens sees the end of the stream."""
        self.over = True
        self._get.end()
        for exchange in self._open.values():
            exchange.channel.end(fault)
        self._open.clear()

    def _accept(self, request: Request, message: Message | None) -> Answer:
        """A notification, or the answer to something the server asked."""
        if message is not None and message.kind == "response":
            if message.id in self._asked:
                del self._asked[message.id]
                self.child.write(request.body)
        else:
            self.child.write(request.body)
            if message is not None and message.method == "notifications/cancelled":
                self._cancelled(message.params.get("requestId"))
        return answers.empty(202, session=self.name)

    async def _ask(self, request: Request, message: Message) -> Answer:
        json, sse = answers.accepts(request)
        if not json and not sse:
            return answers.refused(406, "Not Acceptable: accept application/json or text/event-stream", id=message.id)
        if message.id in self._open:
            return answers.refused(400, "This id is in use by a request that is not answered yet", id=message.id)
        if message.method == "initialize":
            offered = message.params.get("capabilities")
            self._offers = _OFFERS.intersection(offered) if isinstance(offered, dict) else frozenset()
        exchange = self._opened(message, sse)
        try:
            self.child.write(request.body)
            return await self._answer(request, exchange, json)
        except (UpstreamError, asyncio.CancelledError):
            exchange.channel.detach()
            raise
        finally:
            self._used_ms = self._now_ms()

    def _opened(self, message: Message, sse: bool) -> Exchange:
        self._streams += 1
        channel = self._channel(str(self._streams))
        exchange = Exchange(message.id, message.method, token_of(message.params), sse, channel)
        self._open[message.id] = exchange
        return exchange

    async def _answer(self, request: Request, exchange: Exchange, json: bool) -> Answer:
        """JSON when the answer comes first, else a stream; a stream too when the server is silent for long."""
        channel, prime = exchange.channel, None
        while not await channel.first(COMMIT_MS / 1000):
            if exchange.streams:
                prime = channel.prime() if _primes(request) else None
                break
        body = channel.whole()
        if body is not None and json:
            return answers.whole(body, session=self.name)
        exchange.streamed = True
        return self._stream(channel, channel.events(prime))

    def _listen(self, request: Request) -> Answer:
        """The stream of everything that belongs to no request, or the rest of a stream that broke off."""
        if not answers.accepts(request)[1]:
            return answers.refused(406, "Not Acceptable: accept text/event-stream")
        name, _, after = answers.header(request, b"last-event-id").rpartition("-")
        if name and name != _GET:
            return self._resume(name, after)
        if self._get.attached and not name:
            return answers.refused(409, "Conflict: only one listening stream for each session")
        if name:
            self._get.rewind(_number(after))
        self._get.attached = self.listened = True
        return self._stream(self._get, self._get.events())

    def _resume(self, name: str, after: str) -> Answer:
        channel = self._ended.get(name) or next(
            (e.channel for e in self._open.values() if e.channel.name == name), None
        )
        if channel is None:
            return answers.refused(400, "The stream of this Last-Event-ID is no longer kept")
        channel.rewind(_number(after))
        return self._stream(channel, channel.events())

    def _stream(self, channel: Channel, events: AsyncIterator[SseEvent]) -> Answer:
        async def close() -> None:
            channel.detach()
            self._used_ms = self._now_ms()

        return answers.stream(events, close, session=self.name)

    def _on_line(self, line: bytes) -> None:
        said = read(line)
        if said is None:
            self.garbage += 1
        elif said.kind == "response":
            self._on_answer(said)
        elif said.kind == "request" and not self._may_ask(said):
            text = f"The client does not offer {said.method[:80]}"
            self.child.write(replies.error(cast("MessageId", said.id), METHOD_NOT_FOUND, text))
        else:
            if said.kind == "request":
                self._ask_client(cast("MessageId", said.id))
            self._deliver(self._receiver(said), said)

    def _on_answer(self, said: Said) -> None:
        exchange = self._open.pop(cast("MessageId", said.id), None) if isinstance(said.id, str | int) else None
        if exchange is None:
            self.garbage += 1
            return
        if exchange.method == "initialize" and "result" in said.obj:
            self.accepted = True
        exchange.channel.put(said.raw, final=True)
        if exchange.streamed or not exchange.channel.attached:
            self._keep(exchange.channel)

    def _receiver(self, said: Said) -> Channel:
        """Progress goes to the request that has its token, all else to the newest request, else to who listens."""
        if said.method == "notifications/progress":
            token = said.params.get("progressToken")
            owner = next((e for e in self._open.values() if e.token == token and e.streams), None)
            if owner is not None:
                return owner.channel
        newest = (e.channel for e in reversed(self._open.values()) if e.streams and e.channel.attached)
        return next(newest, self._get)

    def _deliver(self, channel: Channel, said: Said) -> None:
        """A server waits for the client that reads the answer of a request, but for nobody who merely listens."""
        channel.put(said.raw)
        if channel.attached and channel is not self._get:
            if channel.unread_bytes > BUSY_BYTES:
                self.child.pause()
            return
        limit = _LISTENER_BYTES if channel.attached else KEPT_BYTES
        while channel.unread_bytes > limit and (lost := channel.drop_oldest()) is not None:
            self._lost(lost)

    def _lost(self, raw: bytes) -> None:
        """A question of the server that no client will see is answered, so that the server does not wait for ever."""
        said = read(raw)
        if said is not None and said.kind == "request":
            self._asked.pop(cast("MessageId", said.id), None)
            text = "No client listened for this request"
            self.child.write(replies.error(cast("MessageId", said.id), METHOD_NOT_FOUND, text))

    def _ask_client(self, id: MessageId) -> None:
        """Keep the question until it is answered; the oldest of too many is forgotten."""
        self._asked[id] = None
        if len(self._asked) > _ASKED:
            self._asked.popitem(last=False)

    def _may_ask(self, said: Said) -> bool:
        needs = SERVER_METHODS.get(said.method)
        return isinstance(said.id, str | int) and needs is not None and (needs == "" or needs in self._offers)

    def _cancelled(self, id: Json) -> None:
        """Servers need not answer a cancelled request, HTTP clients wait for the end of its stream: they get one."""
        exchange = self._open.get(cast("MessageId", id)) if isinstance(id, str | int) else None
        if exchange is not None:
            asyncio.get_running_loop().call_later(CANCEL_GRACE_MS / 1000, self._give_up, exchange)

    def _give_up(self, exchange: Exchange) -> None:
        if self._open.get(exchange.id) is exchange:
            del self._open[exchange.id]
            text = replies.error(exchange.id, answers.REQUEST_CANCELLED, "Request cancelled")
            exchange.channel.put(text, final=True)

    def _keep(self, channel: Channel) -> None:
        if not channel.attached and channel.unread_bytes > _OVER_BYTES:
            return
        self._ended[channel.name] = channel
        while len(self._ended) > _OVER_STREAMS:
            self._ended.popitem(last=False)

    def _channel(self, name: str) -> Channel:
        return Channel(name, limit_bytes=_CHANNEL_LIMIT_BYTES, on_drain=self._drained)

    def _drained(self) -> None:
        channels = [exchange.channel for exchange in self._open.values()]
        if not any(channel.attached and channel.unread_bytes > BUSY_BYTES for channel in channels):
            self.child.resume()


def _primes(request: Request) -> bool:
    return answers.header(request, b"mcp-protocol-version") >= _PRIMED_SINCE


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else 0
