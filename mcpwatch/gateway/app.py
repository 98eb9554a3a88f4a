"""The gateway as one application. `service` builds it and serves it:

    gateway = Gateway(config, links={"eks": link}, grants=grants, ports=ports)
    server = HttpServer(gateway, keepalive_s=gateway.keepalive_s)

Links are started and stopped by the service. After every installed policy it calls `policy_changed(upstream)`; at stop
`await drain(5.0)` while the server still runs, so that every request gets its answer, then it stops the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from mcpwatch.gateway.book import Book
from mcpwatch.gateway.core import Core
from mcpwatch.gateway.freeze import EVERYTHING, Freeze
from mcpwatch.gateway.front import Front
from mcpwatch.gateway.grants import Grants
from mcpwatch.gateway.holds import Hold, Holds, Ruling
from mcpwatch.gateway.http_server.exchange import Exchange
from mcpwatch.gateway.link import Link
from mcpwatch.gateway.listeners import Listener
from mcpwatch.gateway.metrics import Metrics
from mcpwatch.gateway.ports import Ports
from mcpwatch.gateway.replies import Denial
from mcpwatch.gateway.settings import GatewayConfig

_LAST_WORDS_S = 1.0


class Gateway:
    """Serves `/mcp/NAME` for each link, `/healthz` and `/metrics`.

    `holds.waiting()` lists held calls, `await holds.decide(call_id, approve=…, by=…, reason=…, remember=…)` decides it.
    `await freeze.set(scope, on=…, by=…)` takes `*`, `grant:NAME` or `tool:NAME`; `freeze.scopes` lists what is frozen.
    """

    def __init__(self, config: GatewayConfig, *, links: Mapping[str, Link], grants: Grants, ports: Ports) -> None:
        self.holds = Holds(ports, config.limits.holds)
        self.freeze = Freeze(config.state_dir, ports, self._frozen)
        self._core = Core(config, ports, links, self.freeze, self.holds, Metrics())
        self._front = Front(self._core, Book(self._core), grants)

    async def __call__(self, ex: Exchange) -> None:
        await self._front(ex)

    @property
    def keepalive_s(self) -> float:
        """After how long without an event a stream gets a comment."""
        return self._core.config.limits.keepalive_ms / 1000

    def unreadable(self, path: str) -> None:
        """For the listener: a request to `path` was refused because it is not HTTP (two lengths, length and chunks)."""
        self._core.background(self._front.unreadable(path))

    @property
    def in_flight(self) -> int:
        """Requests being answered now, streams that merely listen not counted."""
        return len(self._core.flights)

    def policy_changed(self, upstream: str) -> None:
        """Judge held calls again, the stricter policy wins, and tell listeners when what they may see has changed."""
        for hold in self._held(upstream):
            engine = self._core.ports.engine_for(upstream, hold.call.caller.grant)
            decision = engine.explain(hold.call, self._core.ports.now_ms())
            if decision.verdict == "deny":
                self.holds.end(hold, Ruling("policy", denial=Denial.of(decision)))
        for grant, listeners in self._core.listeners.of(upstream).items():
            if self._core.listeners.affected(upstream, grant, self._core.ports.engine_for(upstream, grant)):
                for listener in listeners:
                    self._core.background(_tell(listener))

    def grant_revoked(self, label: str) -> None:
        """Nothing further comes to the caller: streams that listen end, held calls are refused."""
        self._core.flights.end_listening(label)
        for hold in self._held():
            if hold.call.caller.grant == label:
                self.holds.end(hold, Ruling("refused", reason="the grant was revoked"))

    async def drain(self, seconds: float) -> None:
        """Take no new requests, let those in flight finish for `seconds`, then answer the rest with an error."""
        self._core.stopping = True
        self._core.flights.end_listening()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._core.flights.idle(), seconds)
        self._core.flights.end("stopping")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._core.flights.idle(), _LAST_WORDS_S)
        for task in list(self._core.tasks):
            task.cancel()
        await asyncio.gather(*self._core.tasks, return_exceptions=True)

    def _held(self, upstream: str | None = None) -> list[Hold]:
        return [h for h in self.holds.waiting() if upstream in (None, h.record.upstream)]

    def _frozen(self, scope: str, cancel: bool) -> None:
        kind, _, name = scope.partition(":")
        grant, tool = name if kind == "grant" else "", name if kind == "tool" else ""
        for hold in self._held():
            caller = hold.call.caller
            if scope == EVERYTHING or (kind == "grant" and caller.grant == name) or hold.call.tool == tool:
                denial = self.freeze.judge(caller.grant, hold.call.tool)
                self.holds.end(hold, Ruling("frozen", denial=denial))
        if cancel:
            self._core.flights.end("frozen", grant=grant, tool=tool)


async def _tell(listener: Listener) -> None:
    with suppress(OSError, RuntimeError):
        await listener.tell_list_changed()
