"""A stdio MCP server of the handshake era in one page: what the gateway is put in front of in these tests.

Run as a program. Tools: `echo` answers its arguments, `slow` after `seconds`, `die` ends the process, `boom` is
an error.
With `--witness FILE` every call that really arrives is written there, one line each. With `--fail` it dies at once,
with `--mute` it never answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

TOOLS = ("echo", "slow", "die", "boom", "secret")


def tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    return {"name": name, "description": f"The tool {name}", "inputSchema": schema}


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if name == "die":
        print("echo server: dying as asked", file=sys.stderr, flush=True)
        os._exit(9)
    if name == "slow":
        time.sleep(float(arguments.get("seconds", 1)))
    text = json.dumps(arguments, sort_keys=True)
    return {"content": [{"type": "text", "text": text}], "isError": name == "boom"}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        info = {"name": "echo", "version": "1"}
        version = params.get("protocolVersion", "2025-06-18")
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [tool(name) for name in TOOLS]}
    if method == "tools/call":
        return call(params["name"], params.get("arguments") or {})
    if method == "ping":
        return {}
    return None


def main() -> None:
    witness = sys.argv[sys.argv.index("--witness") + 1] if "--witness" in sys.argv else ""
    if "--fail" in sys.argv:
        print("echo server: no region is set", file=sys.stderr, flush=True)
        raise SystemExit(7)
    for line in sys.stdin:
        message = json.loads(line)
        if "--mute" in sys.argv or "id" not in message or "method" not in message:
            continue
        if witness and message["method"] == "tools/call":
            with open(witness, "a", encoding="utf-8") as file:
                file.write(line)
        result = answer(message["method"], message.get("params") or {})
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            reply["error"] = {"code": -32601, "message": "Method not found"}
        else:
            reply["result"] = result
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
