"""A client of a StdioLink for tests: speaks both eras, keeps what it was told."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcpwatch.gateway.link import Answer, Request
from mcpwatch.gateway.stdio_link.link import StdioLink
from mcpwatch.gateway.stdio_link.pool import PoolLimits
from mcpwatch.gateway.wire import Message, parse_message

SCRIPTED = str(Path(__file__).parent / "fixtures" / "scripted.py")
ENV = {"PATH": os.environ["PATH"]}
BOTH = b"application/json, text/event-stream"
META = "io.modelcontextprotocol/"


def scripted(*flags: str) -> tuple[str, ...]:
    return (sys.executable, "-S", SCRIPTED, *flags)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Watched:
    """A link and what it told its owner."""

    def __init__(self, command: Sequence[str], limits: PoolLimits | None = None) -> None:
        self.changes: list[tuple[str, str, str]] = []
        self.clock_ms = 0
        self.tools_changed = 0
        self.link = StdioLink(
            "up",
            command,
            ENV,
            on_change=self._changed,
            now_ms=lambda: self.clock_ms,
            limits=limits,
            on_tools_changed=self._other_tools,
        )

    @property
    def states(self) -> list[str]:
        return [state for state, _, _ in self.changes]

    def _other_tools(self) -> None:
        self.tools_changed += 1

    def _changed(self, state: str, error: str, remedy: str) -> None:
        self.changes.append((state, error, remedy))


@asynccontextmanager
async def started(*flags: str, limits: PoolLimits | None = None) -> AsyncGenerator[Watched]:
    watched = Watched(scripted(*flags), limits)
    await watched.link.start()
    try:
        yield watched
    finally:
        await watched.link.stop()


class Client:
    """One client. `session` is "" until a legacy one has opened its session."""

    def __init__(self, link: StdioLink, *, modern: bool = False, caller: str = "agent", accept: bytes = BOTH) -> None:
        self.link = link
        self.modern = modern
        self.caller = caller
        self.accept = accept
        self.session = ""
        self.capabilities: dict[str, Any] = {}

    async def open(self) -> Answer:
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": self.capabilities,
            "clientInfo": {"name": "t", "version": "1"},
        }
        answer = await self.ask("initialize", params, id="open")
        self.session = header(answer, b"mcp-session-id")
        await self.tell("notifications/initialized")
        return answer

    async def ask(self, method: str, params: dict[str, Any] | None = None, *, id: int | str = 1) -> Answer:
        body = dict(params or {})
        if self.modern:
            envelope: dict[str, Any] = {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {}}
            body["_meta"] = {**envelope, **body.get("_meta", {})}
        return await self.post({"jsonrpc": "2.0", "id": id, "method": method, "params": body})

    async def call(self, tool: str, args: dict[str, Any] | None = None, *, id: int | str = 1, **meta: Any) -> Answer:
        params: dict[str, Any] = {"name": tool, "arguments": args or {}}
        if meta:
            params["_meta"] = meta
        return await self.ask("tools/call", params, id=id)

    async def say(self, tool: str, args: dict[str, Any] | None = None, *, id: int | str = 1) -> str:
        """The text a tool answers."""
        answer = await said(await self.call(tool, args, id=id))
        assert answer[-1]["id"] == id
        return str(answer[-1]["result"]["content"][0]["text"])

    async def tell(self, method: str, params: dict[str, Any] | None = None) -> Answer:
        return await self.post({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})

    async def post(self, obj: dict[str, Any], *, headers: dict[bytes, bytes] | None = None) -> Answer:
        message = parse_message(json.dumps(obj).encode())
        found = {**self._headers(message), **(headers or {})}
        return await self._send("POST", list(found.items()), message)

    async def get(self, last_event_id: bytes = b"") -> Answer:
        extra = [(b"last-event-id", last_event_id)] if last_event_id else []
        return await self._send("GET", [(b"accept", self.accept), *extra], None)

    async def delete(self) -> Answer:
        return await self._send("DELETE", [], None)

    def _headers(self, message: Message) -> dict[bytes, bytes]:
        found = {b"accept": self.accept, b"mcp-protocol-version": b"2026-07-28" if self.modern else b"2025-11-25"}
        if self.modern:
            found[b"mcp-method"] = message.method.encode()
            name = message.params.get("name", message.params.get("uri"))
            if isinstance(name, str):
                found[b"mcp-name"] = name.encode()
        return found

    async def _send(self, verb: Any, headers: list[tuple[bytes, bytes]], message: Message | None) -> Answer:
        body = message.wire if message else b""
        return await self.link.send(Request(verb, headers, body, message, self.session, self.modern, self.caller))


def header(answer: Answer, name: bytes) -> str:
    return next((value.decode() for key, value in answer.headers if key == name), "")


async def said(answer: Answer) -> list[dict[str, Any]]:
    """Every message of an answer, the last of which is the response."""
    if answer.events is None:
        return [json.loads(answer.body or b"null")]
    found = [json.loads(event.data) async for event in answer.events if event.data]
    await answer.aclose()
    return found
