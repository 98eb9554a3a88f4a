"""The gateway as a client of its own: it asks a process what it is and what tools it has, never a client's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from mcpwatch import __version__
from mcpwatch.gateway.link import UpstreamError
from mcpwatch.gateway.stdio_link.codec import Said, read
from mcpwatch.gateway.wire import METHOD_NOT_FOUND, encode, encode_upstream
from mcpwatch.policy.values import Json

LEGACY_VERSION = "2025-11-25"
MODERN_VERSION = "2026-07-28"
ASK_TIMEOUT_MS = 60_000
PAGES_LIMIT = 1_000
LIST_BYTES = 32 * 1024 * 1024
TOOLS_CHANGED = "notifications/tools/list_changed"
_META = "io.modelcontextprotocol/"
_CLIENT: dict[str, Json] = {"name": "mcpwatch", "version": __version__}
# Everything a client can offer: servers hide tools from clients that lack what those tools need.
_CAPABILITIES: dict[str, Json] = {"roots": {}, "sampling": {}, "elicitation": {}}


class Own:
    """The gateway's own requests on one process. `version` is "" before the era is known.

    `on_tools_changed` is called when the server says that its tools are others now.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.version = ""
        self.on_tools_changed: Callable[[], None] = _nothing
        self._listening = 0
        self._write = write
        self._numbers = 0
        self._open: dict[int, asyncio.Future[Said]] = {}

    @property
    def modern(self) -> bool:
        return self.version >= MODERN_VERSION

    def next_number(self) -> int:
        """An id that nothing else on this process has."""
        self._numbers += 1
        return self._numbers

    def ask(self, method: str, params: dict[str, Json] | None = None, version: str = "") -> asyncio.Future[Said]:
        """Send a request; the future holds its answer, or UpstreamError when the process ends first."""
        number = self.next_number()
        body = dict(params or {})
        if (version or self.version) >= MODERN_VERSION:
            body["_meta"] = _envelope(version or self.version)
        self._write(encode({"jsonrpc": "2.0", "id": number, "method": method, "params": body}))
        answer: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        return answer

    def tell(self, method: str) -> None:
        self._write(encode({"jsonrpc": "2.0", "method": method}))

    def initialize(self) -> asyncio.Future[Said]:
        params: dict[str, Json] = {
            "protocolVersion": LEGACY_VERSION,
            "capabilities": _CAPABILITIES,
            "clientInfo": _CLIENT,
        }
        return self.ask("initialize", params)

    def on_line(self, line: bytes) -> None:
        """Takes what a process says that only the gateway talks to."""
        said = read(line)
        if said is None or self.take(said):
            return
        if said.kind == "request":
            self._answer(said)
        elif said.method == TOOLS_CHANGED:
            self.on_tools_changed()

    def listen(self) -> None:
        """Hear of changed tools in the modern era; a server that cannot say so refuses, and that is all."""
        wanted: dict[str, Json] = {"notifications": {"toolsListChanged": True}}
        self.ask("subscriptions/listen", wanted)
        self._listening = self._numbers

    def heard(self, said: Said, subscription: Json) -> bool:
        """True when a notification belongs to the gateway's own subscription."""
        if subscription != self._listening or not self._listening:
            return False
        if said.method == TOOLS_CHANGED:
            self.on_tools_changed()
        return True

    def take(self, said: Said) -> bool:
        """True when the message answers a request of the gateway's own."""
        answer = self._open.pop(said.id, None) if said.kind == "response" and isinstance(said.id, int) else None
        if answer is None:
            return False
        if not answer.done():
            answer.set_result(said)
        return True

    def fail(self, fault: UpstreamError) -> None:
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(fault)
                answer.exception()  # a question nobody waits for any more is no error
        self._open.clear()

    async def tools(self) -> list[dict[str, Json]]:
        """All pages of `tools/list`; [] when the server has no tools. Raises UpstreamError."""
        found: list[dict[str, Json]] = []
        cursors: set[str] = set()
        cursor: str | None = None
        size = 0
        while len(cursors) < PAGES_LIMIT:
            page = await self._page(cursor)
            size += len(encode_upstream(page))
            if size > LIST_BYTES:
                raise UpstreamError(f"the server lists more than {LIST_BYTES} bytes of tools")
            found += [cast("dict[str, Json]", tool) for tool in page.get("tools") or () if isinstance(tool, dict)]
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or cursor in cursors:
                break
            cursors.add(cursor)
        return found

    async def _page(self, cursor: str | None) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_MS / 1000):
                said = await self.ask("tools/list", {"cursor": cursor} if cursor else {})
        except TimeoutError:
            raise UpstreamError("the server did not answer tools/list") from None
        if said.error_code == METHOD_NOT_FOUND:
            return {}
        result = said.obj.get("result")
        if not isinstance(result, dict):
            raise UpstreamError(f"the server refused tools/list: {str(said.obj.get('error'))[:200]}")
        return cast("dict[str, Any]", result)

    def _answer(self, said: Said) -> None:
        reply: dict[str, Json] = {"jsonrpc": "2.0", "id": said.id}
        if said.method == "ping":
            reply["result"] = {}
        elif said.method == "roots/list":
            reply["result"] = {"roots": []}
        else:
            reply["error"] = {"code": METHOD_NOT_FOUND, "message": "The gateway only lists tools here"}
        self._write(encode(reply))


def _envelope(version: str) -> dict[str, Json]:
    return {
        _META + "protocolVersion": version,
        _META + "clientInfo": _CLIENT,
        _META + "clientCapabilities": _CAPABILITIES,
    }


def _nothing() -> None:
    """Nobody wants to know."""
