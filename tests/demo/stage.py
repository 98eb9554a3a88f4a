"""The demo server as tests use it: in the process, without waiting, with a clock that stands still."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import mcp_types as types
from mcp import Client
from mcp.server import Server

from mcpwatch.demo.answers import World
from mcpwatch.demo.cluster import Cluster
from mcpwatch.demo.latency import Latency
from mcpwatch.demo.server import build

CLUSTER = "demo-eks"


def world(*, write: bool = True, sensitive: bool = True) -> World:
    """A fresh cluster; it is always noon."""
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    return World(Cluster(seed=1), now=lambda: noon, allow_write=write, allow_sensitive=sensitive)


def server(of: World | None = None) -> Server[dict[str, object]]:
    """A server that answers at once."""
    return build(of or world(), Latency(speed=0))


async def call(client: Client, tool: str, **arguments: Any) -> types.CallToolResult:
    """The result of one call, which must be a plain one."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, types.CallToolResult)
    return result


def text(result: types.CallToolResult) -> str:
    """The sentence for people."""
    block = result.content[0]
    assert isinstance(block, types.TextContent)
    return block.text


def data(result: types.CallToolResult) -> dict[str, Any]:
    """The JSON behind the sentence."""
    block = result.content[-1]
    assert isinstance(block, types.TextContent)
    return json.loads(block.text)


async def listed(client: Client, kind: str, namespace: str | None = None, version: str = "v1") -> list[str]:
    """The names of all objects of a kind."""
    where = {"namespace": namespace} if namespace else {}
    result = await call(client, "list_k8s_resources", cluster_name=CLUSTER, kind=kind, api_version=version, **where)
    return [item["name"] for item in data(result)["items"]]
