"""The servers behind the gateway: started together, watched, asked what they offer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mcpwatch.events import Event, ToolsChanged, UpstreamChanged
from mcpwatch.gateway.link import Link, UpstreamError
from mcpwatch.service.log import log
from mcpwatch.upstreams.spec import UpstreamSpec

START_S = 60.0
_ASK_S = 60.0
_AGAIN_S = (1.0, 5.0, 30.0)

OnTools = Callable[[str, Sequence[dict[str, Any]]], Awaitable[None]]


class Upstreams:
    """All links by name. `on_tools` is awaited with each new inventory; `publish` gets every change of state."""

    def __init__(
        self, specs: Sequence[UpstreamSpec], publish: Callable[[Event], None], now_ms: Callable[[], int]
    ) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.links: dict[str, Link] = {}
        self.tools: dict[str, tuple[dict[str, Any], ...]] = {}
        self.states: dict[str, UpstreamChanged] = {}
        self._publish = publish
        self._now_ms = now_ms
        self._ask = {spec.name: asyncio.Event() for spec in specs}
        self._listed = {spec.name: asyncio.Event() for spec in specs}

    def told(self, name: str, state: str, error: str = "", remedy: str = "") -> None:
        """An upstream changed its state."""
        before = self.states.get(name)
        event = UpstreamChanged(self._now_ms(), name, state, error, remedy)
        self.states[name] = event
        if before is not None and (before.state, before.error) == (state, error):
            return
        level = log.warning if state in ("failed", "restarting") else log.info
        level("upstream %s: %s%s%s", name, state, f": {error}" if error else "", f" ({remedy})" if remedy else "")
        self._publish(event)
        if state == "ready":
            self.ask_again(name)

    async def start(self) -> None:
        """Start all at once. Raises the first UpstreamError; the others are stopped by `stop`."""
        starts = [asyncio.create_task(self._start(name, link)) for name, link in self.links.items()]
        try:
            await asyncio.gather(*starts)
        finally:
            for task in starts:
                task.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    async def stop(self) -> None:
        """End every process and connection; none is left behind."""
        await asyncio.gather(*(link.stop() for link in self.links.values()), return_exceptions=True)

    def ask_again(self, name: str) -> None:
        """Have the inventory of one upstream read anew, soon."""
        if name in self._ask:
            self._ask[name].set()

    async def first_inventory(self, seconds: float) -> None:
        """Wait until every upstream has listed its tools, at most so long."""
        waits = [asyncio.create_task(listed.wait()) for listed in self._listed.values()]
        await asyncio.wait(waits, timeout=seconds)
        for wait in waits:
            wait.cancel()

    async def keep_inventory(self, name: str, on_tools: OnTools) -> None:
        """Read the tool list whenever asked to, until cancelled; an upstream that cannot answer now is asked later."""
        waits = iter(_AGAIN_S)
        while True:
            await self._ask[name].wait()
            self._ask[name].clear()
            try:
                tools = await asyncio.wait_for(self.links[name].tools(), _ASK_S)
            except (UpstreamError, TimeoutError) as fault:
                log.info("upstream %s did not list its tools: %s", name, fault)
                wait = next(waits, None)
                if wait is not None:
                    await asyncio.sleep(wait)
                    self._ask[name].set()
                continue
            waits = iter(_AGAIN_S)
            await self._take(name, tuple(tools), on_tools)

    async def _take(self, name: str, tools: tuple[dict[str, Any], ...], on_tools: OnTools) -> None:
        if self.tools.get(name) == tools:
            return
        self.tools[name] = tools
        await on_tools(name, tools)
        self._listed[name].set()
        self._publish(ToolsChanged(self._now_ms(), name, tools))

    async def _start(self, name: str, link: Link) -> None:
        self.told(name, "starting")
        try:
            await asyncio.wait_for(link.start(), START_S)
        except TimeoutError:
            fault = UpstreamError(f"did not answer within {START_S:.0f} s", f"Try: mcpwatch upstream doctor {name}")
            self.told(name, "failed", fault.error, fault.remedy)
            raise UpstreamError(f"upstream {name}: {fault.error}", fault.remedy) from None
        except UpstreamError as fault:
            self.told(name, "failed", fault.error, fault.remedy)
            raise UpstreamError(f"upstream {name}: {fault.error}", fault.remedy) from fault
        self.ask_again(name)
