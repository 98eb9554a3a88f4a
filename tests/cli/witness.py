"""An MCP server in a thread that keeps every byte it was sent: the only witness of what was executed."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Witness:
    """Answers every request with a result; `heard` are verb and body of each, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        witness = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                witness.note("POST", body, dict(self.headers))
                message: dict[str, Any] = json.loads(body)
                if "id" not in message or "method" not in message:
                    self._send(202, b"")
                    return
                answer = {"jsonrpc": "2.0", "id": message["id"], "result": _result(message)}
                self._send(200, json.dumps(answer).encode())

            def do_GET(self) -> None:
                self._send(405, b"")

            do_DELETE = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/mcp"

    def note(self, verb: str, body: bytes, headers: dict[str, str]) -> None:
        self.heard.append((verb, body))
        self.headers.append(headers)

    def calls(self) -> list[str]:
        """The tools that were called, in order."""
        messages = [json.loads(body) for verb, body in self.heard if verb == "POST"]
        return [message["params"]["name"] for message in messages if message.get("method") == "tools/call"]

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _result(message: dict[str, Any]) -> dict[str, Any]:
    if message["method"] == "initialize":
        version = message["params"]["protocolVersion"]
        info = {"name": "witness", "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    if message["method"] == "tools/list":
        return {"tools": [{"name": "safe", "inputSchema": {"type": "object"}}]}
    return {"content": [{"type": "text", "text": "done"}]}
