"""What the relay asks of an upstream, whatever it is reached by. Implemented by `http_link` and `stdio_link`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from mcpwatch.gateway.wire import Message
from mcpwatch.policy.values import Json

Headers = list[tuple[bytes, bytes]]


class UpstreamError(Exception):
    """The upstream could not be started, reached or kept. `sent`: whether the message may have been executed.

    `error` is what happened (last stderr line, connection error), `remedy` what the operator can do, may be "".
    """

    def __init__(self, error: str, remedy: str = "", *, sent: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.remedy = remedy
        self.sent = sent


class LoginNeeded(UpstreamError):
    """The upstream lets the operator's credentials not in: nothing was carried out. No word of it is the upstream's."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One server-sent event. `raw` as on the wire, with its blank line; `data` None for comments and `retry:`."""

    raw: bytes
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an upstream. `headers` are the caller's without hop-by-hop, Authorization, Host and length.

    `body` is the re-serialised judged message (b"" for GET and DELETE). `session` is the Mcp-Session-Id or "".
    `caller_key` tells callers apart (grant and client); ids of one caller are unique, those of two may be equal.
    """

    verb: Literal["POST", "GET", "DELETE"]
    headers: Headers
    body: bytes
    message: Message | None
    session: str
    modern: bool
    caller_key: str


@dataclass(slots=True)
class Answer:
    """Either `body` (whole) or `events` (a stream that ends when the upstream ends it). `aclose` gives it up early:

    in the modern era that cancels the request upstream, in the legacy era it does not.
    Source: MCP 2026-07-28, transports.
    """

    status: int
    headers: Headers
    body: bytes | None
    events: AsyncIterator[SseEvent] | None
    aclose: Callable[[], Awaitable[None]]


class Link(Protocol):
    """One upstream. `start` and `send` raise UpstreamError; `on_change` is told every change of state."""

    name: str

    async def start(self) -> None: ...

    async def send(self, request: Request) -> Answer: ...

    async def tools(self) -> list[dict[str, Json]]:
        """The whole tool list, all pages, asked on the gateway's own session or process, never a client's."""
        ...

    async def stop(self) -> None: ...
