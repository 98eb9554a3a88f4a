"""The only witness of what was executed: an MCP server that keeps the exact bytes it was sent and answers by script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web

Handler = Callable[["Heard", dict[str, Any]], Awaitable[web.StreamResponse | None]]


@dataclass(slots=True)
class Heard:
    """One request as it arrived."""

    verb: str
    headers: dict[str, str]
    body: bytes
    request: web.Request = field(repr=False)

    @property
    def obj(self) -> dict[str, Any]:
        return json.loads(self.body)


class RecordingUpstream:
    """`answers` maps a method to a result, or to a handler that answers itself. `session` is given by `initialize`."""

    def __init__(self, session: str = "upstream-session") -> None:
        self.heard: list[Heard] = []
        self.session = session
        self.answers: dict[str, Any] = {}
        self.port = 0
        self.as_sse = False
        self.released = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def calls(self) -> list[dict[str, Any]]:
        """The `tools/call` messages that were executed, in order."""
        return [obj for obj in self.messages() if obj.get("method") == "tools/call"]

    def messages(self) -> list[dict[str, Any]]:
        return [heard.obj for heard in self.heard if heard.body]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        heard = Heard(request.method, headers, await request.read(), request)
        self.heard.append(heard)
        if request.method != "POST":
            return await self._other(heard)
        obj = heard.obj
        scripted = self.answers.get(obj.get("method", ""))
        if callable(scripted):
            answer = await cast(Handler, scripted)(heard, obj)
            return web.Response(status=202) if answer is None else answer
        if "id" not in obj or "method" not in obj:
            return web.Response(status=202)
        return await self.reply(heard, obj, self._result(obj, scripted))

    async def reply(self, heard: Heard, obj: dict[str, Any], result: Any) -> web.StreamResponse:
        """Answer with a result, as JSON or as a stream of one event."""
        body = {"jsonrpc": "2.0", "id": obj["id"], "result": result}
        headers = {"Mcp-Session-Id": self.session} if obj["method"] == "initialize" and self.session else {}
        if not self.as_sse:
            return web.json_response(body, headers=headers)
        response = await self.stream(heard, headers)
        await response.write(event(body))
        await response.write_eof()
        return response

    async def stream(self, heard: Heard, headers: dict[str, str] | None = None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **(headers or {})})
        await response.prepare(heard.request)
        return response

    async def _other(self, heard: Heard) -> web.StreamResponse:
        scripted = self.answers.get(heard.verb)
        if callable(scripted):
            answer = await cast(Handler, scripted)(heard, {})
            assert answer is not None
            return answer
        return web.Response(status=200 if heard.verb == "DELETE" else 405)

    def _result(self, obj: dict[str, Any], scripted: Any) -> Any:
        if scripted is not None:
            return scripted
        if obj["method"] == "initialize":
            asked = obj.get("params", {}).get("protocolVersion", "2025-11-25")
            return {
                "protocolVersion": asked,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "r", "version": "1"},
            }
        if obj["method"] == "tools/call":
            return {"content": [{"type": "text", "text": "done"}], "isError": False}
        return {}


def event(obj: Any, event_id: str = "") -> bytes:
    """An SSE event carrying `obj`."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: message\ndata: {json.dumps(obj)}\n\n".encode()


@asynccontextmanager
async def recording(upstream: RecordingUpstream | None = None) -> AsyncGenerator[RecordingUpstream]:
    """A running one on a free port of the loopback."""
    upstream = upstream or RecordingUpstream()
    app = web.Application(client_max_size=2**27)
    app.router.add_route("*", "/mcp", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.port = runner.addresses[0][1]
    try:
        yield upstream
    finally:
        upstream.released.set()
        await runner.cleanup()
