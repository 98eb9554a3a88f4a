"""What a person pastes so that their client connects to this gateway: for the empty screen and the clipboard.

Source: the clients' own documentation, November 2026 (Claude Code, Codex, Cursor, VS Code).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcpwatch.console.wire import table

MASK = "••••"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One client: `text` is what goes to the clipboard (with the token), `shown` what the screen shows (without)."""

    key: str
    client: str
    where: str
    text: str
    shown: str


def recipes(connect: Mapping[str, Any]) -> list[Recipe]:
    """Ready-made lines for the first endpoint of the gateway's `connect` answer; empty when it has none."""
    endpoints = table(connect.get("endpoints"))
    token = str(connect.get("token") or "")
    for name, url in endpoints.items():
        kinds = (
            ("c", "Claude Code", "in a shell", _claude),
            ("o", "Codex", "in a shell", _codex),
            ("u", "Cursor", ".cursor/mcp.json", _cursor),
            ("v", "VS Code", "in a shell", _vscode),
        )
        return [
            Recipe(key, client, where, make(name, url, token), make(name, url, MASK if token else ""))
            for key, client, where, make in kinds
        ]
    return []


def _claude(name: str, url: str, token: str) -> str:
    header = f" --header {_quoted(f'Authorization: Bearer {token}')}" if token else ""
    return f"claude mcp add --transport http {shlex.quote(name)} {shlex.quote(url)}{header}"


def _codex(name: str, url: str, token: str) -> str:
    bearer = " --bearer-token-env-var MCPWATCH_TOKEN" if token else ""
    export = f"export MCPWATCH_TOKEN={_quoted(token)}; " if token else ""
    return f"{export}codex mcp add {shlex.quote(name)} --url {shlex.quote(url)}{bearer}"


def _cursor(name: str, url: str, token: str) -> str:
    return _dumped({"mcpServers": {name: {"url": url, **_headers(token)}}})


def _vscode(name: str, url: str, token: str) -> str:
    return f"code --add-mcp '{_dumped({'name': name, 'type': 'http', 'url': url, **_headers(token)})}'"


def _headers(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}} if token else {}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`") + '"'


def _dumped(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
