"""Which era a stdio server speaks. A server of both eras locks the one of the first message: ours is `server/discover`.

Source: MCP 2026-07-28, transports/stdio, backward compatibility.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from mcpwatch.gateway.link import UpstreamError
from mcpwatch.gateway.stdio_link.answers import UNSUPPORTED_VERSION
from mcpwatch.gateway.stdio_link.codec import Said
from mcpwatch.gateway.stdio_link.own import MODERN_VERSION, Own
from mcpwatch.gateway.stdio_link.process import Child

SILENCE_MS = 5_000


@dataclass(frozen=True, slots=True)
class House:
    """The gateway's own process, era known. `versions` are the modern revisions it serves, () when it is legacy."""

    child: Child
    own: Own
    versions: tuple[str, ...]


async def open_house(start: Callable[[], Awaitable[Child]]) -> House:
    """Start a process and find out its era. Raises UpstreamError when it dies; never gives up waiting by itself."""
    child, own = await _opened(start)
    try:
        versions = await _discover(own)
    except UpstreamError as fault:
        await child.stop()
        if own.version or fault.remedy:
            raise
        return await _open_legacy(start)  # some servers end at any first message but `initialize`
    except BaseException:
        await child.stop()
        raise
    return House(child, own, versions)


async def _open_legacy(start: Callable[[], Awaitable[Child]]) -> House:
    child, own = await _opened(start)
    try:
        await _shake_hands(own.initialize(), own)
    except BaseException:
        await child.stop()
        raise
    return House(child, own, ())


async def _opened(start: Callable[[], Awaitable[Child]]) -> tuple[Child, Own]:
    child = await start()
    own = Own(child.write)
    child.on_line = own.on_line
    child.on_end = lambda: own.fail(child.fault(sent=True))
    return child, own


async def _discover(own: Own) -> tuple[str, ...]:
    """The modern versions; () when the server is of the handshake era, and then hands were shaken."""
    probe, handshake = own.ask("server/discover", version=MODERN_VERSION), None
    done, _ = await asyncio.wait({probe}, timeout=SILENCE_MS / 1000)
    if not done:  # it is slow to start, or ignores what comes before `initialize`: whichever it answers decides
        handshake = own.initialize()
        await asyncio.wait({probe, handshake}, return_when=asyncio.FIRST_COMPLETED)
        if not probe.done() and handshake.result().error_code is None:
            _settle_legacy(own, _part(handshake.result().obj, "result"))
            return ()
    versions = await _versions(own, await probe)
    if versions:
        own.version = versions[-1]
    else:
        await _shake_hands(handshake or own.initialize(), own)
    return versions


async def _versions(own: Own, said: Said) -> tuple[str, ...]:
    if said.error_code == UNSUPPORTED_VERSION:
        mutual = _modern(_part(_part(said.obj, "error"), "data").get("supported"))
        if mutual:
            said = await own.ask("server/discover", version=mutual[-1])
    return _modern(_part(said.obj, "result").get("supportedVersions"))


async def _shake_hands(handshake: asyncio.Future[Said], own: Own) -> None:
    said = await handshake
    result = _part(said.obj, "result")
    if not result:
        raise UpstreamError(f"the server refused initialize: {str(said.obj.get('error'))[:200]}")
    _settle_legacy(own, result)


def _settle_legacy(own: Own, result: dict[str, Any]) -> None:
    own.version = str(result.get("protocolVersion", ""))
    own.tell("notifications/initialized")


def _modern(versions: object) -> tuple[str, ...]:
    listed = cast("list[object]", versions) if isinstance(versions, list) else []
    return tuple(sorted(v for v in listed if isinstance(v, str) and v[:1].isdigit() and v >= MODERN_VERSION))


def _part(holder: dict[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
