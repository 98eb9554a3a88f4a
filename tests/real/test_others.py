"""The filesystem and Git servers with their recommended policies: what the servers allow, the policies do not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client, ClientSession
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from pydantic import FileUrl

from mcpwatch.upstreams.presets import recommended_policy, resolve
from tests.real.gateway import Gateway, call, client, gateway, text
from tests.real.parts import npm_program, program

pytestmark = pytest.mark.slow

_POLICIES = Path("example-policies").resolve()


def _policy(folder: Path, preset: str, path: str, *arguments: str) -> Path:
    """The recommended policy of a preset as it is written for a folder."""
    spec = resolve(preset, environ={"PATH": path}, state_dir=folder, extra_args=arguments)
    policy = folder / f"{preset}.json"
    policy.write_text(recommended_policy(spec, (_POLICIES / f"{preset}.json").read_text(encoding="utf-8")))
    return policy


def _folder(tmp_path: Path) -> Path:
    shared = tmp_path / "shared (1)"
    shared.mkdir()
    (shared / "a.txt").write_text("inside")
    (shared / ".env").write_text("TOKEN=hush")
    (tmp_path / "outside.txt").write_text("outside")
    return shared


async def _with_roots(gate: Gateway, root: Path, tool: str, arguments: dict[str, Any]) -> str:
    """What a client is answered that tells the server to serve another folder."""

    async def roots(context: ClientRequestContext) -> types.ListRootsResult:
        assert context
        return types.ListRootsResult(roots=[types.Root(uri=FileUrl(root.as_uri()))])

    headers = {"Authorization": f"Bearer {gate.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as web,
        streamable_http_client(gate.url, http_client=web) as (read, write),
        ClientSession(read, write, list_roots_callback=roots) as session,
    ):
        await session.initialize()
        result = await session.call_tool(tool, arguments)
        assert isinstance(result, types.CallToolResult)
        return text(result)


async def test_files_of_the_folder_are_read_and_no_spelling_leads_out_of_it(tmp_path: Path) -> None:
    shared = _folder(tmp_path)
    server = npm_program("npm", "mcp-server-filesystem")
    policy = _policy(tmp_path, "filesystem", str(Path(server).parent), str(shared))
    with gateway(tmp_path, f"filesystem={server}", policy, {}, [str(shared)]) as gate:
        async with client(gate) as agent:
            assert "inside" in text(await call(agent, "read_text_file", path=f"{shared}/a.txt"))
            for path in (f"{shared}/../outside.txt", f"{tmp_path}/outside.txt", f"{shared}/.env", "a.txt"):
                assert text(await call(agent, "read_text_file", path=path)).startswith("[POLICY DENIED] ")
            assert "read_multiple_files" not in {tool.name for tool in (await agent.list_tools()).tools}
        outside = {"path": f"{tmp_path}/outside.txt"}
        assert (await _with_roots(gate, tmp_path, "read_text_file", outside)).startswith("[POLICY DENIED] ")


async def test_the_server_alone_would_serve_whatever_folder_a_client_names(tmp_path: Path) -> None:
    shared = _folder(tmp_path)
    policy = tmp_path / "all.json"
    policy.write_text('{"version": "1", "default": "allow"}')
    server = f"filesystem={npm_program('npm', 'mcp-server-filesystem')}"
    with gateway(tmp_path, server, policy, {}, [str(shared)]) as gate:
        outside = {"path": f"{tmp_path}/outside.txt"}
        assert "outside" in await _with_roots(gate, tmp_path, "read_text_file", outside)


async def test_a_server_sees_nothing_of_the_operators_environment_but_what_is_listed(tmp_path: Path) -> None:
    server = npm_program("npm", "mcp-server-everything")
    policy = tmp_path / "all.json"
    policy.write_text('{"version": "1", "default": "allow"}')
    secret = {"MY_PASSWORD": "hunter2-hunter2", "AWS_SECRET_ACCESS_KEY": "hush-hush-hush", "NODE_OPTIONS": "--title=x"}
    with gateway(tmp_path, f"all={server}", policy, secret, ["stdio"]) as gate:
        async with client(gate) as agent:
            seen = json.loads(text(await call(agent, "get-env")))
    assert not secret.keys() & seen.keys()
    assert gate.token not in json.dumps(seen)
    assert seen.keys() <= {"HOME", "PATH", "USER", "SHELL", "TERM", "LANG", "LOGNAME", "LC_ALL", "TZ", "TMPDIR"}


async def test_git_reads_and_commits_and_takes_no_options(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    for words in (
        ["init", "-q", "-b", "main", str(repository)],
        *(["-C", str(repository), "config", *c] for c in _NAMED),
    ):
        subprocess.run(["git", *words], check=True)
    (repository / "a.txt").write_text("hello\n")
    server = program("others", "mcp-server-git")
    arguments = ["--repository", str(repository)]
    policy = _policy(tmp_path, "git", str(Path(server).parent), *arguments)
    here = {"repo_path": str(repository)}
    with gateway(tmp_path, f"git={server}", policy, {}, arguments) as gate:
        async with client(gate) as agent:
            await call(agent, "git_add", files=["a.txt"], **here)
            assert "committed" in text(await call(agent, "git_commit", message="First", **here))
            assert "First" in text(await call(agent, "git_log", **here))
            assert "agent/try" in text(await call(agent, "git_create_branch", branch_name="agent/try", **here))
            (repository / "a.txt").write_text("changed\n")
            assert "+changed" in text(await call(agent, "git_diff", target="HEAD", **here))
            await _refused(agent, "git_diff", target=f"--output={tmp_path}/stolen", **here)
            await _refused(agent, "git_create_branch", branch_name="release", **here)
            await _refused(agent, "git_status", repo_path=str(tmp_path))
    assert not (tmp_path / "stolen").exists()


_NAMED = (("user.name", "Test"), ("user.email", "test@example.com"))


async def _refused(agent: Client, tool: str, **arguments: str) -> None:
    assert text(await call(agent, tool, **arguments)).startswith("[POLICY DENIED] ")
