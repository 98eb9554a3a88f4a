"""The demo's agents against the demo server over HTTP: real clients, real sockets, pauses a hundred times shorter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import pytest
import uvicorn
from mcp.server import Server, ServerRequestContext

from mcpwatch.demo.roster import AGENTS, ROLES
from mcpwatch.demo.scripts import SCRIPTS
from mcpwatch.demo.traffic import Orders, read_orders, run
from tests.demo.stage import server

_PATIENCE_S = 30.0


@dataclass(slots=True)
class Seen:
    """What a gateway would have seen: bearer, client name, revision, tool, arguments. `refuse` answers instead."""

    calls: list[tuple[str, str, str, str, dict[str, Any]]] = field(
        default_factory=list[tuple[str, str, str, str, dict[str, Any]]]
    )
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    refuse: Callable[[str], types.CallToolResult | None] = lambda _: None

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


def _watched(seen: Seen) -> Server[dict[str, object]]:
    inner = server()
    entry = inner.get_request_handler("tools/call")
    assert entry is not None
    answer: Callable[..., Awaitable[Any]] = entry.handler

    async def call(ctx: ServerRequestContext[dict[str, object]], params: types.CallToolRequestParams) -> Any:
        request: Any = ctx.request
        info = ctx.session.client_params.client_info if ctx.session.client_params else None
        bearer: str = request.headers.get("authorization", "")
        seen.calls.append(
            (bearer, info.name if info else "", str(ctx.protocol_version), params.name, params.arguments or {})
        )
        seen.changed.set()
        return seen.refuse(params.name) or await answer(ctx, params)

    inner.add_request_handler("tools/call", types.CallToolRequestParams, call)
    return inner


@contextlib.asynccontextmanager
async def _serving(seen: Seen, port: int = 0) -> AsyncGenerator[int]:
    listener = socket.create_server(("127.0.0.1", port))
    app = _watched(seen).streamable_http_app()
    web = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, lifespan="on"))
    task = asyncio.create_task(web.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        web.should_exit = True
        await task


@contextlib.asynccontextmanager
async def _traffic(port: int, *agents: str, pace: float = 100.0) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    tokens = {agent: f"token-of-{agent}" for agent in AGENTS}
    orders = Orders(f"http://127.0.0.1:{port}/mcp", tokens, pace, 0, agents or AGENTS)
    task = asyncio.create_task(run(orders, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def test_every_agent_calls_with_its_own_token_name_and_era() -> None:
    seen = Seen()
    async with _serving(seen) as port, _traffic(port):
        await seen.until(lambda: {c[0] for c in seen.calls} == {f"Bearer token-of-{agent}" for agent in AGENTS})
    spoken = {call[0].removeprefix("Bearer token-of-"): call[1:3] for call in seen.calls}
    for role in ROLES:
        version = "2026-07-28" if role.era == "modern" else role.era
        assert spoken[role.grant] == (role.client, version)


async def test_the_runaway_is_deaf_and_the_patient_one_waits() -> None:
    seen = Seen()
    meta = {"mcpwatch/decision": {"rule": "/tools/x/limits/y", "retry_after_s": 3600}}
    refusal = types.CallToolResult(
        content=[types.TextContent(type="text", text="[POLICY DENIED]")], is_error=True, _meta=meta
    )
    seen.refuse = lambda _: refusal
    async with _serving(seen) as port, _traffic(port, "runaway", "patient"):
        await seen.until(lambda: any(call[1] == "patient-agent" for call in seen.calls))
        before = len(seen.calls)
        await seen.until(lambda: len(seen.calls) >= before + 20)
    assert sum(call[1] == "patient-agent" for call in seen.calls) == 1
    assert {call[3] for call in seen.calls} == {"invoke_agent_runtime"}


async def test_the_agents_come_back_when_the_gateway_does() -> None:
    seen, later = Seen(), Seen()
    async with contextlib.AsyncExitStack() as stack:
        async with _serving(seen) as port:
            await stack.enter_async_context(_traffic(port, "copilot", "deploy"))
            await seen.until(lambda: {call[1] for call in seen.calls} == {"ops-copilot", "deploy-bot"})
        await stack.enter_async_context(_serving(later, port))
        await later.until(lambda: {call[1] for call in later.calls} == {"ops-copilot", "deploy-bot"})


@pytest.mark.parametrize("agent", ["probe", "escalation", "cleanup", "prototype", "dashboard", "triage"])
async def test_every_script_runs_to_its_end_and_begins_again(agent: str) -> None:
    seen = Seen()
    first: list[tuple[str, dict[str, Any]]] = []

    def twice() -> bool:
        first[:] = [call[3:] for call in seen.calls[:1]]
        return len(seen.calls) > 8 and sum(call[3] == first[0][0] for call in seen.calls) > 1

    async with _serving(seen) as port, _traffic(port, agent):
        await seen.until(twice)
    tried = {call[3] for call in seen.calls}
    wanted = {
        "probe": {"list_k8s_resources", "manage_k8s_resource"},
        "escalation": {"add_inline_policy", "get_policies_for_role", "manage_k8s_resource"},
        "cleanup": {"manage_k8s_resource", "list_k8s_resources"},
        "prototype": {"kubectl_get_pods", "get_pod_logs"},
        "dashboard": {"get_eks_insights", "list_k8s_resources"},
        "triage": {"list_k8s_resources"},
    }
    assert wanted[agent] <= tried


def test_every_agent_has_a_script() -> None:
    assert set(SCRIPTS) == set(AGENTS)


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"url": 5}', '{"url": "http://x", "agents": ["nobody"]}', "{"])
def test_orders_that_mean_nothing_are_refused(line: str) -> None:
    with pytest.raises(ValueError):
        read_orders(line)


def test_an_agent_without_a_token_uses_the_local_one() -> None:
    orders = read_orders('{"url": "http://x", "tokens": {"local": "l", "triage": "t"}}')
    assert (orders.token("triage"), orders.token("deploy"), orders.agents) == ("t", "l", list(AGENTS))
    assert Orders("http://x", {}).token("deploy") == ""


@pytest.mark.parametrize("end", ["stdin", "signal"])
async def test_the_program_ends_with_its_stdin_or_by_a_signal_and_prints_nothing(end: str) -> None:
    seen = Seen()
    pipe = asyncio.subprocess.PIPE
    async with _serving(seen) as port:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mcpwatch.demo.traffic", stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert program.stdin is not None
        orders: dict[str, Any] = {
            "url": f"http://127.0.0.1:{port}/mcp",
            "tokens": {},
            "pace": 50,
            "agents": ["copilot"],
        }
        program.stdin.write(json.dumps(orders).encode() + b"\n")
        await program.stdin.drain()
        await seen.until(lambda: len(seen.calls) > 3)
        if end == "stdin":
            program.stdin.close()
        else:
            program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await program.wait() == 0
    assert program.stdout is not None
    assert program.stderr is not None
    assert (await program.stdout.read(), await program.stderr.read()) == (b"", b"")
