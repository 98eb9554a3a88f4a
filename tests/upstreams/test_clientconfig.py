"""Upstreams out of the config files of clients."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.clientconfig import plain_json, read_client_config, slug
from mcpwatch.upstreams.spec import UpstreamSpec
from tests.upstreams.stubs import script


def _read(
    servers: dict[str, Any], *, key: str = "mcpServers", only: str | None = None, **env: str
) -> tuple[UpstreamSpec, ...]:
    return read_client_config(json.dumps({key: servers}), file=".mcp.json", environ={"PATH": "/bin", **env}, only=only)


def test_an_http_server_keeps_its_headers_with_the_variables_filled_in() -> None:
    entry = {"type": "http", "url": "${BASE:-https://example.com}/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}
    (spec,) = _read({"My Server": entry}, TOKEN="hush")
    assert (spec.name, spec.kind, spec.url) == ("my-server", "http", "https://example.com/mcp")
    assert spec.headers == {"Authorization": "Bearer hush"}
    assert "hush" not in repr(spec)


def test_a_stdio_server_keeps_command_arguments_and_environment(tmp_path: Path) -> None:
    program = script(tmp_path, "server", "")
    entry = {"command": str(program), "args": ["--dir", "${env:HOME}"], "env": {"KEY": "${KEY}", "PLAIN": "1"}}
    (spec,) = _read({"x": entry}, key="servers", KEY="k", HOME="/h", OTHER="no")
    assert spec.command == (str(program), "--dir", "/h")
    assert spec.env == {"PATH": "/bin", "HOME": "/h", "KEY": "k", "PLAIN": "1"}


def test_a_stdio_server_starts_in_the_folder_it_names(tmp_path: Path) -> None:
    entry = {"command": "sh", "args": ["-c", 'pwd; echo "$0"', "a b"], "cwd": str(tmp_path)}
    (spec,) = _read({"x": entry})
    done = subprocess.run(spec.command, env=spec.env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}\na b\n"


def test_one_server_may_be_picked_and_switched_off_ones_are_left_out() -> None:
    servers: dict[str, Any] = {"a": {"url": "http://h/a"}, "b": {"url": "http://h/b", "disabled": True}}
    assert [spec.name for spec in _read(servers)] == ["a"]
    assert [spec.name for spec in _read(servers, only="b")] == ["b"]
    with pytest.raises(ConfigError, match="Did you mean"):
        _read({"github": {"url": "http://h/a"}}, only="githab")


def test_comments_and_trailing_commas_of_vs_code_are_read() -> None:
    text = '{ // servers\n "servers": { "x": { "url": "http://h/mcp", /* "url" */ }, }, }'
    (spec,) = read_client_config(text, file="mcp.json", environ={})
    assert spec.url == "http://h/mcp"


def test_what_looks_like_a_comment_in_a_text_is_kept() -> None:
    assert json.loads(plain_json('{"a": "http://x/*,]*/", "b": "\\"//"}')) == {"a": "http://x/*,]*/", "b": '"//'}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"type": "sse", "url": "http://h/sse"}, "HTTP+SSE"),
        ({"type": "ws", "url": "ws://h"}, "unknown type"),
        ({"url": "ftp://h"}, "http://"),
        ({"url": 5}, "not a text"),
        ({"url": "http://h/${MISSING}"}, "MISSING"),
        ({"url": "http://h/", "headers": {"X": "${input:token}"}}, "only the editor"),
        ({"url": "http://h/", "headers": ["X"]}, "not an object"),
        ({"command": "no-such-program"}, "no-such-program"),
        ({"command": "sh", "args": "x"}, "not a list"),
        ({"command": "sh", "envFile": ".env"}, "envFile"),
        ({}, "command"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_with_its_place(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read({"x": entry})
    assert said in caught.value.message + caught.value.remedy
    assert '.mcp.json, server "x"' in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"mcpServers": []}', '{"mcpServers": {}}', "[" * 100_000])
def test_a_file_without_servers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\.mcp\.json"):
        read_client_config(text, file=".mcp.json", environ={})


def test_names_become_part_of_a_url() -> None:
    assert (slug("My Server!"), slug("***"), slug("a" * 99)) == ("my-server", "server", "a" * 32)
