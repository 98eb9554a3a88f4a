"""Upstreams from the config file of an MCP client: `.mcp.json`, Cursor, Claude Desktop, VS Code `mcp.json`.

Source: the clients' documentation. `mcpServers` or `servers`; `type` http, streamable-http, sse or stdio, else told by
`url` and `command`; `headers`, `env`, `args`, `cwd`; `${VAR}`, `${VAR:-default}`, `${env:VAR}` in any text. VS Code
allows comments and trailing commas.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
from collections.abc import Mapping
from typing import cast

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.environment import pick
from mcpwatch.upstreams.spec import NotThere, UpstreamSpec

_TEXT_OR_REMARK = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]])', re.DOTALL)
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_INPUT = re.compile(r"\$\{(input|command|workspaceFolder)[^}]*\}")
_HTTP_TYPES = ("http", "streamable-http", "streamableHttp", "streamable_http")

_Entry = Mapping[str, object]


def read_client_config(
    text: str, *, file: str, environ: Mapping[str, str], only: str | None = None
) -> tuple[UpstreamSpec, ...]:
    """The upstreams that `text`, read from `file`, names; `only` picks one. `environ` fills in the variables.

    Entries that are switched off are left out. Raises ConfigError naming the file, the server and the variable.
    """
    servers = _servers(text, file)
    if only is not None:
        if only not in servers:
            near = difflib.get_close_matches(only, servers, n=1)
            meant = f' Did you mean "{near[0]}"?' if near else ""
            raise ConfigError(f'{file} has no server "{only}".{meant}', f"It has: {', '.join(servers) or 'none'}")
        servers = {only: servers[only]}
    found = tuple(
        _spec(name, entry, f'{file}, server "{name}"', environ)
        for name, entry in servers.items()
        if only is not None or entry.get("disabled") is not True
    )
    if not found:
        raise ConfigError(f"{file} names no server", 'Servers stand under "mcpServers" or "servers".')
    return found


def plain_json(text: str) -> str:
    """`text` without comments and trailing commas, every other character where it was."""

    def blank(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])

    return _TEXT_OR_REMARK.sub(blank, text)


def slug(name: str) -> str:
    """The name under which an imported server is served: it becomes part of a URL."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:32] or "server"


def _servers(text: str, file: str) -> dict[str, _Entry]:
    try:
        whole: object = json.loads(plain_json(text.removeprefix("\ufeff")))
    except (ValueError, RecursionError) as error:
        place = f":{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"{file}{place} is not JSON", "Check the brackets and commas there.") from None
    found: dict[str, _Entry] = {}
    if isinstance(whole, dict):
        for key in ("mcpServers", "servers"):
            group = cast("dict[str, object]", whole).get(key)
            if isinstance(group, dict):
                found |= {n: e for n, e in cast("dict[str, _Entry]", group).items() if isinstance(e, dict)}
    if not found:
        raise ConfigError(f"{file} names no server", 'Servers stand under "mcpServers" or "servers".')
    return found


def _spec(name: str, entry: _Entry, place: str, environ: Mapping[str, str]) -> UpstreamSpec:
    kind = entry.get("type") or ("http" if "url" in entry or "httpUrl" in entry else "stdio")
    if kind == "sse":
        raise ConfigError(
            f"{place} speaks the retired HTTP+SSE transport, which the gateway does not forward",
            "Use the server's Streamable HTTP URL, or bridge it: npx mcp-remote URL --transport sse-only",
        )
    if kind in _HTTP_TYPES:
        return _http(name, entry, place, environ)
    if kind == "stdio":
        return _stdio(name, entry, place, environ)
    raise ConfigError(f'{place} has the unknown type "{kind}"', "Types: http, stdio.")


def _http(name: str, entry: _Entry, place: str, environ: Mapping[str, str]) -> UpstreamSpec:
    url = _fill(entry.get("url") or entry.get("httpUrl"), f"{place}, url", environ)
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{place}: the url does not begin with http:// or https://", "Check it.")
    headers = _texts(entry.get("headers"), f"{place}, headers", environ)
    return UpstreamSpec(name=slug(name), kind="http", url=url, headers=headers, title=name, source="url")


def _stdio(name: str, entry: _Entry, place: str, environ: Mapping[str, str]) -> UpstreamSpec:
    if "envFile" in entry:
        raise ConfigError(f"{place} reads an envFile, which the gateway does not", 'Put its variables into "env".')
    env = pick(environ, ()) | _texts(entry.get("env"), f"{place}, env", environ)
    command = _fill(entry.get("command"), f"{place}, command", environ)
    program = shutil.which(command, path=env.get("PATH"))
    if program is None:
        raise NotThere(f'{place}: the program is not there: "{command}"', "Give its whole path.")
    given = entry.get("args", [])
    if not isinstance(given, list):
        raise ConfigError(f"{place}: args is not a list", 'Write "args": ["…"].')
    args = [_fill(arg, f"{place}, args", environ) for arg in cast("list[object]", given)]
    line = (*_in_folder(entry, place, environ), program, *args)
    return UpstreamSpec(name=slug(name), kind="stdio", command=line, env=env, title=name)


def _in_folder(entry: _Entry, place: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What to put before a command that wants another folder: a shell that changes there and becomes the command."""
    if "cwd" not in entry:
        return ()
    folder = _fill(entry["cwd"], f"{place}, cwd", environ)
    return ("/bin/sh", "-c", 'cd -- "$1" && shift && exec "$@"', "sh", folder)


def _texts(value: object, place: str, environ: Mapping[str, str]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{place} is not an object", 'Write {"NAME": "value"}.')
    return {k: _fill(v, f"{place}, {k}", environ) for k, v in cast("dict[str, object]", value).items()}


def _fill(value: object, place: str, environ: Mapping[str, str]) -> str:
    """`value` with its variables filled in. A missing variable is an error: an empty secret would fail later."""
    if not isinstance(value, str):
        raise ConfigError(f"{place} is missing or not a text", "Write it in quotes.")
    if asked := _INPUT.search(value):
        raise ConfigError(
            f"{place} needs ${{{asked[1]}…}}, which only the editor can fill in", "Use ${NAME} and export NAME."
        )

    def one(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        found = environ.get(name) or default
        if found is None:
            raise ConfigError(f"{place} needs the variable {name}, which is not set", f"Export {name}.")
        return found

    return _VARIABLE.sub(one, value)
