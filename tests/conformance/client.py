"""A client of the SDK that does with a server all it can: `python -m tests.conformance.client [--through] URL`.

The suites' client scenarios start it with the URL of a server of theirs, which watches what it does. With `--through`
it starts a gateway in front of that server and talks to the gateway. The suites tell what to call, and in which
revision, by `MCP_CONFORMANCE_CONTEXT` and `MCP_CONFORMANCE_PROTOCOL_VERSION`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import mcp_types as types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError

from tests.conformance.offer import Json
from tests.conformance.places import through

_SAMPLES: Json = {"string": "text", "number": 5, "integer": 5, "boolean": True, "array": [], "object": {}}
_FOCAL = "json_schema_2020_12_tool"


async def fill(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    """The user accepts what the form proposes."""
    schema = params.requested_schema if isinstance(params, types.ElicitRequestFormParams) else {}
    fields = cast("dict[str, Json]", schema.get("properties", {}))
    content = {name: field.get("default", _SAMPLES.get(str(field.get("type")))) for name, field in fields.items()}
    return types.ElicitResult(action="accept", content=content)


async def visit(url: str, mode: str) -> None:
    """List everything, then call, read and get everything."""
    async with create_mcp_http_client() as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, elicitation_callback=fill) as client:
            tools = (await client.list_tools()).tools
            for name, arguments in _planned() or [(tool.name, _arguments(tool, tools)) for tool in tools]:
                with contextlib.suppress(MCPError):
                    await client.call_tool(name, arguments)
            with contextlib.suppress(MCPError):
                for resource in (await client.list_resources()).resources:
                    await client.read_resource(str(resource.uri))
            with contextlib.suppress(MCPError):
                for prompt in (await client.list_prompts()).prompts:
                    await client.get_prompt(prompt.name, {given.name: "text" for given in prompt.arguments or []})


def _planned() -> list[tuple[str, Json]]:
    """The calls the scenario wants."""
    context: Json = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    return [(str(call["name"]), call["arguments"]) for call in cast("list[Json]", context.get("toolCalls", []))]


def _arguments(tool: types.Tool, tools: Sequence[types.Tool]) -> Json:
    """Arguments the schema asks for; where a schema is asked for, the one of the suite's tool for that."""
    fields = cast("dict[str, Json]", tool.input_schema.get("properties", {}))
    made = {name: _SAMPLES.get(str(field.get("type")), "text") for name, field in fields.items()}
    focal = next((other.input_schema for other in tools if other.name == _FOCAL), None)
    return {**made, "schema": focal} if "schema" in made and focal is not None else made


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    url, version = arguments[-1], os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25")
    mode = "auto" if version >= "2026-07-28" else "legacy"
    if "--through" in arguments:
        with through(url) as endpoint:
            asyncio.run(visit(endpoint, mode))
    else:
        asyncio.run(visit(url, mode))


if __name__ == "__main__":
    main(sys.argv[1:])
