"""The few messages that ask a server who it is and what tools it has. Values only: how they travel is not known here.

Source: MCP 2025-11-25, lifecycle and tools; MCP 2026-07-28, `server/discover` for servers that speak nothing older.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mcpwatch.errors import ConfigError

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
_PAGES = 100

Message = dict[str, Any]
Ask = Callable[[Message], Awaitable[Message]]
"""Sends one request and returns the response with the same id, as parsed."""
Tell = Callable[[Message], Awaitable[None]]
"""Sends one notification."""


class ProbeFailed(ConfigError):
    """The server did not start, did not answer, or not as a server. `stderr` are its last lines."""

    def __init__(self, error: str, stderr: tuple[str, ...] = (), exit_code: int | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.stderr = stderr
        self.exit_code = exit_code


class Refused(ProbeFailed):
    """The server answered with an error, or with something that is not MCP. The text says what it said."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who the server is. `tools` are the tool objects as listed, `protocol` the revision that was agreed."""

    server: str
    protocol: str
    tools: tuple[Message, ...]


async def greet(ask: Ask, tell: Tell, version: str) -> Greeting:
    """Open, list the tools on all pages, and return what was learned. Raises Refused and whatever `ask` raises."""
    opened = await ask(_request(1, "initialize", _hello(version)))
    modern = "error" in opened
    if modern:
        opened = await ask(_request(2, "server/discover", _meta(version)))
    result = _result(opened)
    if not modern:
        await tell({"jsonrpc": "2.0", "method": "notifications/initialized"})
    protocol = MODERN if modern else str(result.get("protocolVersion", LEGACY))
    tools = await _tools(ask, _meta(version) if modern else {})
    return Greeting(_name(result), protocol, tools)


async def _tools(ask: Ask, base: Message) -> tuple[Message, ...]:
    tools: list[Message] = []
    cursor: object = None
    for page in range(_PAGES):
        params = base if cursor is None else {**base, "cursor": cursor}
        answer = await ask(_request(10 + page, "tools/list", params))
        if page == 0 and _code(answer) == -32601:
            return ()
        result = _result(answer)
        listed = result.get("tools")
        entries = cast("list[object]", listed) if isinstance(listed, list) else []
        tools.extend(cast("Message", tool) for tool in entries if isinstance(tool, dict))
        cursor = result.get("nextCursor")
        if cursor is None:
            break
    return tuple(tools)


def _request(number: int, method: str, params: Message) -> Message:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _hello(version: str) -> Message:
    return {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "mcpwatch-doctor", "version": version},
    }


def _meta(version: str) -> Message:
    prefix = "io.modelcontextprotocol/"
    info = {"name": "mcpwatch-doctor", "version": version}
    meta = {f"{prefix}protocolVersion": MODERN, f"{prefix}clientCapabilities": {}, f"{prefix}clientInfo": info}
    return {"_meta": meta}


def _code(answer: Mapping[str, Any]) -> object:
    error = answer.get("error")
    return cast("Message", error).get("code") if isinstance(error, dict) else None


def _result(answer: Mapping[str, Any]) -> Message:
    error, result = answer.get("error"), answer.get("result")
    if isinstance(error, dict):
        raise Refused(f"It answered: {cast('Message', error).get('message', error)}")
    if not isinstance(result, dict):
        raise Refused("It answered something that is not MCP")
    return cast("Message", result)


def _name(result: Mapping[str, Any]) -> str:
    meta = result.get("_meta")
    stamped = cast("Message", meta).get("io.modelcontextprotocol/serverInfo") if isinstance(meta, dict) else None
    info = result.get("serverInfo") or stamped
    if not isinstance(info, dict):
        return ""
    known = cast("Message", info)
    return f"{known.get('name', '')} {known.get('version', '')}".strip()


def parsed(text: bytes) -> Message:
    """The JSON object in `text`, {} when there is none: stray output of a server is passed over, as clients do."""
    try:
        value: object = json.loads(text)
    except ValueError:
        return {}
    return cast("Message", value) if isinstance(value, dict) else {}
