"""The texts that connect clients."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.connect import CLIENTS, connect_text

_URL, _TOKEN = "http://127.0.0.1:7330/mcp/eks", "mw_abc'def"
_HEADER = f"Authorization: Bearer {_TOKEN}"


def _json(client: str) -> dict[str, dict[str, dict[str, object]]]:
    return json.loads(connect_text(client, _URL, _TOKEN).split("\n", 1)[1])


def test_lines_survive_the_shell() -> None:
    add = ["claude", "mcp", "add", "--transport", "http", "eks", _URL, "--header", _HEADER]
    assert shlex.split(connect_text("claude", _URL, _TOKEN)) == add
    export, codex = connect_text("codex", _URL, _TOKEN).split("\n")
    assert shlex.split(export) == ["export", f"MCPWATCH_TOKEN={_TOKEN}"]
    assert shlex.split(codex)[-2:] == ["--bearer-token-env-var", "MCPWATCH_TOKEN"]
    assert shlex.split(connect_text("gemini", _URL, _TOKEN))[-2:] == ["eks", _URL]
    assert _HEADER in shlex.split(connect_text("inspector", _URL, _TOKEN))


def test_json_has_the_key_that_each_editor_reads() -> None:
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    assert _json("cursor") == {"mcpServers": {"eks": {"url": _URL, "headers": headers}}}
    assert _json("vscode") == {"servers": {"eks": {"type": "http", "url": _URL, "headers": headers}}}
    assert _json("stdio")["mcpServers"]["eks"] == {"command": "mcpwatch", "args": ["stdio", "--upstream", "eks"]}


def test_the_python_text_is_a_program() -> None:
    ast.parse(connect_text("mcp", _URL, _TOKEN))
    ast.parse(connect_text("mcp", _URL, ""))


@pytest.mark.parametrize("client", list(CLIENTS))
def test_an_open_gateway_needs_no_token(client: str) -> None:
    assert "Bearer" not in connect_text(client, _URL, "")
    assert "MCPWATCH_TOKEN" not in connect_text(client, _URL, "")


def test_an_unknown_client_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match='Did you mean "claude"'):
        connect_text("cladue", _URL, _TOKEN)
