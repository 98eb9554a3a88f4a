"""One process for all modern callers: ids, progress tokens and subscriptions are exchanged, so that nobody's cross.

Source: MCP 2026-07-28, transports (stdio and Streamable HTTP), patterns/cancellation, patterns/subscriptions.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mcpwatch.gateway import replies
from mcpwatch.gateway.link import Answer, Request, UpstreamError
from mcpwatch.gateway.stdio_link import answers, codec
from mcpwatch.gateway.stdio_link.channel import Channel
from mcpwatch.gateway.stdio_link.codec import Said
from mcpwatch.gateway.stdio_link.probe import House
from mcpwatch.gateway.wire import Message, MessageId, encode
from mcpwatch.policy.values import Json

COMMIT_MS = 15_000
CANCEL_GRACE_MS = 1_000
LISTEN = "subscriptions/listen"
_UNREAD_LIMIT_BYTES = 8 * 1024 * 1024
_NEVER_CANCELLED = "server/discover"


@dataclass(slots=True)
class Exchange:
    """One request of one caller. `number` is its id on the process, `id` the caller's own."""

    number: int
    id: MessageId
    caller: str
    method: str
    token: Json
    logs: bool
    streams: bool
    channel: Channel
    error_code: int | None = None

    @property
    def status(self) -> int:
        return 200 if self.error_code is None else answers.STATUS_OF_ERROR.get(self.error_code, 200)


class Shared:
    """Raises UpstreamError from `ask` and from the events it returns when the process ends."""

    def __init__(self, house: House) -> None:
        self.garbage = 0
        self.lost = 0
        self._child = house.child
        self._own = house.own
        self._open: dict[int, Exchange] = {}
        house.child.on_line = self._on_line

    async def ask(self, request: Request, message: Message) -> Answer:
        json, sse = answers.accepts(request)
        if not (sse or (json and message.method != LISTEN)):
            return answers.empty(406)
        exchange = self._opened(request, message, sse)
        try:
            self._child.write(codec.request_with_number(message, exchange.number))
            return await self._answer(exchange, json)
        except UpstreamError:
            self._open.pop(exchange.number, None)
            raise
        except asyncio.CancelledError:
            self._abandon(exchange)
            raise

    def cancel(self, caller: str, id: Json) -> None:
        """A caller cancels by notification. When two of its requests have that id, nobody knows which is meant."""
        meant = [e for e in self._open.values() if e.caller == caller and e.id == id]
        if len(meant) == 1:
            self._tell_cancelled(meant[0])
            asyncio.get_running_loop().call_later(CANCEL_GRACE_MS / 1000, self._give_up, meant[0])

    def end(self, fault: UpstreamError) -> None:
        """Whoever waits gets `fault`."""
        self._own.fail(fault)
        for exchange in self._open.values():
            exchange.channel.end(fault)
        self._open.clear()

    def _opened(self, request: Request, message: Message, sse: bool) -> Exchange:
        number = self._own.next_number()
        meta = message.params.get("_meta")
        logs = isinstance(meta, dict) and codec.LOG_LEVEL in meta
        token = codec.token_of(message.params)
        channel = Channel(limit_bytes=_UNREAD_LIMIT_BYTES)
        exchange = Exchange(number, message.id, request.caller_key, message.method, token, logs, sse, channel)
        self._open[number] = exchange
        return exchange

    async def _answer(self, exchange: Exchange, json: bool) -> Answer:
        channel = exchange.channel
        while not await channel.first(COMMIT_MS / 1000) and not exchange.streams:
            pass
        body = channel.whole()
        if body is not None and json:
            return answers.whole(body, status=exchange.status)
        return answers.stream(channel.events(), lambda: self._closed(exchange))

    async def _closed(self, exchange: Exchange) -> None:
        """Closing the stream is how a modern client cancels."""
        exchange.channel.detach()
        self._abandon(exchange)

    def _abandon(self, exchange: Exchange) -> None:
        if self._open.pop(exchange.number, None) is not None:
            self._tell_cancelled(exchange)

    def _give_up(self, exchange: Exchange) -> None:
        if self._open.pop(exchange.number, None) is not None:
            exchange.channel.put(replies.error(exchange.id, answers.REQUEST_CANCELLED, "Request cancelled"), final=True)

    def _tell_cancelled(self, exchange: Exchange) -> None:
        if exchange.method == _NEVER_CANCELLED or self._child.ended:
            return
        params: dict[str, Json] = {"requestId": exchange.number, "reason": "The client has gone"}
        self._child.write(encode({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))

    def _on_line(self, line: bytes) -> None:
        said = codec.read(line)
        if said is None or said.kind == "request":  # a modern server must not ask (transports/stdio)
            self.garbage += 1
        elif said.kind == "response":
            self._on_answer(said)
        else:
            self._on_notification(said)

    def _on_answer(self, said: Said) -> None:
        if self._own.take(said):
            return
        exchange = self._open.pop(said.id, None) if isinstance(said.id, int) else None
        if exchange is None:
            self.garbage += 1
            return
        exchange.error_code = said.error_code
        text = (codec.answer_of_listen if exchange.method == LISTEN else codec.answer_with_id)(said, exchange.id)
        exchange.channel.put(text, final=True)

    def _on_notification(self, said: Said) -> None:
        if said.method == "notifications/cancelled":
            self._on_listen_ended(said.params.get("requestId"))
        elif (number := codec.subscription_of(said.params)) is not None:
            exchange = self._find(number)
            if exchange is not None or not self._own.heard(said, number):
                self._deliver(exchange, codec.notification_of_listen(said, exchange.id) if exchange else b"")
        elif said.method == "notifications/progress":
            exchange = self._find(said.params.get("progressToken"))
            self._deliver(exchange, codec.notification_with_token(said, exchange.token) if exchange else b"")
        else:
            self._deliver(self._presumed(said), said.raw)

    def _find(self, number: Json) -> Exchange | None:
        return self._open.get(number) if isinstance(number, int) else None

    def _presumed(self, said: Said) -> Exchange | None:
        """Nothing in a log message says whose request it is about: it is delivered only when all that want some are
        of one caller, to the newest of them, and never to somebody else."""
        wants = [e for e in self._open.values() if e.streams and e.method != LISTEN]
        if said.method == "notifications/message":
            wants = [e for e in wants if e.logs]
        return wants[-1] if len({e.caller for e in wants}) == 1 else None

    def _deliver(self, exchange: Exchange | None, data: bytes) -> None:
        """Nobody is made to wait for a slow caller: a subscription too far behind ends, other messages are left out."""
        if exchange is None or not exchange.streams or not exchange.channel.put(data):
            self.lost += 1
            if exchange is not None and exchange.method == LISTEN:
                exchange.channel.end()
                self._abandon(exchange)

    def _on_listen_ended(self, number: Json) -> None:
        exchange = self._find(number)
        if exchange is not None and exchange.method == LISTEN:
            del self._open[exchange.number]
            exchange.channel.end()
