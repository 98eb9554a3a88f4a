"""An MCP server with everything the conformance suites ask for, made with the official SDK.

`python -m tests.conformance.server http` serves Streamable HTTP on a free port of the loopback interface and prints
`{"url": …}` when it is ready; `python -m tests.conformance.server stdio` is a stdio server.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import mcp_types as types
import uvicorn
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette

from tests.conformance.offer import (
    CONTENTS,
    IMAGE,
    PAGE,
    PROMPTS,
    RESOURCES,
    SCHEMAS,
    TEMPLATES,
    TOOLS,
    Json,
    embedded,
    words,
)
from tests.conformance.talk import MODERN, Ctx, answers, question, wants
from tests.conformance.tasks import JOBS, Tasks
from tests.conformance.tools import Tools

_CACHEABLE: tuple[CacheableMethod, ...] = (
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "server/discover",
)
_RETRY_MS = 100
Handler = Callable[[Ctx, Any], Awaitable[Json]]
_TEMPLATE = ("test://template/", "/data")


class Events(EventStore):
    """Every event of every stream, kept for clients that come back."""

    def __init__(self) -> None:
        self._kept: list[tuple[StreamId, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: StreamId, message: types.JSONRPCMessage | None) -> EventId:
        self._kept.append((stream_id, message))
        return str(len(self._kept))

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        seen = int(last_event_id) if last_event_id.isdecimal() else 0
        if not 0 < seen <= len(self._kept):
            return None
        stream = self._kept[seen - 1][0]
        for number, (belongs, message) in enumerate(self._kept[seen:], seen + 1):
            if belongs == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def build() -> Server[Any]:
    """The server, without a transport."""
    bus = InMemorySubscriptionBus()
    server: Server[Any] = Server(
        "fixture",
        version="1.0",
        title="The fixture",
        instructions="Ask it anything.",
        cache_hints=dict.fromkeys(_CACHEABLE, CacheHint(ttl_ms=5000, scope="public")),
        get_tool_input_schema=SCHEMAS.get,
        on_subscriptions_listen=ListenHandler(bus),
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="fixture"))
    tools, tasks = Tools(bus), Tasks()
    tasks.serve(server)

    async def call(ctx: Ctx, params: types.CallToolRequestParams) -> Json:
        run = tasks.call if params.name in JOBS else tools
        return await run(ctx, params.name, params.arguments or {})

    handlers: list[tuple[str, type[types.RequestParams], Handler]] = [
        ("tools/call", types.CallToolRequestParams, call),
        ("tools/list", types.PaginatedRequestParams, _list_tools),
        ("prompts/list", types.PaginatedRequestParams, _list_prompts),
        ("prompts/get", types.GetPromptRequestParams, _prompt),
        ("resources/list", types.PaginatedRequestParams, _list_resources),
        ("resources/templates/list", types.PaginatedRequestParams, _list_templates),
        ("resources/read", types.ReadResourceRequestParams, _read),
        ("resources/subscribe", types.SubscribeRequestParams, _nothing),
        ("resources/unsubscribe", types.UnsubscribeRequestParams, _nothing),
        ("completion/complete", types.CompleteRequestParams, _complete),
        ("logging/setLevel", types.SetLevelRequestParams, _nothing),
    ]
    for method, params, handler in handlers:
        server.add_request_handler(method, params, _whole(handler))
    return server


def web(server: Server[Any], *, json_response: bool = False) -> Starlette:
    """The server as a web application whose streams can be resumed."""
    return server.streamable_http_app(event_store=Events(), retry_interval=_RETRY_MS, json_response=json_response)


def _whole(handler: Handler) -> Handler:
    """A modern result says of what type it is."""

    async def handle(ctx: Ctx, params: Any) -> Json:
        result = await handler(ctx, params)
        return {"resultType": "complete", **result} if ctx.protocol_version == MODERN else result

    return handle


async def _list_tools(ctx: Ctx, params: types.PaginatedRequestParams) -> Json:
    return {"tools": TOOLS}


async def _list_prompts(ctx: Ctx, params: types.PaginatedRequestParams) -> Json:
    return {"prompts": PROMPTS}


async def _list_templates(ctx: Ctx, params: types.PaginatedRequestParams) -> Json:
    return {"resourceTemplates": TEMPLATES}


async def _list_resources(ctx: Ctx, params: types.PaginatedRequestParams) -> Json:
    begin = int(params.cursor or 0)
    page: Json = {"resources": RESOURCES[begin : begin + PAGE]}
    return page if begin + PAGE >= len(RESOURCES) else {**page, "nextCursor": str(begin + PAGE)}


async def _read(ctx: Ctx, params: types.ReadResourceRequestParams) -> Json:
    uri, (head, tail) = params.uri, _TEMPLATE
    content = CONTENTS.get(uri)
    if content is None and uri.startswith(head) and uri.endswith(tail):
        found = uri.removeprefix(head).removesuffix(tail)
        data = json.dumps({"id": found, "templateTest": True, "data": f"Data for ID: {found}"})
        content = {"mimeType": "application/json", "text": data}
    if content is None:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, **content}]}


async def _nothing(ctx: Ctx, params: object) -> Json:
    return {}


async def _complete(ctx: Ctx, params: types.CompleteRequestParams) -> Json:
    found = [word for word in ("paris", "park", "party") if word.startswith(params.argument.value)]
    return {"completion": {"values": found, "total": len(found), "hasMore": False}}


async def _prompt(ctx: Ctx, params: types.GetPromptRequestParams) -> Json:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _says(words("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            return _says(words(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"))
        case "test_prompt_with_embedded_resource":
            resource = embedded(str(given.get("resourceUri")), "Embedded resource content for testing.")
            return _says(resource, words("Please process the embedded resource above."))
        case "test_prompt_with_image":
            return _says(IMAGE, words("Please analyze the image above."))
        case "test_input_required_result_prompt":
            said = answers(ctx).get("user_context")
            if said is None:
                asked = question("What context should the prompt use?", context={"type": "string"})
                return wants({"user_context": asked})
            return _says(words(f"Context: {said['content']['context']}"))
        case _:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name[:80]}")


def _says(*blocks: Json) -> Json:
    return {"messages": [{"role": "user", "content": block} for block in blocks]}


async def _serve_http() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = cast("tuple[str, int]", listener.getsockname())[1]
    # h11 takes the blanks off header values, as RFC 9110 wants; httptools leaves them to the application.
    config = uvicorn.Config(web(build()), http="h11", log_level="error", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    print(json.dumps({"url": f"http://127.0.0.1:{port}/mcp"}), flush=True)
    await server.serve(sockets=[listener])


async def _serve_stdio() -> None:
    server = build()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main(arguments: Sequence[str]) -> None:
    """Serve what the command line says."""
    asyncio.run(_serve_stdio() if list(arguments) == ["stdio"] else _serve_http())


if __name__ == "__main__":
    main(sys.argv[1:])
