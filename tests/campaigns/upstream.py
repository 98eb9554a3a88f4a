"""A server with sessions for the campaigns: `initialize` opens one, GET listens, DELETE ends; prints its port.

Tools: `echo` answers a text of `whole` bytes, `big` a stream of `events` events of `size` bytes before its answer,
`slow` after `seconds`. Ends with stdin.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from typing import Any

import uvloop
from aiohttp import web


class Server:
    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.ended = asyncio.Event()

    async def post(self, request: web.Request) -> web.StreamResponse:
        message: dict[str, Any] = await request.json()
        if "id" not in message or "method" not in message:
            return web.Response(status=202)
        session = request.headers.get("Mcp-Session-Id", "")
        if message["method"] == "initialize":
            session = secrets.token_hex(16)
            self.sessions.add(session)
        elif session and session not in self.sessions:
            return web.Response(status=404)
        params: dict[str, Any] = message.get("params") or {}
        if message["method"] == "tools/call" and params.get("name") == "big":
            return await self.big(request, message["id"], params["arguments"])
        if message["method"] == "tools/call" and params.get("name") == "slow":
            await asyncio.sleep(float(params["arguments"]["seconds"]))
        body = {"jsonrpc": "2.0", "id": message["id"], "result": self.result(message["method"], params)}
        headers = {"Mcp-Session-Id": session} if message["method"] == "initialize" else {}
        return web.json_response(body, headers=headers)

    def result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            info = {"name": "campaign", "version": "1"}
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": info,
            }
        if method == "tools/list":
            return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "big", "slow")]}
        return {"content": [{"type": "text", "text": "x" * int(params.get("arguments", {}).get("whole", 4))}]}

    async def big(self, request: web.Request, message_id: object, asked: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * int(asked["size"])}}
        for _ in range(int(asked["events"])):
            await response.write(f"data: {json.dumps(note)}\n\n".encode())
        answer = {"jsonrpc": "2.0", "id": message_id, "result": self.result("tools/call", {})}
        await response.write(f"data: {json.dumps(answer)}\n\n".encode())
        return response

    async def get(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Mcp-Session-Id", "") not in self.sessions:
            return web.Response(status=405)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self.ended.wait()
        return response

    async def delete(self, request: web.Request) -> web.StreamResponse:
        self.sessions.discard(request.headers.get("Mcp-Session-Id", ""))
        return web.Response()


async def main() -> None:
    """Serve until standard input ends."""
    server = Server()
    app = web.Application(client_max_size=2**27)
    app.router.add_post("/mcp", server.post)
    app.router.add_get("/mcp", server.get)
    app.router.add_delete("/mcp", server.delete)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.ended.set()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
