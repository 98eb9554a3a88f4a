"""The ready-made line or JSON with which a client connects to the gateway.

Source: the clients' own documentation, November 2026 (Claude Code, Codex, Cursor, VS Code, Gemini CLI, Inspector).
"""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from mcpwatch.errors import ConfigError

TOKEN_VARIABLE = "MCPWATCH_TOKEN"  # noqa: S105 (the name of a variable, not a token)


def connect_text(client: str, url: str, token: str, *, name: str = "") -> str:
    """What to type or paste so that `client` (a key of CLIENTS) connects to `url` with `token` ("" under --open).

    `name` is what the client shall call the server, by default the last part of the URL's path. The text has no final
    newline. Raises ConfigError for a client that is not known.
    """
    writer = CLIENTS.get(client.lower())
    if writer is None:
        near = difflib.get_close_matches(client.lower(), CLIENTS, n=1)
        meant = f' Did you mean "{near[0]}"?' if near else ""
        raise ConfigError(f'No ready-made text for the client "{client}".{meant}', f"Clients: {', '.join(CLIENTS)}")
    return writer(name or urlsplit(url).path.rstrip("/").rpartition("/")[2] or "mcpwatch", url, token)


def _bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def _headers(token: str) -> dict[str, object]:
    return {"headers": {"Authorization": f"Bearer {token}"}} if token else {}


def _claude(name: str, url: str, token: str) -> str:
    words = ["claude", "mcp", "add", "--transport", "http", name, url]
    return shlex.join([*words, *(["--header", _bearer(token)] if token else [])])


def _codex(name: str, url: str, token: str) -> str:
    add = ["codex", "mcp", "add", name, "--url", url]
    if not token:
        return shlex.join(add)
    line = shlex.join([*add, "--bearer-token-env-var", TOKEN_VARIABLE])
    return f"export {TOKEN_VARIABLE}={shlex.quote(token)}\n{line}"


def _cursor(name: str, url: str, token: str) -> str:
    return "// .cursor/mcp.json\n" + _json({"mcpServers": {name: {"url": url, **_headers(token)}}})


def _vscode(name: str, url: str, token: str) -> str:
    return "// .vscode/mcp.json\n" + _json({"servers": {name: {"type": "http", "url": url, **_headers(token)}}})


def _gemini(name: str, url: str, token: str) -> str:
    words = ["gemini", "mcp", "add", "--transport", "http"]
    return shlex.join([*words, *(["--header", _bearer(token)] if token else []), name, url])


def _inspector(_name: str, url: str, token: str) -> str:
    words = ["npx", "@modelcontextprotocol/inspector", "--cli", url, "--transport", "http"]
    return shlex.join([*words, *(["--header", _bearer(token)] if token else []), "--method", "tools/list"])


def _python(_name: str, url: str, token: str) -> str:
    client = f"httpx2.AsyncClient(headers={json.dumps({'Authorization': f'Bearer {token}'})})" if token else "None"
    return "\n".join(
        (
            "import asyncio, httpx2",
            "from mcp import Client",
            "from mcp.client.streamable_http import streamable_http_client",
            "",
            "async def main():",
            f"    web = {client}",
            f"    async with Client(streamable_http_client({json.dumps(url)}, http_client=web)) as client:",
            "        print([tool.name for tool in (await client.list_tools()).tools])",
            "",
            "asyncio.run(main())",
        )
    )


def _stdio(name: str, _url: str, _token: str) -> str:
    entry = {"command": "mcpwatch", "args": ["stdio", "--upstream", name]}
    return "// for clients that only start commands\n" + _json({"mcpServers": {name: entry}})


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, indent=2)


CLIENTS: Mapping[str, Callable[[str, str, str], str]] = MappingProxyType(
    {
        "claude": _claude,
        "codex": _codex,
        "cursor": _cursor,
        "vscode": _vscode,
        "gemini": _gemini,
        "inspector": _inspector,
        "mcp": _python,
        "stdio": _stdio,
    }
)
"""The clients with a ready-made text, in the order they are shown in. `stdio` is for any other one."""
