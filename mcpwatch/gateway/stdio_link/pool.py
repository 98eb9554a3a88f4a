"""The processes of legacy clients: one for each session, one untouched spare so that a client need not wait."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from mcpwatch.gateway.link import Answer, Request, UpstreamError
from mcpwatch.gateway.stdio_link import answers
from mcpwatch.gateway.stdio_link.process import Child
from mcpwatch.gateway.stdio_link.session import Session
from mcpwatch.gateway.wire import INTERNAL_ERROR, Message

ENDED = "the session was ended"
# A spare may be busy with its start, and nobody has told it anything that it could have to finish.
_SPARE_GRACE_MS = 100
_SPARE_RETRY_MS = (1_000, 2_000, 5_000, 15_000, 60_000)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`sessions` at most; one idle for `idle_ms` ends.

    At the limit the longest idle one makes room when it is so for `evict_ms`, or for `gone_ms` when its client listened
    and stopped: such a client has probably gone without a word.
    """

    sessions: int = 64
    idle_ms: int = 30 * 60 * 1000
    evict_ms: int = 10_000
    gone_ms: int = 1_000


class Pool:
    """`start` makes a process, `on_death` is told when a session's process died by itself."""

    def __init__(
        self,
        start: Callable[[], Awaitable[Child]],
        on_death: Callable[[UpstreamError], None],
        limits: PoolLimits,
        now_ms: Callable[[], int],
    ) -> None:
        self._start = start
        self._on_death = on_death
        self._limits = limits
        self._now_ms = now_ms
        self._sessions: dict[str, Session] = {}
        self._opening = 0
        self._leaving: set[Child] = set()
        self._spare: Child | None = None
        self._spare_faults = 0
        self._refilling = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = True

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def run(self) -> None:
        """Begin: a spare, and an eye on idle sessions."""
        self._stopped = False
        self._do(self._refill())
        self._do(self._reap())

    async def handle(self, request: Request) -> Answer:
        """Raises UpstreamError when the process of the session cannot be started or dies."""
        if self._stopped:
            raise UpstreamError("the server is not running")
        message = request.message
        if not request.session:
            if request.verb == "POST" and message is not None and message.method == "initialize":
                return await self._open(request, message)
            return answers.refused(400, "Bad Request: Missing session ID", id=message.id if message else None)
        session = self._sessions.get(request.session)
        if session is None:
            return answers.refused(404, "Session not found", id=message.id if message else None)
        if request.verb == "DELETE":
            self._end(session, UpstreamError(ENDED, sent=True))
            return answers.empty(200)
        return await session.handle(request)

    async def stop(self) -> None:
        """End all sessions; returns when every process is reaped."""
        self._stopped = True
        for session in list(self._sessions.values()):
            self._end(session, UpstreamError("the gateway stops", sent=True))
        if self._spare is not None:
            self._leave(self._spare, grace_ms=_SPARE_GRACE_MS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in list(self._leaving)))

    async def _open(self, request: Request, message: Message) -> Answer:
        if len(self._sessions) + self._opening >= self._limits.sessions and not self._evict():
            return answers.refused(503, "Too many open sessions", id=message.id, code=INTERNAL_ERROR)
        session = await self._new_session()
        try:
            answer = await session.handle(request)
        except BaseException:
            self._end(session, UpstreamError(ENDED))
            raise
        finally:
            self._do(self._refill())
        if answer.body is None or session.accepted:
            return answer
        self._end(session, UpstreamError(ENDED))
        return answers.whole(answer.body, status=answer.status)

    async def _new_session(self) -> Session:
        self._opening += 1
        try:
            child = await self._take()
        finally:
            self._opening -= 1
        session = Session(secrets.token_hex(16), child, self._now_ms)
        self._sessions[session.name] = session
        child.on_end = lambda: self._died(session)
        return session

    async def _take(self) -> Child:
        """The spare when it lives, else a new process."""
        spare, self._spare = self._spare, None
        if spare is not None and not spare.ended:
            self._spare_faults = 0
            return spare
        return await self._start()

    def _died(self, session: Session) -> None:
        fault = session.child.fault(sent=True)
        if self._end(session, fault):
            self._on_death(fault)

    def _end(self, session: Session, fault: UpstreamError) -> bool:
        if self._sessions.pop(session.name, None) is None:
            return False
        session.end(fault)
        self._leave(session.child)
        return True

    def _leave(self, child: Child, grace_ms: int | None = None) -> None:
        """Stop a process without making anybody wait for it."""
        self._leaving.add(child)
        child.begin_stop(grace_ms).add_done_callback(lambda _: self._leaving.discard(child))

    def _evict(self) -> bool:
        """Make room for one session. False when all are in use."""
        limits = self._limits
        free = [s for s in self._sessions.values() if s.idle_ms >= (limits.gone_ms if s.listened else limits.evict_ms)]
        oldest = max(free, key=lambda session: session.idle_ms, default=None)
        return oldest is not None and self._end(oldest, UpstreamError(ENDED))

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(min(30_000, max(10, self._limits.idle_ms // 4)) / 1000)
            for session in list(self._sessions.values()):
                if session.idle_ms >= self._limits.idle_ms:
                    self._end(session, UpstreamError(ENDED))

    async def _refill(self) -> None:
        if self._spare is not None or self._refilling or self._stopped:
            return
        self._refilling = True
        try:
            spare = await self._start()
        except UpstreamError:
            self._later()
            return
        finally:
            self._refilling = False
        self._spare = spare
        spare.on_end = lambda: self._spare_died(spare)

    def _spare_died(self, spare: Child) -> None:
        if self._spare is spare:
            self._spare = None
            self._leave(spare)
            self._later()

    def _later(self) -> None:
        delay_ms = _SPARE_RETRY_MS[min(self._spare_faults, len(_SPARE_RETRY_MS) - 1)]
        self._spare_faults += 1
        if not self._stopped:
            self._do(self._refill_after(delay_ms))

    async def _refill_after(self, delay_ms: int) -> None:
        await asyncio.sleep(delay_ms / 1000)
        await self._refill()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        """Run in the background until it ends or the pool stops."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
