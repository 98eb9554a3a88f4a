"""Real clients, connected by the very text that `mcpwatch connect` prints."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from tests.real.emulators import base_env
from tests.real.gateway import Gateway, gateway
from tests.real.parts import npm_program, program

pytestmark = pytest.mark.slow

_POLICY = Path("example-policies/demo.json").resolve()
_OLD_CLIENT = """
import asyncio, sys
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

secrets = {"cluster_name": "demo-eks", "kind": "Secret", "api_version": "v1"}
headers = {"Authorization": "Bearer " + sys.argv[2]}

async def main():
    async with streamablehttp_client(sys.argv[1], headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            print((await session.initialize()).protocolVersion)
            print([tool.name for tool in (await session.list_tools()).tools])
            print((await session.call_tool("list_k8s_resources", secrets)).content[0].text)

asyncio.run(main())
"""


@pytest.fixture
def gate(tmp_path: Path) -> Generator[Gateway]:
    with gateway(tmp_path, "demo", _POLICY, {}) as running:
        yield running


def _said(command: Sequence[str], home: Path, *, code: int = 0) -> str:
    path = f"{Path(npm_program('clients', 'node')).parent}:{base_env()['PATH']}"
    env = base_env() | {"HOME": str(home), "PATH": path, "DISABLE_AUTOUPDATER": "1"}
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_the_python_text_lists_the_tools(gate: Gateway, tmp_path: Path) -> None:
    said = _said([sys.executable, "-c", gate.command("connect", "mcp")], tmp_path)
    assert "list_k8s_resources" in said
    assert "add_inline_policy" not in said


def test_the_older_python_sdk_works_and_is_refused_in_words(gate: Gateway, tmp_path: Path) -> None:
    said = _said([program("mcp130", "python"), "-c", _OLD_CLIENT, gate.url, gate.token], tmp_path)
    assert said.startswith("2025-11-25\n")
    assert "[POLICY DENIED] Only workload kinds can be seen here" in said


def test_claude_code_connects(gate: Gateway, tmp_path: Path) -> None:
    line = shlex.split(gate.command("connect", "claude"))
    claude = npm_program("clients", "claude")
    _said([claude, *line[1:]], tmp_path)
    assert "Connected" in _said([claude, "mcp", "list"], tmp_path)


def test_the_inspector_lists_the_tools_and_shows_a_refusal(gate: Gateway, tmp_path: Path) -> None:
    line = shlex.split(gate.command("connect", "inspector"))
    inspector = npm_program("clients", "mcp-inspector")
    assert "list_k8s_resources" in _said([inspector, *line[2:]], tmp_path)
    call = ["--method", "tools/call", "--tool-name", "list_k8s_resources", "--tool-arg"]
    secrets = ["cluster_name=demo-eks", "kind=Secret", "api_version=v1"]
    # The Inspector ends with code 5 when a result has isError.
    assert "[POLICY DENIED]" in _said([inspector, *line[2:-2], *call, *secrets], tmp_path, code=5)
