"""The gateway as its users start it: the program, its ready line, its token, and its audit by the command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.real.emulators import base_env

_MCPWATCH = (sys.executable, "-P", "-m", "mcpwatch")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs. `place` are the options that name it to other commands."""

    url: str
    token: str
    place: tuple[str, ...]
    env: dict[str, str]

    def command(self, *words: str, code: int = 0) -> str:
        """The standard output of `mcpwatch WORDS` against this gateway, which must end with `code`."""
        done = subprocess.run(
            [*_MCPWATCH, *words, *self.place], env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    def audit(self) -> list[dict[str, Any]]:
        """Every recorded call, oldest first."""
        return [json.loads(line) for line in self.command("audit", "search", "--json").splitlines()]


@contextlib.contextmanager
def gateway(
    folder: Path, upstream: str, policy: Path, env: Mapping[str, str], arguments: Sequence[str] = ()
) -> Generator[Gateway]:
    """Run `mcpwatch serve` for one upstream until the block ends; `env` is the operator's environment."""
    place = ("--state-dir", str(folder / "state"))
    around = base_env() | {"XDG_CONFIG_HOME": str(folder / "config")} | dict(env)
    command = [*_MCPWATCH, "serve", "--upstream", upstream, "--policy", str(policy), "--listen", "127.0.0.1:0", *place]
    with (folder / "gateway.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*command, *(("--", *arguments) if arguments else ())],
            cwd=folder,
            env=around,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"exit code {process.wait(20)}: {(folder / 'gateway.log').read_text(encoding='utf-8')}"
        url = next(iter(json.loads(line)["endpoints"].values()))
        token = (folder / "state" / "local.token").read_text(encoding="utf-8").strip()
        yield Gateway(url, token, place, around)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.asynccontextmanager
async def client(of: Gateway, *, mode: str = "auto") -> AsyncGenerator[Client]:
    """An SDK client with the token of the gateway."""
    headers = {"Authorization": f"Bearer {of.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as web,
        Client(streamable_http_client(of.url, http_client=web), mode=mode) as connected,
    ):
        yield connected


async def call(of: Client, tool: str, **arguments: Any) -> types.CallToolResult:
    """The result of a call, which must be a plain one."""
    result = await of.call_tool(tool, arguments)
    assert isinstance(result, types.CallToolResult)
    return result


def text(result: types.CallToolResult) -> str:
    """All texts of a result."""
    return "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
