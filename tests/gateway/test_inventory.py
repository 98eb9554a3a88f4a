"""The gateway asks an HTTP upstream for its tools in the upstream's own era, and leaves nothing behind."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from aiohttp import web

from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.link import UpstreamError
from mcpwatch.gateway.stdio_link.link import StdioLink
from tests.gateway.house import MODERN
from tests.gateway.recording_upstream import Heard, RecordingUpstream, recording
from tests.gateway.stdio_talk import ENV

TOOLS = {"tools": [{"name": "one", "inputSchema": {"type": "object"}}]}
_META = "io.modelcontextprotocol/protocolVersion"


async def names(upstream: RecordingUpstream) -> list[Any]:
    link = HttpLink("up", upstream.url)
    try:
        return [tool["name"] for tool in await link.tools()]
    finally:
        await link.stop()


def refusal(obj: dict[str, Any], code: int, data: Any = None) -> web.Response:
    error = {"code": code, "message": "no", "data": data}
    return web.json_response({"jsonrpc": "2.0", "id": obj["id"], "error": error}, status=400)


def version_of(heard: Heard) -> str | None:
    return heard.obj.get("params", {}).get("_meta", {}).get(_META)


async def test_a_modern_upstream_is_asked_once_with_all_that_its_era_wants() -> None:
    async with recording() as upstream:
        upstream.answers["tools/list"] = TOOLS
        assert await names(upstream) == ["one"]
        (heard,) = upstream.heard
        assert (heard.headers["mcp-method"], heard.headers["mcp-protocol-version"]) == ("tools/list", MODERN)
        assert version_of(heard) == MODERN


async def test_an_upstream_of_the_handshake_is_asked_in_a_session_that_is_ended() -> None:
    async def only_in_session(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
        if heard.headers.get("mcp-session-id") != upstream.session:
            return refusal(obj, -32600)
        return await upstream.reply(heard, obj, TOOLS)

    async with recording() as upstream:
        upstream.answers["tools/list"] = only_in_session
        assert await names(upstream) == ["one"]
        asked = [heard.obj["method"] for heard in upstream.heard if heard.body]
        assert asked == ["tools/list", "initialize", "notifications/initialized", "tools/list"]
        assert (upstream.heard[-1].verb, upstream.heard[-1].headers["mcp-session-id"]) == ("DELETE", upstream.session)


async def test_an_upstream_that_names_another_revision_is_asked_in_that() -> None:
    async def later(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
        if version_of(heard) != "2027-01-01":
            return refusal(obj, -32022, {"supported": ["2025-11-25", "2027-01-01"], "requested": MODERN})
        return await upstream.reply(heard, obj, TOOLS)

    async with recording() as upstream:
        upstream.answers["tools/list"] = later
        assert await names(upstream) == ["one"]
        assert [heard.headers["mcp-protocol-version"] for heard in upstream.heard] == [MODERN, "2027-01-01"]


ENDLESS = """
import json, sys
for number, line in enumerate(sys.stdin):
    said = json.loads(line)
    if "id" not in said:
        continue
    answer = {"error": {"code": -32601, "message": "no"}}
    if said["method"] == "initialize":
        info = {"name": "endless", "version": "1"}
        answer = {"result": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}}
    elif said["method"] == "tools/list":
        answer = {"result": {"tools": [{"name": "x" * 2**22}], "nextCursor": str(number)}}
    print(json.dumps({"jsonrpc": "2.0", "id": said["id"], **answer}), flush=True)
"""


async def test_a_list_without_end_is_given_up() -> None:
    async with recording() as upstream:
        upstream.answers["tools/list"] = {"tools": [{"name": "x" * 2**22}], "nextCursor": "again"}
        with pytest.raises(UpstreamError, match="more than"):
            await names(upstream)
        assert len(upstream.heard) < 12


async def test_a_list_without_end_on_stdio_is_given_up() -> None:
    link = StdioLink("up", (sys.executable, "-S", "-c", ENDLESS), ENV)
    await link.start()
    try:
        with pytest.raises(UpstreamError, match="more than"):
            await link.tools()
    finally:
        await link.stop()
