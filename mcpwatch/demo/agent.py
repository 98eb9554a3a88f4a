"""One agent of the demo: a real MCP client over Streamable HTTP that comes back after the gateway was away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import httpx2
import mcp_types as types
from mcp import Client, ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client

from mcpwatch.demo.roster import Role

Json = dict[str, Any]

_FAULTS_IN_A_ROW = 3
_LONGEST_WAIT_S = 10.0


class Caller(Protocol):
    """The part of an SDK client that an agent uses."""

    async def call_tool(self, name: str, arguments: Json | None = None) -> object: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the texts, whether it was an error, and what the gateway says about its decision."""

    texts: tuple[str, ...]
    error: bool
    decision: Json

    @property
    def retry_after_s(self) -> float:
        """How long the gateway asks to wait, 0 when it does not."""
        return float(self.decision.get("retry_after_s") or 0)

    def items(self) -> list[Json]:
        """The objects of a list answer, [] when there are none."""
        with contextlib.suppress(ValueError, IndexError):
            data: object = json.loads(self.texts[1])
            if isinstance(data, dict):
                return cast("Json", data).get("items", [])
        return []


@dataclass(slots=True)
class Agent:
    """What a script has in hand. `pace` divides every pause: 2 is twice as fast."""

    role: Role
    caller: Caller
    random: random.Random
    pace: float = 1.0
    faults: int = field(default=0)

    async def call(self, tool: str, **arguments: Any) -> Reply:
        """Call a tool. A refusal is a reply; a protocol error is one too, until there are too many in a row."""
        try:
            result = await self.caller.call_tool(tool, arguments)
        except MCPError as error:
            self.faults += 1
            if self.faults >= _FAULTS_IN_A_ROW:
                raise
            return Reply((str(error),), True, {})
        self.faults = 0
        return _reply(result)

    async def think(self, shortest_s: float, longest_s: float) -> None:
        """Pause for a while between two numbers of seconds."""
        await asyncio.sleep(self.random.uniform(shortest_s, longest_s) / self.pace)

    async def wait(self, seconds: float) -> None:
        """Pause exactly: what a refusal asked for is not divided by the pace."""
        await asyncio.sleep(seconds)


Script = Callable[[Agent], Awaitable[None]]


async def live(role: Role, script: Script, url: str, token: str, *, seed: int, pace: float) -> None:
    """Run `script` again and again until cancelled; connect anew, ever more slowly, while the gateway is away."""
    chance = random.Random(f"{seed}/{role.grant}")  # noqa: S311 (pauses of pretended agents)
    wait_s = 0.5
    while True:
        try:
            async with _connected(role, url, token) as caller:
                agent = Agent(role, caller, chance, pace)
                wait_s = 0.5
                while True:
                    await script(agent)
        except Exception:
            # Whatever it was, an agent of a demo tries again: the operator sees it come back.
            await asyncio.sleep(wait_s * chance.uniform(0.8, 1.2))
            wait_s = min(_LONGEST_WAIT_S, wait_s * 2)


@contextlib.asynccontextmanager
async def _connected(role: Role, url: str, token: str) -> AsyncGenerator[Caller]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    info = types.Implementation(name=role.client, version=role.version)
    timeout = httpx2.Timeout(30.0, read=300.0)
    async with httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as web:
        transport = streamable_http_client(url, http_client=web)
        if role.era == "modern":
            async with Client(transport, client_info=info) as client:
                yield client
            return
        async with transport as (read, write), ClientSession(read, write, client_info=info) as session:
            await _handshake(session, role.era, info)
            yield session


async def _handshake(session: ClientSession, version: str, info: types.Implementation) -> None:
    """`ClientSession.initialize` always proposes the newest legacy revision; this proposes an older one."""
    params = types.InitializeRequestParams(
        protocol_version=version, capabilities=types.ClientCapabilities(), client_info=info
    )
    session.adopt(await session.send_request(types.InitializeRequest(params=params), types.InitializeResult))
    await session.send_notification(types.InitializedNotification())


def _reply(result: object) -> Reply:
    if not isinstance(result, types.CallToolResult):
        return Reply((), False, {})
    texts = tuple(block.text for block in result.content if isinstance(block, types.TextContent))
    meta: Json = dict(result.meta or {})
    return Reply(texts, bool(result.is_error), meta.get("mcpwatch/decision", {}))
