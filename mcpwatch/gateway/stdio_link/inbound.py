"""The rules of modern HTTP that a stdio server cannot check, because it never sees the headers.

Source: MCP 2026-07-28, transports/streamable-http, server validation, and basic, per-request protocol fields. The tests
hold these rules against the SDK's own; importing the SDK here would cost a second at start and 50 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from mcpwatch.gateway.headers import decoded
from mcpwatch.gateway.link import Answer, Request
from mcpwatch.gateway.names import HANDSHAKE_VERSIONS
from mcpwatch.gateway.stdio_link import answers
from mcpwatch.gateway.wire import HEADER_MISMATCH, INVALID_PARAMS, Message
from mcpwatch.policy.values import Json

_VERSION = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_ROUTING = (b"mcp-protocol-version", b"mcp-method", b"mcp-name")
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_SUPPORTED = ", ".join(sorted(HANDSHAKE_VERSIONS))


def check(request: Request, message: Message, versions: Sequence[str]) -> Answer | None:
    """The refusal of a request whose envelope or headers are wrong, None when it may go on."""
    routing = [(name, value) for name, value in request.headers if name in _ROUTING]
    given = {name: value.decode("latin-1") for name, value in routing}
    if len(given) != len(routing):
        return refusal(message, HEADER_MISMATCH, "A routing header appears more than once")
    meta = message.params.get("_meta")
    fields = meta if isinstance(meta, dict) else {}
    if missing := [key for key in (_VERSION, _CAPABILITIES) if key not in fields]:
        return refusal(message, INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}")
    version = fields[_VERSION]
    if given.get(b"mcp-protocol-version") != version:
        return refusal(message, HEADER_MISMATCH, "The MCP-Protocol-Version header does not match the body")
    if given.get(b"mcp-method") != message.method:
        return refusal(message, HEADER_MISMATCH, "The Mcp-Method header does not match the body")
    if not _names(message, given.get(b"mcp-name")):
        return refusal(message, HEADER_MISMATCH, "The Mcp-Name header does not match the body")
    return None if version in versions else _unsupported(version, versions, message)


def check_notification(request: Request, versions: Sequence[str]) -> Answer | None:
    """The refusal of a notification of a revision that is not served."""
    version = answers.header(request, b"mcp-protocol-version")
    return None if version in versions else _unsupported(version, versions, None)


def legacy_only(message: Message | None, requested: str) -> Answer:
    """What a server of the handshake era says to a modern request, so that the client falls back to `initialize`."""
    text = f"Bad Request: Unsupported protocol version: {requested[:40]}. Supported versions: {_SUPPORTED}"
    return answers.refused(400, text, id=message.id if message else None)


def refusal(message: Message, code: int, text: str) -> Answer:
    """A modern refusal has HTTP status 400 and a code of its own."""
    return answers.refused(400, text, id=message.id, code=code)


def _names(message: Message, header: str | None) -> bool:
    key = _NAMED.get(message.method)
    wanted = message.params.get(key) if key is not None else None
    return wanted is None or (header is not None and decoded(header) == wanted)


def _unsupported(version: Json, versions: Sequence[str], message: Message | None) -> Answer:
    data = cast("Json", {"supported": list[Any](versions), "requested": version})
    id = message.id if message else None
    return answers.refused(400, "Unsupported protocol version", id=id, code=answers.UNSUPPORTED_VERSION, data=data)
