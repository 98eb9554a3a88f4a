"""Starts a stdio server and greets it. For the doctor only: nothing is forwarded here.

The process gets its own group and only the environment of its spec; the group is ended whatever happens.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from mcpwatch.upstreams.handshake import Greeting, Message, ProbeFailed, Refused, greet, parsed
from mcpwatch.upstreams.spec import UpstreamSpec

_LINE_BYTES = 16 * 1024 * 1024
_KEPT_LINES = 200


@dataclass(slots=True)
class _Process:
    """A server on pipes. Lines on its stdout that are not the awaited answer are passed over, as clients do."""

    process: asyncio.subprocess.Process
    stderr: collections.deque[str] = field(default_factory=lambda: collections.deque[str](maxlen=_KEPT_LINES))

    async def ask(self, message: Message) -> Message:
        await self.tell(message)
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            answer = parsed(line)
            if answer.get("id") == message["id"] and "method" not in answer:
                return answer
        raise EOFError

    async def tell(self, message: Message) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        await self.process.stdin.drain()

    async def read_stderr(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.stderr.append(line.decode(errors="replace").rstrip())


async def probe_stdio(spec: UpstreamSpec, *, version: str, timeout_s: float) -> Greeting:
    """Greet the server that `spec` starts within `timeout_s` seconds, and end it. Raises ProbeFailed."""
    async with _running(spec) as server:
        try:
            async with asyncio.timeout(timeout_s):
                return await greet(server.ask, server.tell, version)
        except TimeoutError:
            raise ProbeFailed(f"It did not answer within {timeout_s:.0f} s", tuple(server.stderr)) from None
        except Refused as error:
            raise ProbeFailed(str(error), tuple(server.stderr)) from None
        except (EOFError, ConnectionError, ValueError):
            code = await _last_words(server)
            raise ProbeFailed("It ended before it answered", tuple(server.stderr), code) from None


@contextlib.asynccontextmanager
async def _running(spec: UpstreamSpec) -> AsyncGenerator[_Process]:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *spec.command,
            env=spec.env,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=_LINE_BYTES,
            start_new_session=True,
        )
    except OSError as error:
        raise ProbeFailed(_cannot_run(spec, error)) from None
    server = _Process(process)
    reader = asyncio.create_task(server.read_stderr())
    try:
        yield server
    finally:
        await _stop(process)
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError, ValueError):
            await reader


def _cannot_run(spec: UpstreamSpec, error: OSError) -> str:
    """ENOENT for a file that is there means that its interpreter is not (`execve(2)`)."""
    program = spec.command[0]
    if isinstance(error, FileNotFoundError) and os.path.exists(program):
        return f"bad interpreter: the program that {program} names in its first line is gone"
    return f"{program}: {error.strerror or error}"


async def _last_words(server: _Process) -> int | None:
    """Its exit code, once what it wrote before the end has been read; None when it goes on without stdout."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(server.process.wait(), 2.0)
    return None


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    for number, patience_s in ((None, 2.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
        if number is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience_s)
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
