"""The gateway as one ASGI application. `service.py` builds it and serves it with uvicorn:

    gateway = Gateway(config, links={"eks": link}, grants=grants, ports=ports)
    uvicorn.Config(gateway, http="httptools", loop="uvloop", lifespan="off", ws="none", server_header=False,
                   date_header=False, access_log=False, log_config=None, timeout_keep_alive=75, backlog=2048)

Links are started and stopped by the service. After every installed policy it calls `policy_changed(upstream)`; at stop
`await drain(5.0)` while the server still runs, so that every request gets its answer, then it stops the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from mcpwatch.gateway.freeze import Freeze
from mcpwatch.gateway.grants import Grants
from mcpwatch.gateway.holds import Holds
from mcpwatch.gateway.link import Link
from mcpwatch.gateway.ports import Ports
from mcpwatch.gateway.settings import GatewayConfig

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gateway:
    """Serves `/mcp/NAME` for each link, `/healthz` and `/metrics`.

    `holds.waiting()` lists held calls, `await holds.decide(call_id, approve=…, by=…, reason=…, remember=…)` answers one.
    `await freeze.set(scope, on=…, by=…)` with scope `*`, `grant:NAME` or `tool:NAME`; `freeze.scopes` lists what is frozen.
    """

    def __init__(
        self, config: GatewayConfig, *, links: Mapping[str, Link], grants: Grants, ports: Ports
    ) -> None: ...

    holds: Holds
    freeze: Freeze

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def policy_changed(self, upstream: str) -> None:
        """Judge held calls again and tell listening clients when what they may see has changed."""

    async def drain(self, seconds: float) -> None:
        """Take no new requests, let those in flight finish for `seconds`, then answer the rest with an error."""

    @property
    def in_flight(self) -> int:
        """Requests being answered now, streams that merely listen not counted."""
        ...
