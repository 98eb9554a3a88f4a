"""The operator's API beside the gateway: HTTP and NDJSON on a Unix socket that only its owner can open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from mcpwatch.control.feed import Feed, Subscription, line
from mcpwatch.control.operations import Changed, HoldAnswer, Invalid, Object, Operations, problem_json
from mcpwatch.errors import AuditError, ConfigError
from mcpwatch.files import private_dir

MOST_BYTES = 8 * 1024 * 1024
_FRAME_S = 0.03
"""Events of one frame travel together: a console draws 15 times a second, a write each would cost callers."""
_SLICES = 9
"""Most writes of one frame after the first."""
_TICK_S = 1.0
_LAST_S = 1.0
_LOOK_S = 1.0
_COST_SHARE = 100

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlServer:
    """Serves `operations` and `feed` at `socket` between `start` and `stop`."""

    def __init__(self, operations: Operations, feed: Feed, socket: Path) -> None:
        self._ops = operations
        self._feed = feed
        self._socket = socket
        self._streams: set[asyncio.Task[Any]] = set()
        self._runner = web.AppRunner(
            self._application(), access_log=None, handle_signals=False, shutdown_timeout=_LAST_S
        )

    async def start(self) -> None:
        """Open the socket. The caller holds the instance's lock, so a file there is a leftover."""
        await self._runner.setup()
        await web.SockSite(self._runner, _listening(self._socket)).start()

    async def stop(self) -> None:
        for task in self._streams:
            task.cancel()
        await self._runner.cleanup()
        self._socket.unlink(missing_ok=True)

    async def tick(self) -> None:
        """Tell consoles the counters once a second when they changed, until cancelled."""
        last: object = None
        cost = 0.0
        while True:
            # Very many counters take long to look at: callers are not to feel it.
            await asyncio.sleep(max(_TICK_S, cost * _COST_SHARE))
            if not len(self._feed):
                last = None
                continue
            began = time.perf_counter()
            await self._ops.refresh()
            now = list(self._ops.counters())
            cost = time.perf_counter() - began
            if now != last:
                last = now
                self._feed.publish({"type": "counters", "counters": now})

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[_faults_as_json])
        app.router.add_get("/status", self._status)
        app.router.add_get("/events", self._events)
        app.router.add_get("/connect", self._connect)
        app.router.add_get("/policy/{upstream}", self._policy)
        app.router.add_put("/policy/{upstream}", self._save_policy)
        app.router.add_get("/policy/{upstream}/history", self._history)
        app.router.add_get("/audit/search", self._search)
        app.router.add_get("/audit/show/{seq}", self._show)
        app.router.add_post("/holds/{call_id}", self._hold)
        app.router.add_post("/freeze", self._freeze)
        app.router.add_post("/thaw", self._thaw)
        app.router.add_post("/stop", self._stop)
        return app

    async def _status(self, request: web.Request) -> web.Response:
        await self._ops.refresh()
        return web.json_response(self._ops.status())

    async def _connect(self, request: web.Request) -> web.Response:
        return web.json_response(self._ops.connect())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        subscription = self._feed.subscribe()
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            await self._ops.refresh()
            await response.write(line({"type": "hello", **await self._ops.hello()}))
            await _pump(subscription, response, request)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._streams.discard(task)
            self._feed.leave(subscription)
        return response

    async def _policy(self, request: web.Request) -> web.Response:
        return web.json_response(self._ops.policy(request.match_info["upstream"]))

    async def _save_policy(self, request: web.Request) -> web.Response:
        body = await _object(request)
        answer = await self._ops.save_policy(
            request.match_info["upstream"], _text(body, "text"), _text(body, "base_digest"), _text(body, "by")
        )
        if isinstance(answer, Changed):
            return web.json_response({"digest": answer.digest, "text": answer.text}, status=409)
        if isinstance(answer, Invalid):
            problems = [problem_json(problem) for problem in answer.problems]
            return web.json_response({"problems": problems}, status=422)
        return web.json_response({"digest": answer.digest})

    async def _history(self, request: web.Request) -> web.Response:
        return web.json_response(await self._ops.history(request.match_info["upstream"]))

    async def _search(self, request: web.Request) -> web.Response:
        query = request.query
        limit = max(1, min(_number(query, "limit", 200), 10_000))
        found = await self._ops.search(
            query.get("filter", ""), _number(query, "since_ms", 0), _number(query, "before_seq", 0), limit
        )
        return web.json_response(found)

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(await self._ops.show(_number(request.match_info, "seq", 0)))

    async def _hold(self, request: web.Request) -> web.Response:
        body = await _object(request)
        action = _text(body, "action")
        if action not in ("approve", "refuse"):
            raise ConfigError('"action" must be "approve" or "refuse"')
        answer = HoldAnswer(
            request.match_info["call_id"],
            action,
            _text(body, "reason"),
            body.get("remember") is True,
            _text(body, "by"),
        )
        return web.json_response(await self._ops.hold(answer))

    async def _freeze(self, request: web.Request) -> web.Response:
        return web.json_response(await self._set_freeze(request, True))

    async def _thaw(self, request: web.Request) -> web.Response:
        return web.json_response(await self._set_freeze(request, False))

    async def _set_freeze(self, request: web.Request, on: bool) -> Object:
        body = await _object(request)
        return await self._ops.freeze(_text(body, "grant"), _text(body, "tool"), on, _text(body, "by"))

    async def _stop(self, request: web.Request) -> web.Response:
        self._ops.stop()
        return web.json_response({"stopping": True})


def _listening(path: Path) -> socket.socket:
    """A bound Unix socket, 0600 from its first moment."""
    private_dir(path.parent)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as fault:
        listener.close()
        raise ConfigError(f"cannot open the control socket {path}: {fault.strerror}") from fault
    finally:
        os.umask(before)
    return listener


async def _pump(subscription: Subscription, response: web.StreamResponse, request: web.Request) -> None:
    while request.transport is not None:
        # Nothing is written while nothing happens, so that only a look now and then shows that a console has gone.
        with contextlib.suppress(TimeoutError):
            await response.write(await asyncio.wait_for(subscription.take(), _LOOK_S))
            for _ in range(_SLICES):
                if not len(subscription):
                    break
                await asyncio.sleep(0)
                await response.write(await subscription.take())
            await asyncio.sleep(_FRAME_S)


@web.middleware
async def _faults_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ConfigError as fault:
        return web.json_response({"error": fault.message, "remedy": fault.remedy}, status=400)
    except AuditError as fault:
        return web.json_response({"error": f"the audit cannot be read: {fault}", "remedy": ""}, status=503)


async def _object(request: web.Request) -> Object:
    text = await request.text()
    try:
        body: object = json.loads(text) if text else {}
    except ValueError as fault:
        raise ConfigError(f"the body is not JSON: {fault}") from fault
    if not isinstance(body, dict):
        raise ConfigError("the body must be a JSON object")
    return cast("Object", body)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name) or ""
    if not isinstance(value, str):
        raise ConfigError(f'"{name}" must be text')
    return value


def _number(values: Mapping[str, str], name: str, fallback: int) -> int:
    try:
        return int(values.get(name) or fallback)
    except ValueError as fault:
        raise ConfigError(f'"{name}" must be a whole number') from fault
