"""The fastest MCP answer there is: a raw protocol on loopback that echoes 64 bytes.

Prints its port, ends with stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import httptools
import uvloop

TEXT = "x" * 64


class Echo(asyncio.Protocol):
    """One connection; answers `initialize`, `tools/list` and `tools/call` with ready-made results."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self.parser = httptools.HttpRequestParser(self)
        self.body = bytearray()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method = self.parser.get_method()
        raw, self.body = bytes(self.body), bytearray()
        if method != b"POST":
            self._send(b"405 Method Not Allowed", b"")
            return
        message = json.loads(raw)
        if "id" not in message:
            self._send(b"202 Accepted", b"")
            return
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result_of(message["method"])}
        self._send(b"200 OK", json.dumps(answer, separators=(",", ":")).encode())

    def _send(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(head % (status, len(body)) + body)


def result_of(method: str) -> dict[str, object]:
    """The result of one method, always the same."""
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "echo", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
    return {"content": [{"type": "text", "text": TEXT}]}


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
