"""Clients that keep a stream open to hear of changes, and what each grant was last shown of an upstream's tools."""

from __future__ import annotations

from dataclasses import dataclass

from mcpwatch.gateway import sse
from mcpwatch.gateway.http_server.exchange import Exchange
from mcpwatch.gateway.wire import MessageId, encode
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Json

_CHANGED = "notifications/tools/list_changed"
_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
_NAMES = 10_000


@dataclass(slots=True, eq=False)
class Listener:
    """An open stream. `subscription` is the id of a `subscriptions/listen` request, None for a GET stream."""

    ex: Exchange
    upstream: str
    grant: str
    subscription: MessageId = None

    async def tell_list_changed(self) -> None:
        note: dict[str, Json] = {"jsonrpc": "2.0", "method": _CHANGED}
        if self.subscription is not None:
            note["params"] = {"_meta": {_SUBSCRIPTION: self.subscription}}
        await self.ex.write(sse.event(encode(note)))


class Listeners:
    """Open streams by upstream and grant."""

    def __init__(self) -> None:
        self._open: set[Listener] = set()
        self._shown: dict[tuple[str, str], dict[str, bool]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, listener: Listener) -> None:
        self._open.add(listener)

    def remove(self, listener: Listener) -> None:
        self._open.discard(listener)

    def shown(self, upstream: str, grant: str, name: str, visible: bool) -> None:
        """A tool list went to a grant, with or without this tool."""
        names = self._shown.setdefault((upstream, grant), {})
        if len(names) < _NAMES or name in names:
            names[name] = visible

    def affected(self, upstream: str, grant: str, engine: Engine) -> bool:
        """Whether the policy now in force shows the grant other tools than it saw; asked once per change."""
        names = self._shown.get((upstream, grant), {})
        now = {name: engine.visible(name) for name in names}
        if now == names:
            return False
        self._shown[upstream, grant] = now
        return True

    def of(self, upstream: str) -> dict[str, list[Listener]]:
        """The open streams of an upstream, by grant."""
        found: dict[str, list[Listener]] = {}
        for listener in self._open:
            if listener.upstream == upstream:
                found.setdefault(listener.grant, []).append(listener)
        return found
