"""The demo's agents: a child process with grants that live only as long as this gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping

from mcpwatch.service.log import log

_END_S = 3.0


class Traffic:
    """Scripted agents working through the gateway at `url`, one token each. The tokens go over stdin, never argv."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, url: str, tokens: Mapping[str, str]) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "mcpwatch.demo.traffic",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"url": url, "tokens": dict(tokens)}).encode() + b"\n")
        await self._process.stdin.drain()

    async def watch(self) -> None:
        """Say when the agents end by themselves."""
        if self._process is not None:
            code = await self._process.wait()
            log.warning("the demo's agents ended (exit code %d)", code)

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _environment() -> dict[str, str]:
    kept = ("HOME", "PATH", "LANG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    return {name: os.environ[name] for name in kept if name in os.environ}
