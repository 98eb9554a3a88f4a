"""Which HTTP headers cross the gateway, and what MCP's own headers say.

Sources: RFC 9110 7.6.1 (hop-by-hop fields), MCP 2026-07-28 transports (Mcp-Method, Mcp-Name and their encoding),
SEP-2663 (Mcp-Name of tasks).
"""

from __future__ import annotations

import base64
import binascii

from mcpwatch.gateway.link import Headers
from mcpwatch.gateway.names import HANDSHAKE_VERSIONS
from mcpwatch.gateway.wire import HEADER_MISMATCH, INVALID_REQUEST, Message, WireError

SESSION = b"mcp-session-id"
VERSION = b"mcp-protocol-version"
_META_VERSION = "io.modelcontextprotocol/protocolVersion"

_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade http2-settings".split()
)
_NOT_UP = _HOP | frozenset(
    b"host content-length content-type authorization cookie accept-encoding expect origin referer forwarded via "
    b"x-http-method-override x-http-method x-method-override x-original-url x-rewrite-url x-real-ip "
    b"mcp-session-id".split()
)
_NOT_DOWN = _HOP | frozenset(b"content-length content-encoding set-cookie alt-svc date server mcp-session-id".split())
_ROUTING = (VERSION, b"mcp-method", b"mcp-name")
_NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}


def upward(headers: Headers) -> Headers:
    """The caller's headers an upstream gets: no credentials, nothing of this connection, values without blanks."""
    named = _named_by_connection(headers)
    return [
        (name, value.strip())
        for name, value in headers
        if name not in _NOT_UP and not name.startswith((b"x-forwarded-", b"proxy-", b"sec-")) and name not in named
    ]


def downward(headers: Headers) -> Headers:
    """The upstream's headers the caller gets; length and session are set anew."""
    named = _named_by_connection(headers)
    return [(name, value) for name, value in headers if name not in _NOT_DOWN and name not in named]


def one(headers: Headers, name: bytes) -> str:
    """The value of a header, "" when absent, the first when given twice."""
    for key, value in headers:
        if key == name:
            return value.strip().decode("latin-1")
    return ""


def is_modern(headers: Headers, message: Message | None) -> bool:
    """Whether a request is of 2026-07-28 or later: its body says so, or its header names no handshake revision.

    `initialize` is of the handshake whatever its header says, unless its body has the later envelope.
    """
    meta = None if message is None else message.params.get("_meta")
    if isinstance(meta, dict) and _META_VERSION in meta:
        return meta[_META_VERSION] not in HANDSHAKE_VERSIONS
    if message is not None and message.method == "initialize":
        return False
    return _is_later(one(headers, VERSION))


def check_routing(headers: Headers, message: Message, *, modern: bool) -> Headers:
    """The headers without contradiction to the body, which is what is judged.

    A modern request whose Mcp-Method or Mcp-Name differs is refused (WireError -32020), as is any routing header given
    twice; to a handshake revision these headers mean nothing and go no further.
    """
    names = [name for name, _ in headers if name in _ROUTING]
    if len(names) != len(set(names)):
        code = HEADER_MISMATCH if modern else INVALID_REQUEST
        raise WireError(code, "A routing header appears more than once", message.id)
    if not modern and not _is_later(one(headers, VERSION)):
        return [header for header in headers if header[0] not in _ROUTING[1:]]
    if message.kind == "response":
        return headers
    for name, wanted in ((b"mcp-method", message.method), (b"mcp-name", _target(message))):
        given = one(headers, name)
        if name in names and decoded(given) != wanted:
            raise WireError(HEADER_MISMATCH, f"The {name.decode()} header does not match the body", message.id)
    return headers


def decoded(value: str) -> str | None:
    """A header value in MCP's `=?base64?…?=` form or as it is; None when that form is broken."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    payload = value[9:-2]
    try:
        raw = base64.b64decode(payload, validate=True)
        return raw.decode() if base64.b64encode(raw).decode() == payload else None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _is_later(version: str) -> bool:
    return version != "" and version not in HANDSHAKE_VERSIONS


def _target(message: Message) -> str | None:
    key = _NAMED.get(message.method)
    value = None if key is None else message.params.get(key)
    return value if isinstance(value, str) else None


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    named = [v for k, v in headers if k == b"connection" and v not in (b"keep-alive", b"close")]
    return frozenset(part.strip().lower() for value in named for part in value.split(b",")) if named else frozenset()
