"""An upstream that is a program on this machine: started, kept alive, shared between callers, stopped.

Legacy clients get a process each (`pool`), modern ones share one (`shared`). The gateway has a
process of its own, which in the modern era is the shared one: it finds out the era and lists the tools.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcpwatch.gateway.link import Answer, Request, UpstreamError
from mcpwatch.gateway.stdio_link import answers, inbound
from mcpwatch.gateway.stdio_link.keeper import Keeper
from mcpwatch.gateway.stdio_link.mirrored import Mirror, contradiction, mirrors_of
from mcpwatch.gateway.stdio_link.pool import Pool, PoolLimits
from mcpwatch.gateway.stdio_link.probe import House, open_house
from mcpwatch.gateway.stdio_link.process import Child, Command
from mcpwatch.gateway.stdio_link.remedies import remedy_for
from mcpwatch.gateway.stdio_link.shared import Shared
from mcpwatch.gateway.wire import HEADER_MISMATCH, METHOD_NOT_FOUND, Message
from mcpwatch.policy.values import Json

START_TIMEOUT_MS = 60_000
WAIT_FOR_RESTART_MS = 10_000
_RESTART_MS = (200, 1_000, 2_000, 5_000, 15_000, 30_000)
_PROVEN_MS = 10_000


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _tell_nobody(state: str, error: str, remedy: str) -> None:
    """Nobody watches this upstream."""


def _do_nothing() -> None:
    """Nobody keeps a list of the tools."""


class StdioLink:
    """`env` is the whole environment of the processes. `on_change` is told state, error, remedy (see UpstreamChanged).

    `now_ms` measures how long sessions are idle and must not go backwards. `remedy` reads the last lines of stderr.
    `on_tools_changed` is called when the server says that its tools are others now: ask `tools` again.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: str | None = None,
        on_change: Callable[[str, str, str], None] = _tell_nobody,
        now_ms: Callable[[], int] = _monotonic_ms,
        limits: PoolLimits | None = None,
        remedy: Callable[[Sequence[str]], str] = remedy_for,
        on_tools_changed: Callable[[], None] = _do_nothing,
    ) -> None:
        self.name = name
        self._command = Command(tuple(command), dict(env), cwd, remedy)
        self._tell = on_change
        self._tools_changed = on_tools_changed
        self._now_ms = now_ms
        self._limits = limits or PoolLimits()
        self._keeper = Keeper()
        self._pool = self._new_pool()
        self._house: House | None = None
        self._shared: Shared | None = None
        self._versions: tuple[str, ...] = ()
        self._mirrors: dict[str, tuple[Mirror, ...]] = {}
        self._ready = asyncio.Event()
        self._fault = UpstreamError("the server is not started")
        self._faults = 0
        self._ready_since_ms = 0
        self._restart: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the server and find out what it speaks. Raises UpstreamError when it dies or says nothing for 60 s."""
        self._tell("starting", "", "")
        try:
            await self._open()
        except UpstreamError as fault:
            self._keeper.close()
            self._tell("failed", fault.error, fault.remedy)
            raise
        self._tell("ready", "", "")
        self._pool = self._new_pool()
        self._pool.run()

    async def send(self, request: Request) -> Answer:
        """Raises UpstreamError, also from the events of the answer, when the process cannot be reached or dies."""
        if refusal := self._no_such_method(request):
            return refusal
        if not request.modern:
            return await self._pool.handle(request)
        if self._house is not None and not self._versions:
            return inbound.legacy_only(request.message, answers.header(request, b"mcp-protocol-version"))
        if request.verb != "POST":
            return answers.not_allowed(b"POST")
        return await self._send_modern(request)

    async def tools(self) -> list[dict[str, Json]]:
        """The whole tool list, asked on the gateway's own process. Raises UpstreamError."""
        await self._until_ready()
        if self._house is None:
            raise UpstreamError(self._fault.error, self._fault.remedy)
        tools = await self._house.own.tools()
        self._mirrors = {str(tool.get("name")): mirrors_of(tool.get("inputSchema")) for tool in tools}
        return tools

    async def stop(self) -> None:
        """End every process; whoever waits gets an error. Returns when all are reaped."""
        restart, self._restart = self._restart, None
        if restart is not None:
            restart.cancel()
            await asyncio.gather(restart, return_exceptions=True)
        house = self._house
        self._down(UpstreamError("the gateway stops", sent=True))
        await asyncio.gather(self._pool.stop(), *([house.child.stop()] if house else []))
        self._keeper.close()
        self._tell("stopped", "", "")

    def _no_such_method(self, request: Request) -> Answer | None:
        """`initialize` under a modern header: that era has no such method. Servers that speak no other era take it."""
        version = answers.header(request, b"mcp-protocol-version")
        message = request.message
        if message is None or message.method != "initialize" or version not in self._versions:
            return None
        return answers.refused(404, "Method not found", id=message.id, code=METHOD_NOT_FOUND)

    async def _send_modern(self, request: Request) -> Answer:
        message = request.message
        if message is None or message.kind == "response":
            return answers.refused(400, "The body must be one JSON-RPC request or notification")
        await self._until_ready()
        shared = self._shared
        if shared is None:
            raise UpstreamError(self._fault.error, self._fault.remedy)
        if message.kind == "notification":
            if message.method == "notifications/cancelled":
                shared.cancel(request.caller_key, message.params.get("requestId"))
            return inbound.check_notification(request, self._versions) or answers.empty(202)
        refusal = inbound.check(request, message, self._versions)
        if refusal is None and self._contradiction(request, message):
            await self.tools()  # a refusal counts only against the tool list of this moment
            if fault := self._contradiction(request, message):
                refusal = inbound.refusal(message, HEADER_MISMATCH, fault)
        return refusal or await shared.ask(request, message)

    def _contradiction(self, request: Request, message: Message) -> str:
        mirrors = self._mirrors.get(str(message.params.get("name")), ()) if message.method == "tools/call" else ()
        return contradiction(mirrors, message.params.get("arguments"), request.headers) if mirrors else ""

    async def _until_ready(self) -> None:
        """Wait for a first restart; when that failed too, say so at once."""
        if not self._ready.is_set() and self._restart is not None and self._faults <= 1:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_FOR_RESTART_MS / 1000):
                    await self._ready.wait()

    async def _open(self) -> None:
        starting: list[Child] = []

        async def start() -> Child:
            starting.append(await self._start_child())
            return starting[-1]

        try:
            async with asyncio.timeout(START_TIMEOUT_MS / 1000):
                house = await open_house(start)
        except TimeoutError:
            said = " ".join(child.last_words() for child in starting)
            error = f"the server did not answer within {START_TIMEOUT_MS // 1000} s"
            raise UpstreamError(f"{error}: {said}" if said else error) from None
        self._house, self._versions = house, house.versions
        self._shared = Shared(house) if house.versions else None
        house.child.on_end = self._on_death
        house.own.on_tools_changed = self._tools_changed
        if house.versions:
            with contextlib.suppress(UpstreamError):  # its end is told by `on_end`
                house.own.listen()
        self._ready_since_ms = _monotonic_ms()
        self._ready.set()

    def _start_child(self) -> Any:
        return Child.start(self._command, self._keeper)

    def _on_death(self) -> None:
        """The gateway's own process, and with it every modern request, is gone."""
        house = self._house
        if house is None:
            return
        fault = house.child.fault(sent=True)
        if _monotonic_ms() - self._ready_since_ms > _PROVEN_MS:
            self._faults = 0
        self._down(fault)
        self._tell("restarting", fault.error, fault.remedy)
        self._restart = asyncio.create_task(self._reopen(house))

    def _down(self, fault: UpstreamError) -> None:
        self._ready.clear()
        self._fault = UpstreamError(fault.error, fault.remedy)
        if self._shared is not None:
            self._shared.end(fault)
        elif self._house is not None:
            self._house.own.fail(fault)
        self._house = self._shared = None

    async def _reopen(self, dead: House) -> None:
        await dead.child.stop()
        while True:
            await asyncio.sleep(_RESTART_MS[min(self._faults, len(_RESTART_MS) - 1)] / 1000)
            self._faults += 1
            try:
                await self._open()
            except UpstreamError as fault:
                self._fault = fault
                self._tell("restarting", fault.error, fault.remedy)
                continue
            self._restart = None
            self._tell("ready", "", "")
            return

    def _on_session_death(self, fault: UpstreamError) -> None:
        """A client's process died; its client opens a new session, which gets the spare."""
        self._tell("restarting", fault.error, fault.remedy)
        if self._ready.is_set():
            self._tell("ready", "", "")

    def _new_pool(self) -> Pool:
        return Pool(self._start_child, self._on_session_death, self._limits, self._now_ms)
