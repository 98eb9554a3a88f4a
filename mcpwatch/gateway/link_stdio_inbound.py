"""The rules of modern HTTP that a stdio server cannot check, because it never sees the headers.

Source: MCP 2026-07-28, transports/streamable-http, server validation. The rules themselves are the SDK's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    MCP_PARAM_HEADER_PREFIX,
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
    unsupported_protocol_version_rejection,
    validate_mcp_param_headers,
)

from mcpwatch.gateway import link_stdio_answers as answers
from mcpwatch.gateway.link import Answer, Request
from mcpwatch.gateway.names import HANDSHAKE_VERSIONS
from mcpwatch.gateway.wire import HEADER_MISMATCH, Message

_PARAM = MCP_PARAM_HEADER_PREFIX.lower()
_SUPPORTED = ", ".join(sorted(HANDSHAKE_VERSIONS))


def check(request: Request, message: Message, versions: Sequence[str]) -> Answer | None:
    """The refusal of a request whose envelope or headers are wrong, None when it may go on."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1").strip()) for name, value in request.headers]
    if (twice := find_duplicated_routing_header(pairs)) is not None:
        return _refusal(message, InboundLadderRejection(HEADER_MISMATCH, f"{twice} header appears more than once"))
    found = classify_inbound_request(message.obj, headers=dict(pairs), supported_modern_versions=versions)
    return _refusal(message, found) if isinstance(found, InboundLadderRejection) else None


def check_parameters(request: Request, message: Message, schemas: Mapping[str, Any]) -> Answer | None:
    """The refusal of a `tools/call` whose Mcp-Param headers contradict its arguments."""
    schema = schemas.get(str(message.params.get("name"))) if message.method == "tools/call" else None
    if schema is None:
        return None
    given = message.params.get("arguments")
    arguments = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    pairs = [(name.decode("latin-1"), value.decode("latin-1").strip()) for name, value in request.headers]
    names = [name for name, _ in pairs if name.startswith(_PARAM)]
    if len(names) != len(set(names)):
        return _refusal(message, InboundLadderRejection(HEADER_MISMATCH, "An Mcp-Param header appears more than once"))
    found = validate_mcp_param_headers(schema, arguments, dict(pairs))
    return None if found is None else _refusal(message, found)


def check_notification(request: Request, versions: Sequence[str]) -> Answer | None:
    """The refusal of a notification of a revision that is not served."""
    found = unsupported_protocol_version_rejection(answers.header(request, b"mcp-protocol-version"), versions)
    return None if found is None else answers.refused(400, found.message, code=found.code, data=found.data)


def legacy_only(message: Message | None, requested: str) -> Answer:
    """What a server of the handshake era says to a modern request, so that the client falls back to `initialize`."""
    text = f"Bad Request: Unsupported protocol version: {requested[:40]}. Supported versions: {_SUPPORTED}"
    return answers.refused(400, text, id=message.id if message else None)


def _refusal(message: Message, found: InboundLadderRejection) -> Answer:
    status = ERROR_CODE_HTTP_STATUS.get(found.code, 400)
    return answers.refused(status, found.message, id=message.id, code=found.code, data=found.data)
