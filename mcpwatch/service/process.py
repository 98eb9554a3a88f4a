"""One gateway from its first to its last moment: everything starts in order here, and ends in the reverse one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from mcpwatch.audit.journal import AuditLog
from mcpwatch.config import Address, GatewayOptions, remember
from mcpwatch.control.feed import Feed
from mcpwatch.control.server import ControlServer
from mcpwatch.demo.roster import AGENTS
from mcpwatch.events import AuditState
from mcpwatch.files import private_dir, tightened
from mcpwatch.gateway.app import Gateway
from mcpwatch.gateway.grants import Grants
from mcpwatch.gateway.ports import Ports
from mcpwatch.gateway.settings import GatewayConfig, Limits
from mcpwatch.lock import InstanceLock
from mcpwatch.policyfile import Reading
from mcpwatch.service import choose
from mcpwatch.service.desk import Desk
from mcpwatch.service.grantwatch import GrantWatch
from mcpwatch.service.links import link_to
from mcpwatch.service.listener import Listener
from mcpwatch.service.log import log
from mcpwatch.service.logins import Logins
from mcpwatch.service.policies import Policies
from mcpwatch.service.shared import MEMORY, SharedCounters
from mcpwatch.service.traffic import Traffic
from mcpwatch.service.upstreams import Upstreams
from mcpwatch.upstreams.logins.store import LoginStore
from mcpwatch.upstreams.spec import UpstreamSpec

DRAIN_S = 5.0
INVALID_POLICY = 3
_DAY_MS = 86_400_000
_AGAIN_S = 1.0
_GARBAGE = 20_000
"""Objects made until the youngest are looked through: a call makes some fifty that need no looking after."""

_FIRST_S = 3.0
"""How long `ready` waits for the tool lists, so that the first calls are judged knowing the schemas."""

_Helper = Callable[[], Awaitable[None]]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class GatewayProcess:
    """`run` returns the exit code after `stop` was called, or when the start failed for an invalid policy."""

    def __init__(self, options: GatewayOptions, address: Address, specs: Sequence[UpstreamSpec]) -> None:
        self._options = options
        self._address = address
        self._place = options.place
        self._feed = Feed()
        self._end = asyncio.Event()
        self._again = asyncio.Event()
        self._traffic = Traffic()
        self._upstreams = Upstreams(specs, self._feed.publish, now_ms)
        store = LoginStore(self._place.logins)
        self._logins = Logins(store, self._place.arguments(), self._upstreams.ask_again)
        self._grants = Grants(None)
        self._gateway: Gateway | None = None
        self._shared: SharedCounters | None = None

    def stop(self) -> None:
        self._end.set()

    def reload(self) -> None:
        self._again.set()

    async def run(self) -> int:
        """Raises ConfigError, UpstreamError or AuditError when it cannot start; everything begun is ended then."""
        async with contextlib.AsyncExitStack() as stack:
            self._lock(stack)
            grants = self._place.folder / "grants.json"
            self._grants = Grants(grants, open_door=self._options.open)
            listener = Listener(self._address, cert=self._options.tls_cert, key=self._options.tls_key)
            stack.push_async_callback(listener.stop)
            audit = await self._open_audit()
            stack.push_async_callback(audit.close)
            self._shared = await self._open_counters(stack)
            of = None if self._shared is None else self._shared.of
            policies = Policies(audit.note, self._feed.publish, self._policy_changed, now_ms, of)
            if not await self._load_policies(policies, audit):
                return INVALID_POLICY
            watcher = GrantWatch(self._grants, policies, self._grant_revoked)
            self._gateway = self._build_gateway(listener.port, policies, watcher, audit)
            stack.push_async_callback(self._logins.close)
            stack.push_async_callback(self._upstreams.stop)
            if not await self._start_upstreams():
                return 0
            await self._serve(stack, listener, policies, watcher, audit)
        log.info("stopped")
        return 0

    async def _serve(
        self,
        stack: contextlib.AsyncExitStack,
        listener: Listener,
        policies: Policies,
        watcher: GrantWatch,
        audit: AuditLog,
    ) -> None:
        endpoints = self._endpoints(listener.port)
        gateway = self._gateway
        assert gateway is not None
        desk = Desk(
            options=self._options,
            pid=os.getpid(),
            endpoints=endpoints,
            token=self._grants.ensure_local(),
            audit=audit,
            gateway=gateway,
            policies=policies,
            upstreams=self._upstreams,
            feed=self._feed,
            now_ms=now_ms,
            end=self.stop,
            traffic=lambda: self._traffic.running,
            shared=self._shared,
        )
        control = ControlServer(desk, self._feed, self._place.socket)
        await listener.start(gateway, keepalive_s=gateway.keepalive_s)
        stack.push_async_callback(listener.stop)
        await control.start()
        stack.push_async_callback(control.stop)
        stack.push_async_callback(gateway.drain, DRAIN_S)
        await self._start_traffic(stack, endpoints)
        remember(self._options)
        async with asyncio.TaskGroup() as group:
            helpers = self._helpers(gateway, policies, watcher, control)
            tasks = [group.create_task(_kept_going(name, helper)) for name, helper in helpers.items()]
            await self._upstreams.first_inventory(_FIRST_S)
            # What is there now stays: looking through it again and again would only delay calls.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_GARBAGE)
            self._say_ready(endpoints)
            await self._end.wait()
            log.info("stopping: calls in flight get up to %.0f s", DRAIN_S)
            for task in tasks:
                task.cancel()

    def _lock(self, stack: contextlib.AsyncExitStack) -> None:
        # The socket may stand elsewhere than the state, and must not be taken from another gateway either.
        for folder in dict.fromkeys((self._place.folder, self._place.socket.parent)):
            stack.enter_context(InstanceLock(private_dir(folder), self._place.instance))
            for path in tightened(folder):
                log.warning("other users could write %s until now: look whether it is as you left it", path)

    async def _open_audit(self) -> AuditLog:
        return await AuditLog.open(
            self._place.audit,
            instance=self._place.instance,
            durability="full" if self._options.durability == "full" else "normal",
            now_ms=now_ms,
            on_state=self._on_audit,
        )

    async def _open_counters(self, stack: contextlib.AsyncExitStack) -> SharedCounters | None:
        if self._options.counters == MEMORY:
            return None
        shared = SharedCounters(self._feed.publish, now_ms)
        stack.push_async_callback(shared.close)
        await shared.open(self._options)
        return shared

    async def _load_policies(self, policies: Policies, audit: AuditLog) -> bool:
        for name, chosen in choose.policies(self._options, list(self._upstreams.specs.values())).items():
            if chosen.written:
                log.warning("there was no policy for %s; wrote %s to %s", name, chosen.written, chosen.path)
            policies.add_upstream(name, chosen.path)
        bad = await policies.load()
        for reading in bad:
            _say_problems(reading)
        if not bad and self._shared is None:
            policies.restore(await audit.restore_charges(now_ms() - max(policies.longest_window_ms(), _DAY_MS)))
        return not bad

    def _build_gateway(self, port: int, policies: Policies, watcher: GrantWatch, audit: AuditLog) -> Gateway:
        options = self._options
        for spec in self._upstreams.specs.values():
            self._upstreams.links[spec.name] = link_to(spec, self._upstreams.told, self._logins.of(spec))
        config = GatewayConfig(
            instance=self._place.instance,
            state_dir=self._place.folder,
            hosts=(f"{self._address.host}:{port}",),
            any_host=not self._address.loopback,
            tls=bool(options.tls_cert),
            limits=Limits(call_timeout_ms=int(options.call_timeout * 1000)),
        )
        ports = Ports(
            engine_for=lambda upstream, grant: watcher.judge(upstream, grant).engine,
            journal=audit,
            publish=self._feed.publish,
            redact=lambda upstream, grant, args: watcher.judge(upstream, grant).redactor.args(args),
            now_ms=now_ms,
            tools_changed=self._upstreams.ask_again,
        )
        return Gateway(config, links=self._upstreams.links, grants=self._grants, ports=ports)

    async def _start_upstreams(self) -> bool:
        """False when the gateway was told to stop meanwhile."""
        start = asyncio.create_task(self._upstreams.start())
        end = asyncio.create_task(self._end.wait())
        await asyncio.wait((start, end), return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if start.done():
            start.result()
            return True
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        return False

    async def _start_traffic(self, stack: contextlib.AsyncExitStack, endpoints: Mapping[str, str]) -> None:
        if not self._options.traffic:
            return
        demo = [spec.name for spec in self._upstreams.specs.values() if spec.demo]
        tokens = {name: self._grants.add_ephemeral(name, upstreams=demo) for name in AGENTS}
        await self._traffic.start(endpoints[demo[0]], tokens)
        stack.push_async_callback(self._traffic.stop)

    def _helpers(
        self, gateway: Gateway, policies: Policies, watcher: GrantWatch, control: ControlServer
    ) -> dict[str, _Helper]:
        async def on_tools(name: str, tools: Sequence[dict[str, Any]]) -> None:
            log.info("upstream %s offers %d tools", name, len(tools))
            for remark in policies.set_tools(name, tools):
                log.warning("%s: %s", name, remark)

        async def reloads() -> None:
            while True:
                await self._again.wait()
                self._again.clear()
                await policies.reload()

        helpers: dict[str, _Helper] = {
            "policy watch": policies.follow,
            "grant watch": watcher.keep,
            "login watch": self._logins.follow,
            "freeze watch": gateway.freeze.follow,
            "counter tick": control.tick,
            "reload": reloads,
            "traffic": self._traffic.watch,
        }
        for name in self._upstreams.specs:
            helpers[f"inventory of {name}"] = lambda name=name: self._upstreams.keep_inventory(name, on_tools)
        return helpers

    def _endpoints(self, port: int) -> dict[str, str]:
        base = self._address.reachable().url(port, tls=bool(self._options.tls_cert))
        return {name: f"{base}/mcp/{name}" for name in self._upstreams.specs}

    def _say_ready(self, endpoints: Mapping[str, str]) -> None:
        ready = {
            "event": "ready",
            "instance": self._place.instance,
            "pid": os.getpid(),
            "endpoints": dict(endpoints),
            "control": str(self._place.socket),
        }
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()

    def _policy_changed(self, upstream: str) -> None:
        if self._gateway is not None:
            self._gateway.policy_changed(upstream)

    def _grant_revoked(self, label: str) -> None:
        if self._gateway is not None:
            self._gateway.grant_revoked(label)

    def _on_audit(self, state: AuditState) -> None:
        level = log.info if state.state == "ok" else log.error
        level("audit %s%s", state.state, f": {state.error}; every call is refused" if state.error else "")
        self._feed.publish(state)


def _say_problems(reading: Reading) -> None:
    """Every fault on a line of its own, as `policy check` writes them."""
    with contextlib.suppress(OSError, ValueError):
        for problem in reading.problems:
            place = f"{reading.path}:{problem.line}:{problem.column}"
            sys.stderr.write(f"{place}  {problem.pointer}  {problem.message}\n")


async def _kept_going(name: str, helper: _Helper) -> None:
    """Run a helper; a fault of it is told and it is begun again, because calls must go on being judged."""
    while True:
        try:
            await helper()
            return
        except Exception:
            log.exception("%s failed and is begun again", name)
        await asyncio.sleep(_AGAIN_S)
