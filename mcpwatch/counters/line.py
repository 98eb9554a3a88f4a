"""One connection to Redis that all calls share: what waits goes out together, and is answered or refused together.

Nothing is ever sent twice: Redis may have counted what it could not answer. While it fails every question is refused at
once, and it is tried again twice a second, so that calls pass again soon after it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as NotConnected

from mcpwatch.counters.script import (
    SHA,
    TEXT,
    Question,
    Reply,
    charges_of,
    probe_question,
    read_reply,
    refund_question,
)
from mcpwatch.errors import CountersError

WAIT_S: Final = 2.0
"""How long a question may wait for its answer, from the moment it was asked."""
ANSWER_S: Final = 0.2
"""What of that is left for the answer's way back: what is begun later does nothing."""
BATCH: Final = 128
HANG_UP_S: Final = 0.5
PROBE_S: Final = 0.5
QUIET_S: Final = 1.0
"""Without calls for this long, the connection is tried, so that the first call does not find it broken."""

_OF_ONE: Final = ("WRONGTYPE", "somebody else has written")
"""Words of faults that lie in the counters of one question; all others refuse every question."""


@dataclass(slots=True)
class _Waiting:
    question: Question
    until: float
    done: asyncio.Future[Reply]


class Line:
    """Between `start` and `stop`. `state` is `ok` or `failed`, `error` why; `on_state` is told when they change.

    `on_lost` is told when the data in Redis has begun anew since the last answer: what was counted is gone.
    `now_ms`: the clock that counts; None, as always outside tests, for that of Redis, which all gateways share.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        on_state: Callable[[str, str], None] = lambda state, error: None,
        on_lost: Callable[[], None] = lambda: None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self.state, self.error = "ok", ""
        self._redis: Any = redis
        self._on_state = on_state
        self._on_lost = on_lost
        self._now_ms = now_ms
        self._token = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._epoch = ""
        self._ahead_ms: float | None = None
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._heard_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Raises CountersError when Redis cannot be reached or does not answer as it should."""
        self._tasks.append(self._loop.create_task(self._run()))
        await self._post(probe_question())
        self._tasks.append(self._loop.create_task(self._probe()))

    async def stop(self) -> None:
        # The client can swallow a cancellation that meets an answer, so that the tasks also look for themselves.
        self._stopping = True
        self._wake.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._refuse("the gateway is stopping", ())
        await self._hang_up()

    async def ask(self, question: Question) -> Reply:
        """Raises CountersError when there is no answer within two seconds."""
        if self.state != "ok":
            raise CountersError(self.error)
        return await self._post(question)

    def post(self, question: Question) -> asyncio.Future[Reply]:
        """The same without waiting: the future has the reply, or CountersError."""
        done: asyncio.Future[Reply] = self._loop.create_future()
        if self.state != "ok":
            done.set_exception(CountersError(self.error))
        else:
            self._queue(question, done)
        return done

    async def _post(self, question: Question) -> Reply:
        done: asyncio.Future[Reply] = self._loop.create_future()
        self._queue(question, done)
        return await done

    def _queue(self, question: Question, done: asyncio.Future[Reply]) -> None:
        self._waiting.append(_Waiting(question, self._loop.time() + WAIT_S, done))
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                batch = [waiting for waiting in batch if not waiting.done.done()]
                if not batch:
                    continue
                try:
                    await self._flush(batch)
                except Exception as fault:
                    # A fault of whoever is told of states must leave nobody waiting, nor end this task.
                    self._refuse(_words(fault), batch)

    async def _flush(self, batch: Sequence[_Waiting]) -> None:
        try:
            async with asyncio.timeout_at(batch[0].until):
                answers = await self._exchange(batch)
        except asyncio.CancelledError:
            self._refuse("the gateway is stopping", batch)
            raise
        except Exception as fault:  # whatever it is, nobody may go on without an answer
            await self._fail(_words(fault), batch, refused=isinstance(fault, ResponseError | AuthenticationError))
            return
        self._heard_at = self._loop.time()
        faults = [self._deliver(waiting, answer) for waiting, answer in zip(batch, answers, strict=True)]
        general = next((text for text in faults if text), "")
        if general:
            await self._fail(general, ())
        else:
            self._tell("ok", "")

    async def _exchange(self, batch: Sequence[_Waiting]) -> list[object]:
        answers = await self._send(batch)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # A Redis that was restarted or took over has none of them run: they go again once it knows the script.
            await self._redis.script_load(TEXT)
            again = await self._send([batch[index] for index in unknown])
            for index, answer in zip(unknown, again, strict=True):
                answers[index] = answer
        return answers

    async def _send(self, batch: Sequence[_Waiting]) -> list[object]:
        pipeline = self._redis.pipeline(transaction=False)
        for waiting in batch:
            keys = waiting.question.keys
            pipeline.evalsha(SHA, len(keys), *keys, self._ask_of(waiting))
        return cast("list[object]", await pipeline.execute(raise_on_error=False))

    def _ask_of(self, waiting: _Waiting) -> str:
        # Never the same one: should this question find Redis emptied, its own mark shows that.
        told = waiting.question.ask | {"token": f"{self._token}-{next(self._numbers)}"}
        if self._now_ms is not None:
            told["now"] = self._now_ms()
        elif self._ahead_ms is not None:
            told["deadline"] = int((waiting.until - ANSWER_S) * 1000 + self._ahead_ms)
        return json.dumps(told)

    def _deliver(self, waiting: _Waiting, raw: object) -> str:
        """Give the answer to whoever waits; what is wrong with all answers, "" when nothing is."""
        if isinstance(raw, Exception):
            text = _words(raw)
            _end(waiting, CountersError(text, refused=True))
            return "" if any(words in text for words in _OF_ONE) else text
        try:
            reply = read_reply(waiting.question, raw)
        except (ValueError, TypeError):
            text = "it answered what no Redis with these counters would"
            _end(waiting, CountersError(text))
            return text
        self._heard(reply)
        if waiting.done.done():
            self._undo(waiting.question, reply)
        elif reply.late and self._loop.time() < waiting.until - ANSWER_S:
            # One of the clocks has jumped. It did nothing, and goes again by what the clocks say now.
            self._waiting.append(waiting)
        elif reply.late:
            _end(waiting, CountersError("it came to the question too late"))
        else:
            waiting.done.set_result(reply)
        return ""

    def _undo(self, question: Question, reply: Reply) -> None:
        """Whoever asked went away before the answer came, so nothing is forwarded."""
        if question.charging and reply.answer.fits:
            charges = charges_of(question.demands, reply.answer.now_ms)
            self.post(refund_question(question.upstream, charges)).add_done_callback(_seen)

    def _heard(self, reply: Reply) -> None:
        # At most how far the clock of Redis is ahead of ours, so that deadlines come too early rather than too late.
        self._ahead_ms = reply.answer.now_ms - self._loop.time() * 1000
        before, self._epoch = self._epoch, reply.epoch
        if before not in ("", reply.epoch):
            self._on_lost()

    async def _fail(self, text: str, batch: Sequence[_Waiting], *, refused: bool = False) -> None:
        self._tell("failed", text)
        self._refuse(text, batch, refused=refused)
        await self._hang_up()

    def _refuse(self, text: str, batch: Sequence[_Waiting], *, refused: bool = False) -> None:
        for waiting in (*batch, *self._waiting):
            _end(waiting, CountersError(text, refused=refused))
        self._waiting.clear()

    async def _hang_up(self) -> None:
        """An answer that comes after all must not be taken for that of another question."""
        with contextlib.suppress(Exception):
            # A peer that reads no more can make closing take for ever.
            async with asyncio.timeout(HANG_UP_S):
                await self._redis.connection_pool.disconnect()

    async def _probe(self) -> None:
        while not self._stopping:
            await asyncio.sleep(PROBE_S)
            if self.state != "ok" or self._loop.time() - self._heard_at > QUIET_S:
                with contextlib.suppress(CountersError):
                    await self._post(probe_question())

    def _tell(self, state: str, error: str) -> None:
        if (state, error) != (self.state, self.error):
            self.state, self.error = state, error
            self._on_state(state, error)


def _end(waiting: _Waiting, fault: CountersError) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(fault)


def _seen(done: asyncio.Future[Reply]) -> None:
    if not done.cancelled():
        done.exception()


def _words(fault: BaseException) -> str:
    if isinstance(fault, TimeoutError):
        return f"it did not answer within {WAIT_S:g} s"
    if isinstance(fault, ResponseError | NotConnected | OSError):
        return str(fault) or type(fault).__name__
    return f"{type(fault).__name__}: {fault}" if isinstance(fault, RedisError) else type(fault).__name__
