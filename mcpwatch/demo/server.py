"""The demo as an MCP server on stdin and stdout, in both eras of the protocol as the SDK gives them.

Calls are answered one at a time, as the real EKS server does; only `invoke_agent_runtime`, which is another server in
reality, does not wait for the others.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import anyio
import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

from mcpwatch.demo import aws, kubernetes
from mcpwatch.demo.answers import Answer, World, answer
from mcpwatch.demo.cluster import Cluster
from mcpwatch.demo.latency import Latency
from mcpwatch.demo.offer import tools

_HANDLERS = {**kubernetes.HANDLERS, **aws.HANDLERS}
_ABOUT = "A demo: the cluster exists only in the memory of this process. Nothing real is read or changed."

_Context = ServerRequestContext[dict[str, object]]


def build(world: World, latency: Latency) -> Server[dict[str, object]]:
    """The server around `world`. A call waits as long as `latency` says and then takes effect at once."""
    listed = types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in tools()])
    one_at_a_time = anyio.Lock()

    async def list_tools(_: _Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return listed

    async def call_tool(_: _Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        arguments = params.arguments or {}
        if params.name == "invoke_agent_runtime":
            await anyio.sleep(latency.of(params.name, arguments, refused=False))
            return _result(answer(world, _HANDLERS, params.name, arguments))
        async with one_at_a_time:
            told = answer(world, _HANDLERS, params.name, arguments)
            await anyio.sleep(latency.of(params.name, arguments, refused=told.error))
            return _result(told)

    return Server(
        "mcpwatch-demo",
        version=_version(),
        title="mcpwatch demo cluster",
        instructions=_ABOUT,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def main() -> None:
    """Serve until stdin closes."""
    options = _options()
    world = World(
        Cluster(seed=options.seed),
        now=lambda: datetime.now(UTC),
        allow_write=options.allow_write,
        allow_sensitive=options.allow_sensitive_data_access,
    )
    server = build(world, Latency(seed=options.seed, speed=options.speed))

    async def serve() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(serve)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mcpwatch.demo", description=_ABOUT)
    parser.add_argument("--allow-write", action="store_true", help="let tools change the demo cluster")
    parser.add_argument("--allow-sensitive-data-access", action="store_true", help="show logs, events and secrets")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same cluster")
    parser.add_argument("--speed", type=float, default=1.0, help="0 answers at once, 2 takes twice the time")
    return parser.parse_args()


def _result(told: Answer) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text) for text in told.texts]
    if told.structured is None:
        return types.CallToolResult(content=content, is_error=told.error)
    return types.CallToolResult(content=content, is_error=told.error, structured_content=told.structured)


def _version() -> str:
    try:
        return version("mcpwatch-console")
    except PackageNotFoundError:
        return "0"
