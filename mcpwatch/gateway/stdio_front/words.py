"""What a courier must understand of a message to carry it: its kind, its id, its era. Nothing here judges."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json

from mcpwatch.gateway.names import HANDSHAKE_VERSIONS
from mcpwatch.gateway.wire import INTERNAL_ERROR, METHOD_NOT_FOUND, encode_upstream
from mcpwatch.policy.values import Json

_META_VERSION = "io.modelcontextprotocol/protocolVersion"
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


@dataclass(frozen=True, slots=True)
class Words:
    """`whole`: it is a JSON object. `modern`: the revision it names, "" in the handshake era. `target`: of a cancel."""

    line: bytes
    whole: bool = True
    is_request: bool = False
    id: Json = None
    method: str = ""
    name: str | None = None
    modern: str = ""
    target: Json = None


NOTHING = Words(b"")
INITIALIZED = Words(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', method="notifications/initialized")


def read(line: bytes) -> Words:
    """A line of the client. Whatever it is, its bytes are kept.

    A raw carriage return ends a line for some servers: such a line is made unreadable, so that it is refused.
    """
    obj = _object(line)
    if b"\r" in line:
        line += b"\0"
    if obj is None:
        return Words(line, whole=False)
    method = obj.get("method")
    if not isinstance(method, str):
        return Words(line, whole="result" in obj or "error" in obj)
    params = _part(obj, "params")
    name = params.get(_NAMED.get(method, ""))
    version = _part(params, "_meta").get(_META_VERSION)
    return Words(
        line,
        is_request="id" in obj,
        id=obj.get("id"),
        method=method,
        name=name if isinstance(name, str) else None,
        modern=version if isinstance(version, str) and _is_modern(version) else "",
        target=params.get("requestId"),
    )


def headers_of(said: Words, version: str) -> dict[str, str]:
    """MCP's own headers. `version` is what the handshake agreed on, "" before."""
    if not said.modern:
        opening = said.method == "initialize"
        return {"MCP-Protocol-Version": version} if version and not opening else {}
    headers = {"MCP-Protocol-Version": said.modern, "Mcp-Method": _header_text(said.method)}
    if said.name is not None:
        headers["Mcp-Name"] = _header_text(said.name)
    return headers


def answers(data: bytes, id: Json) -> bool:
    """Whether a message of the server is the answer to the request `id`."""
    obj = _object(data)
    return obj is not None and "method" not in obj and obj.get("id") == id


def agreed_version(body: bytes) -> str:
    """The revision in an answer to `initialize`, "" when there is none."""
    version = _part(_object(body) or {}, "result").get("protocolVersion")
    return version if isinstance(version, str) else ""


def no_method(body: bytes) -> bool:
    """Whether a refusal says that there is no such method, and not that there is no such session."""
    error = _part(_object(body) or {}, "error")
    return error.get("code") == METHOD_NOT_FOUND


def error_for(said: Words, body: bytes) -> bytes:
    """The JSON-RPC error in a refusal, under the id of the request it answers; b"" when it holds none."""
    obj = _object(body)
    if obj is None or "error" not in obj:
        return b""
    if obj.get("id") is None and said.is_request:
        return encode_upstream({**obj, "id": said.id})
    return body


def failure(id: Json, text: str) -> bytes:
    return encode_upstream({"jsonrpc": "2.0", "id": id, "error": {"code": INTERNAL_ERROR, "message": text}})


def torn_down(listen: Words) -> bytes:
    """How a server on stdio says that a subscription is over. Source: MCP 2026-07-28, patterns/cancellation."""
    params: dict[str, Json] = {"requestId": listen.id, "reason": "The stream has ended"}
    return encode_upstream({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = from_json(text)
    except ValueError:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _part(obj: dict[str, Any], key: str) -> dict[str, Any]:
    value = obj.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _is_modern(version: str) -> bool:
    return version not in HANDSHAKE_VERSIONS and version.isascii() and version.isprintable()


def _header_text(value: str) -> str:
    """A header value as MCP 2026-07-28 writes it: as it is when it is visible ASCII, else in base64."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and not value.startswith("=?base64?")
    return value if plain else f"=?base64?{base64.b64encode(value.encode('utf-8', 'replace')).decode()}?="
