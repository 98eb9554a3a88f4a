"""A stdio server that prints without end: callers of other servers come to their turn."""

from __future__ import annotations

import asyncio
import sys

import pytest

from mcpwatch.gateway.stdio_link.link import StdioLink
from tests.gateway.house import DEADLINE_S, call, house
from tests.gateway.stdio_talk import ENV

SERVER = """
import json, os, sys, threading
def answer(said):
    if said["method"] == "initialize":
        info = {{"name": "flood", "version": "1"}}
        return {{"result": {{"protocolVersion": "2025-11-25", "capabilities": {{}}, "serverInfo": info}}}}
    return {{"error": {{"code": -32601, "message": "no"}}}}
def flood():
    while True:
        sys.{stream}.buffer.write({piece})
        sys.{stream}.buffer.flush()
for line in sys.stdin:
    said = json.loads(line)
    if "id" in said:
        print(json.dumps({{"jsonrpc": "2.0", "id": said["id"], **answer(said)}}), flush=True)
    else:
        threading.Thread(target=flood, daemon=True).start()
os._exit(0)
"""
NOTE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}\n'
PIECES = {
    "empty lines": r'b"\n" * 65536',
    "short lines": r'b"x\n" * 32768',
    "objects": r'b"{}\n" * 16384',
    "notifications": f"{NOTE!r} * 1024",
    "no line end": 'b"x" * 65536',
    "broken UTF-8": r'(b"\xff" * 65535 + b"\n")',
}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES.keys())
async def test_others_are_answered_while_a_server_floods(piece: str, stream: str) -> None:
    flood = StdioLink("flood", (sys.executable, "-S", "-c", SERVER.format(piece=piece, stream=stream)), ENV)
    await flood.start()
    try:
        async with house(links={"flood": flood}) as h, asyncio.timeout(DEADLINE_S):
            for number in range(20):
                assert (await h.post(call(message_id=number))).text == "done"
    finally:
        await flood.stop()
