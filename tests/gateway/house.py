"""A whole gateway for the tests: real HTTP on both sides, the real engine, an audit in memory, a clock that is set."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

from mcpwatch.errors import AuditError
from mcpwatch.events import CallOutcome, CallRecord, Event
from mcpwatch.gateway.app import Gateway
from mcpwatch.gateway.grants import Grants
from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.http_server.server import HttpServer
from mcpwatch.gateway.link import Link
from mcpwatch.gateway.ports import Ports
from mcpwatch.gateway.settings import GatewayConfig, Limits
from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.demands import SharedCounters
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.reader import read_policy
from tests.gateway.recording_upstream import RecordingUpstream, recording

DEADLINE_S = 10.0
ALLOW: dict[str, Any] = {"version": "1", "default": "allow"}
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
MODERN = "2026-07-28"


class MemoryJournal:
    """The audit of the tests. `broken` makes it fail like a full disk; `before_settle` is awaited before an outcome."""

    def __init__(self) -> None:
        self.rows: list[CallRecord] = []
        self.outcomes: list[CallOutcome] = []
        self.notes: list[Event] = []
        self.broken = False
        self.broken_settle = False
        self._seq = itertools.count(1)

    async def intend(self, record: CallRecord) -> int:
        await asyncio.sleep(0)
        if self.broken:
            raise AuditError("the disk is full")
        self.rows.append(record)
        return next(self._seq)

    async def settle(self, outcome: CallOutcome) -> None:
        await asyncio.sleep(0)
        if self.broken or self.broken_settle:
            raise AuditError("the disk is full")
        self.outcomes.append(outcome)

    async def note(self, event: Event) -> None:
        if self.broken:
            raise AuditError("the disk is full")
        self.notes.append(event)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@dataclass
class House:
    """A running gateway in front of one recording upstream called `up`."""

    gateway: Gateway
    upstream: RecordingUpstream
    journal: MemoryJournal
    engine: Engine
    grants: Grants
    token: str
    events: list[Event]
    port: int
    http: aiohttp.ClientSession
    links: dict[str, Link]
    clock: list[int] = field(default_factory=list[int])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp/up"

    def headers(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {**HEADERS, "authorization": f"Bearer {self.token}", **(extra or {})}

    def install(self, policy: dict[str, Any]) -> None:
        """Put a policy in force, as the policy file's watcher does."""
        self.engine.install(compile_policy(read_policy(json.dumps(policy).encode())))
        self.gateway.policy_changed("up")

    async def post(self, body: Any, headers: dict[str, str] | None = None) -> Reply:
        """POST a message (bytes as they are, anything else as JSON) and read the whole answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.post(self.url, data=io.BytesIO(data), headers=self.headers(headers)) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, headers, await response.read())

    async def open_session(self, capabilities: dict[str, Any] | None = None, version: str = "2025-11-25") -> str:
        """Shake hands; the session id the gateway gave."""
        params = {
            "protocolVersion": version,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "tester", "version": "9"},
        }
        reply = await self.post(request("initialize", params, 0))
        assert reply.status == 200, reply
        return reply.headers["mcp-session-id"]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The message, whether it came as a body or as the last event of a stream."""
        return self.messages[-1]

    @property
    def messages(self) -> list[dict[str, Any]]:
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return [json.loads(line[6:]) for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(self.body)]

    @property
    def text(self) -> str:
        return self.json["result"]["content"][0]["text"]


def request(method: str, params: dict[str, Any] | None = None, message_id: Any = 1) -> dict[str, Any]:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": message_id, "method": method}
    return message if params is None else {**message, "params": params}


def call(tool: str = "echo", args: dict[str, Any] | None = None, message_id: Any = 1, **params: Any) -> dict[str, Any]:
    return request("tools/call", {"name": tool, "arguments": args or {}, **params}, message_id)


def modern(message: dict[str, Any], client: str = "modern", **meta: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The message and its headers in the form of 2026-07-28."""
    envelope = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": client, "version": "1"},
        **meta,
    }
    params = {**message.get("params", {}), "_meta": envelope}
    headers = {"mcp-protocol-version": MODERN, "mcp-method": message["method"]}
    if "name" in params:
        headers["mcp-name"] = params["name"]
    return {**message, "params": params}, headers


async def until(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Wait for something to be true, at most ten seconds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(gateway: Gateway) -> AsyncGenerator[int]:
    """A gateway on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setblocking(False)
        server = HttpServer(gateway, keepalive_s=gateway.keepalive_s)
        await server.start(bound)
        try:
            yield bound.getsockname()[1]
        finally:
            await server.stop()


@asynccontextmanager
async def serving(application: Any) -> AsyncGenerator[int]:
    """An ASGI application behind uvicorn on a free port."""
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=0,
        http="httptools",
        lifespan="off",
        ws="none",
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started, "the server's start")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def house(
    policy: dict[str, Any] | None = None,
    *,
    upstream: RecordingUpstream | None = None,
    limits: Limits | None = None,
    state_dir: Path | None = None,
    links: dict[str, Link] | None = None,
    open_door: bool = False,
    now_ms: Callable[[], int] | None = None,
    shared: SharedCounters | None = None,
) -> AsyncGenerator[House]:
    """A gateway with this policy (None: `default: allow`) in front of a recording upstream."""
    async with recording(upstream) as up:
        journal, engine, events = MemoryJournal(), Engine(shared=shared), list[Event]()
        grants = Grants(None, open_door=open_door)
        token = grants.add_ephemeral("local")
        link = HttpLink("up", up.url)
        reached: dict[str, Link] = {"up": link, **(links or {})}
        clock = now_ms or (lambda: time.time_ns() // 1_000_000)
        ports = Ports(lambda upstream, grant: engine, journal, events.append, lambda u, g, args: args, clock)
        config = GatewayConfig("test", state_dir, limits=limits or Limits())
        gateway = Gateway(config, links=reached, grants=grants, ports=ports)
        async with aiohttp.ClientSession() as http, listening(gateway) as port:
            built = House(gateway, up, journal, engine, grants, token, events, port, http, reached)
            built.install(ALLOW if policy is None else policy)
            try:
                yield built
            finally:
                await gateway.drain(0.2)
                await link.stop()
