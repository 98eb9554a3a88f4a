"""One supervised child process that speaks lines: its pipes, its stderr, its end. Nothing here knows MCP.

Source of the stop sequence: MCP 2026-07-28, transports/stdio, shutdown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from mcpwatch.gateway.lines import LineSplitter, StderrTail
from mcpwatch.gateway.link import UpstreamError
from mcpwatch.gateway.stdio_link.keeper import Keeper
from mcpwatch.gateway.stdio_link.remedies import remedy_for

STOP_GRACE_MS = 5_000
TERM_GRACE_MS = 2_000
DRAIN_MS = 200
UNREAD_LIMIT_BYTES = 32 * 1024 * 1024
MANY_LINES = 1_000
BREATH_MS = 50
"""How long nothing is read of a child that printed `MANY_LINES` in one piece, so that others come to their turn."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. `env` is the whole environment of the child, nothing is added to it.

    `remedy` tells from the last lines of stderr what the operator can do, "" when nothing is known.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: str | None = None
    remedy: Callable[[Sequence[str]], str] = remedy_for


class Child(asyncio.SubprocessProtocol):
    """A running child in its own process group.

    `on_line` gets every line of stdout, `on_end` is called once when the child ended or closed its stdout.
    """

    def __init__(self, command: Command, keeper: Keeper) -> None:
        self.on_line: Callable[[bytes], None] = _ignore
        self.on_end: Callable[[], None] = _nothing
        self.pid = 0
        self.ended = False
        self._command = command
        self._keeper = keeper
        self._splitter = LineSplitter(lambda line: self.on_line(line))
        self._stderr = StderrTail()
        self._transport: asyncio.SubprocessTransport | None = None
        self._exited = asyncio.Event()
        self._closed = asyncio.Event()
        self._paused = False
        self._talking = {1, 2}
        self._stop: asyncio.Task[None] | None = None

    @staticmethod
    async def start(command: Command, keeper: Keeper) -> Child:
        """Start `command`. Raises UpstreamError when the program cannot be run; cancelled, it leaves no child."""
        starting = asyncio.create_task(Child._start(command, keeper))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(UpstreamError):
                await (await starting).begin_stop(grace_ms=0)
            raise

    @staticmethod
    async def _start(command: Command, keeper: Keeper) -> Child:
        loop = asyncio.get_running_loop()
        try:
            _, child = await loop.subprocess_exec(
                lambda: Child(command, keeper),
                _program(command),
                *command.argv[1:],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=dict(command.env),
                cwd=command.cwd,
                start_new_session=True,
            )
        except OSError as fault:
            raise _not_started(command, fault) from fault
        return child

    @property
    def oversize(self) -> int:
        """How many lines were longer than 16 MiB and were left out."""
        return self._splitter.oversize

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        return self._transport.get_returncode() if self._transport else None

    def write(self, line: bytes) -> None:
        """Send one line (without its end). Raises UpstreamError, `sent` False, when nobody can read it any more."""
        stdin = self._pipe(0)
        if self.ended or stdin is None:
            raise self.fault(sent=False)
        if stdin.get_write_buffer_size() > UNREAD_LIMIT_BYTES:
            raise UpstreamError("the server does not read its input", "Restart the server.")
        stdin.write(line + b"\n")

    def pause(self) -> None:
        """Stop reading stdout: the child waits when its pipe is full."""
        if not self._paused and (stdout := self._stdout()):
            self._paused = True
            stdout.pause_reading()

    def resume(self) -> None:
        if self._paused and (stdout := self._stdout()):
            stdout.resume_reading()
        self._paused = False

    def fault(self, *, sent: bool) -> UpstreamError:
        """Why it ended, as the operator should read it."""
        line = self._stderr.fault()
        how = _ending(self.code)
        error = f"{line} ({how})" if line else f"the server {how}"
        return UpstreamError(error, self._command.remedy(self._stderr.lines()[-20:]), sent=sent)

    def last_words(self) -> str:
        """The last line of stderr that says something, or ""."""
        return self._stderr.fault()

    def stderr_lines(self) -> list[str]:
        return self._stderr.lines()

    async def stop(self) -> None:
        """Close stdin, 5 s, SIGTERM to the group, 2 s, SIGKILL. Returns when the child is reaped."""
        await asyncio.shield(self.begin_stop())

    def begin_stop(self, grace_ms: int | None = None) -> asyncio.Task[None]:
        """The same without waiting; `grace_ms` instead of the 5 s. The first call decides."""
        if self._stop is None:
            self._stop = asyncio.create_task(self._stop_now(STOP_GRACE_MS if grace_ms is None else grace_ms))
        return self._stop

    async def _stop_now(self, grace_ms: int) -> None:
        self.ended = True
        if stdin := self._pipe(0):
            stdin.close()
        self.resume()
        if not await self._gone_within(grace_ms):
            self._signal(signal.SIGTERM)
            if not await self._gone_within(TERM_GRACE_MS):
                self._signal(signal.SIGKILL)
                await self._exited.wait()
        if self._transport:
            self._transport.close()
        await self._closed.wait()

    async def _gone_within(self, ms: int) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._exited.wait(), ms / 1000)
        return self._exited.is_set()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._transport.get_pid()
        self._keeper.watch(self.pid)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            if self._splitter.feed(data) > MANY_LINES:
                self.pause()
                asyncio.get_running_loop().call_later(BREATH_MS / 1000, self.resume)
        else:
            self._stderr.feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._talking.discard(fd)
        if fd == 1:
            asyncio.get_running_loop().call_later(DRAIN_MS / 1000, self._end)
        self._end_when_silent()

    def process_exited(self) -> None:
        self._signal(signal.SIGKILL)
        self._keeper.forget(self.pid)
        self._exited.set()
        self.resume()
        asyncio.get_running_loop().call_later(DRAIN_MS / 1000, self._end)
        self._end_when_silent()

    def _end_when_silent(self) -> None:
        if self._exited.is_set() and not self._talking:
            asyncio.get_running_loop().call_soon(self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()

    def _end(self) -> None:
        """The last words had their time to arrive: nothing more is expected of this child."""
        if self._exited.is_set() and self._transport is not None:
            self._transport.close()
        if not self.ended:
            self.ended = True
            self.on_end()

    def _pipe(self, fd: int) -> asyncio.WriteTransport | None:
        return cast("asyncio.WriteTransport | None", self._open_pipe(fd))

    def _stdout(self) -> asyncio.ReadTransport | None:
        return cast("asyncio.ReadTransport | None", self._open_pipe(1))

    def _open_pipe(self, fd: int) -> asyncio.BaseTransport | None:
        """uvloop's transports are no subclasses of asyncio's: what they are is known from `fd` alone."""
        pipe = self._transport.get_pipe_transport(fd) if self._transport else None
        return None if pipe is None or pipe.is_closing() else pipe


def _program(command: Command) -> str:
    name = command.argv[0]
    found = name if "/" in name else shutil.which(name, path=command.env.get("PATH", os.defpath))
    if found is None:
        raise FileNotFoundError(2, "no such program on PATH", name)
    return found


def _not_started(command: Command, fault: OSError) -> UpstreamError:
    name = command.argv[0]
    if command.cwd is not None and not os.path.isdir(command.cwd):
        return UpstreamError(f"{command.cwd}: no such folder", "Give a working directory that exists.")
    if isinstance(fault, FileNotFoundError):
        return UpstreamError(f"{name}: no such program", "Install it, or give the whole path of the program.")
    return UpstreamError(f"{name}: {fault.strerror or fault}", "Give a program that this user may run.")


def _ending(code: int | None) -> str:
    if code is None:
        return "closed its output"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _ignore(line: bytes) -> None:
    """What a child says that nobody asked."""


def _nothing() -> None:
    """Nobody waits for this child."""
