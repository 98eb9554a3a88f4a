"""HTTP answers of a stdio upstream: what the MCP SDKs' own HTTP servers would say, with their status codes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache

from mcpwatch.gateway import replies
from mcpwatch.gateway.link import Answer, Headers, Request, SseEvent
from mcpwatch.gateway.wire import INVALID_REQUEST, MessageId
from mcpwatch.policy.values import Json

UNSUPPORTED_VERSION = -32022
REQUEST_CANCELLED = -32800
SESSION = b"mcp-session-id"
# The HTTP status of a modern JSON-RPC error, as the SDKs give it; 200 for every other code.
STATUS_OF_ERROR = {
    -32700: 400,
    -32600: 400,
    -32602: 400,
    -32020: 400,
    -32021: 400,
    UNSUPPORTED_VERSION: 400,
    -32601: 404,
}
_JSON: Headers = [(b"content-type", b"application/json")]
_SSE: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


async def nothing_to_close() -> None:
    """The answer is complete."""


def whole(body: bytes, *, status: int = 200, session: str = "") -> Answer:
    """One JSON body."""
    return Answer(status, _with_session(_JSON, session), body, None, nothing_to_close)


def empty(status: int, *, session: str = "", headers: Headers | None = None) -> Answer:
    return Answer(status, _with_session(headers or [], session), b"", None, nothing_to_close)


def stream(events: AsyncIterator[SseEvent], aclose: Callable[[], Awaitable[None]], *, session: str = "") -> Answer:
    return Answer(200, _with_session(_SSE, session), None, events, aclose)


def refused(
    status: int, message: str, *, id: MessageId = None, code: int = INVALID_REQUEST, data: Json = None
) -> Answer:
    """A JSON-RPC error with an HTTP status of its own."""
    return whole(replies.error(id, code, message, data), status=status)


def not_allowed(allow: bytes) -> Answer:
    return empty(405, headers=[(b"allow", allow)])


def accepts(request: Request) -> tuple[bool, bool]:
    """(JSON, SSE) as the Accept header allows; without the header both. Source: RFC 9110, 12.5.1."""
    return _accepts(b",".join([value for name, value in request.headers if name == b"accept"]))


@lru_cache(maxsize=64)
def _accepts(given: bytes) -> tuple[bool, bool]:
    kinds = {part.split(";")[0].strip() for part in given.decode("latin-1").lower().split(",")} - {""}
    if not kinds or "*/*" in kinds:
        return True, True
    return bool(kinds & {"application/json", "application/*"}), bool(kinds & {"text/event-stream", "text/*"})


def header(request: Request, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in request.headers if key == name), "")


def _with_session(headers: Headers, session: str) -> Headers:
    return [*headers, (SESSION, session.encode())] if session else headers
