"""A real MCP server and real clients (the SDK's) with a gateway between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import mcp_types as types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve, Sample
from mcp.shared._httpx_utils import create_mcp_http_client
from pydantic import BaseModel

from mcpwatch.gateway.http_link.link import HttpLink
from tests.gateway.house import House, house, serving


class Colour(BaseModel):
    colour: str


class Forecast(BaseModel):
    city: str
    degrees: float


async def ask_colour() -> Elicit[Colour]:
    return Elicit("Which colour?", Colour)


async def ask_model() -> Sample:
    content = types.TextContent(type="text", text="Say something")
    return Sample([types.SamplingMessage(role="user", content=content)], max_tokens=10)


def build() -> MCPServer:
    """One of everything."""
    server = MCPServer("real")

    @server.tool()
    async def echo(text: str) -> str:
        return text

    @server.tool()
    async def secret() -> str:
        return "never"

    @server.tool()
    async def steps(count: int, ctx: Context) -> str:
        for step in range(count):
            await ctx.report_progress(step, count, f"step {step}")
        return f"{count} steps"

    @server.tool()
    async def paint(colour: Annotated[Colour, Resolve(ask_colour)]) -> str:
        return f"painted {colour.colour}"

    @server.tool()
    async def muse(said: Annotated[types.CreateMessageResult, Resolve(ask_model)]) -> str:
        return f"{said.model} spoke"

    @server.tool()
    async def forecast(city: str) -> Forecast:
        return Forecast(city=city, degrees=21.5)

    @server.tool()
    async def fail() -> str:
        raise ValueError("no")

    @server.tool()
    async def forever() -> str:
        await asyncio.Event().wait()
        return "never"

    @server.resource("note://one")
    async def one() -> str:
        return "a note"

    @server.prompt()
    async def greet(name: str) -> str:
        return f"Greet {name}"

    _ = (echo, secret, steps, paint, muse, forecast, fail, forever, one, greet)
    return server


@asynccontextmanager
async def real_house(policy: dict[str, Any] | None = None, *, json_response: bool = False) -> AsyncGenerator[House]:
    """A gateway whose upstream `up` is the real server."""
    server = build()
    app = server.streamable_http_app(json_response=json_response)
    async with server.session_manager.run(), serving(app) as port:
        link = HttpLink("up", f"http://127.0.0.1:{port}/mcp")
        async with house(policy, links={"up": link}) as h:
            yield h
        await link.stop()


@asynccontextmanager
async def client(h: House, mode: str, **callbacks: Any) -> AsyncGenerator[Client]:
    """A client of the SDK connected through the gateway. `mode`: `legacy`, `auto` or `2026-07-28`."""
    http = create_mcp_http_client({"Authorization": f"Bearer {h.token}"})
    info = types.Implementation(name="sdk", version="2.3.0")
    async with http:
        transport = streamable_http_client(h.url, http_client=http)
        async with Client(transport, mode=mode, client_info=info, **callbacks) as connected:
            yield connected
