"""Answers to what goes no further: refused before policy, recorded once, with the status MCP names for it."""

from __future__ import annotations

import logging

from mcpwatch.gateway.book import MALFORMED, Book
from mcpwatch.gateway.core import Inbound
from mcpwatch.gateway.grants import Grant
from mcpwatch.gateway.http_server.exchange import Exchange
from mcpwatch.gateway.replies import error
from mcpwatch.gateway.wire import INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, Message, WireError

_LOG = logging.getLogger(__name__)
UNKNOWN_SESSION = "(unknown session)"


class Rejections:
    """The refusals of one gateway that need no policy."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def unknown_method(self, inbound: Inbound) -> None:
        """A method that MCP does not know, or that only looks like one it knows."""
        message = inbound.message
        await self._book.reject(
            inbound.upstream,
            inbound.grant.label,
            "(unknown method)",
            f"unknown method {message.method[:200]}",
            method=message.method[:200],
            session=inbound.session.id if inbound.session is not None else "",
        )
        if message.kind == "notification":
            await inbound.ex.reply(202, [])
        else:
            body = error(message.id, METHOD_NOT_FOUND, "Method not found")
            await inbound.ex.message(body, 404 if inbound.modern else 200)

    async def stopping(self, inbound: Inbound) -> None:
        """A message that came while the gateway stops."""
        message = inbound.message
        text = "The gateway is stopping"
        await self._book.reject(inbound.upstream, inbound.grant.label, "(stopping)", text, method=message.method)
        await inbound.ex.message(error(message.id, INTERNAL_ERROR, text), 503)

    async def no_session(self, inbound: Inbound) -> None:
        """A session that does not exist, or is another grant's: nobody can tell which."""
        message = inbound.message
        await self._book.reject(
            inbound.upstream, inbound.grant.label, UNKNOWN_SESSION, "no such session", method=message.method
        )
        await inbound.ex.message(error(message.id, INVALID_REQUEST, "Session not found"), 404)

    async def malformed(
        self, ex: Exchange, upstream: str, grant: Grant, message: Message | None, fault: WireError
    ) -> None:
        """What is not exactly one legal message."""
        method = "" if message is None else message.method[:200]
        await self._book.reject(upstream, grant.label, MALFORMED, fault.text, method=method)
        await ex.message(error(fault.id, fault.code, fault.text), 400)

    async def internal(
        self, ex: Exchange, upstream: str, grant: Grant, message: Message | None, fault: Exception
    ) -> None:
        """A fault of ours: whatever it was, nothing passes and the caller gets an answer."""
        _LOG.exception("a request to %s failed inside the gateway", upstream, exc_info=fault)
        method, message_id = ("", None) if message is None else (message.method[:200], message.id)
        await self._book.reject(upstream, grant.label, "(internal)", type(fault).__name__, method=method)
        if ex.streaming or not ex.started:
            await ex.message(error(message_id, INTERNAL_ERROR, "The gateway failed to handle this request"), 500)
