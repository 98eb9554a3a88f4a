"""`mcpwatch wrap FILE` and `unwrap FILE`: put the gateway between a client and the servers in its own config file."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from mcpwatch.cli.options import json_option
from mcpwatch.cli.output import put_json, say
from mcpwatch.errors import ConfigError
from mcpwatch.files import private_write, replace_file
from mcpwatch.upstreams.clientconfig import plain_json, slug

_SUFFIX = ".before-mcpwatch"
_GROUPS = ("mcpServers", "servers")


@click.command()
@click.argument("file", metavar="FILE")
@json_option
def wrap(file: str, as_json: bool) -> None:
    """Let every server of FILE (.mcp.json, mcp.json) be reached through mcpwatch. The original is kept beside it."""
    path, original = _paths(file)
    if original.exists():
        raise ConfigError(f"{path} is wrapped already", f"Undo it first: mcpwatch unwrap {path}")
    text = _read(path)
    new, names = _wrapped(text, original)
    private_write(original, text)
    _replace(path, new)
    _tell("wrapped", path, names, as_json)


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--force", is_flag=True, help="Also when FILE was changed since; those changes are lost.")
@json_option
def unwrap(file: str, force: bool, as_json: bool) -> None:
    """Give FILE back the text it had before `wrap`."""
    path, original = _paths(file)
    if not original.exists():
        raise ConfigError(f"{path} is not wrapped", "There is nothing to undo.")
    text = _read(original)
    expected, names = _wrapped(text, original)
    if path.exists() and _read(path) != expected and not force:
        raise ConfigError(f"{path} was changed since it was wrapped", "Say --force to lose those changes.")
    _replace(path, text)
    original.unlink()
    _tell("unwrapped", path, names, as_json)


def _paths(file: str) -> tuple[Path, Path]:
    path = Path(file).expanduser().resolve()
    return path, path.with_name(path.name + _SUFFIX)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise ConfigError(f"cannot read {path}: {fault.strerror}") from fault


def _wrapped(text: bytes, original: Path) -> tuple[bytes, list[str]]:
    """The new text, and the names of the servers in it."""
    try:
        whole: object = json.loads(plain_json(text.decode("utf-8-sig")))
    except (UnicodeDecodeError, ValueError, RecursionError) as fault:
        raise ConfigError(f"{original.name.removesuffix(_SUFFIX)} is not JSON: {fault}") from fault
    if not isinstance(whole, dict):
        raise ConfigError(
            f"{original.name.removesuffix(_SUFFIX)} is not a JSON object",
            'Servers stand under "mcpServers" or "servers".',
        )
    config = cast("dict[str, Any]", whole)
    names: list[str] = []
    for group in _GROUPS:
        servers: object = config.get(group)
        if isinstance(servers, dict):
            entries = cast("Mapping[str, Any]", servers)
            names.extend(entries)
            config[group] = {name: _entry(name, original) for name in entries}
    if not names:
        raise ConfigError(
            f"{original.name.removesuffix(_SUFFIX)} names no server", 'Servers stand under "mcpServers" or "servers".'
        )
    return json.dumps(config, indent=2, ensure_ascii=False).encode() + b"\n", names


def _entry(name: str, original: Path) -> dict[str, Any]:
    """Starts the gateway for one server, with what the original says of it (its environment stays in that file)."""
    program, *before = _ourselves()
    arguments = [*before, "stdio", "--instance", slug(name), "--mcp-config", f"{original}#{name}"]
    return {"type": "stdio", "command": program, "args": arguments}


def _ourselves() -> list[str]:
    """The command that starts this program: the installed one, or the interpreter when it is run as a module."""
    program = shutil.which("mcpwatch") or shutil.which(sys.argv[0])
    return [program] if program else [sys.executable, "-m", "mcpwatch"]


def _replace(path: Path, text: bytes) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        replace_file(path, text, mode)
    except OSError as fault:
        raise ConfigError(f"cannot write {path}: {fault.strerror}") from fault


def _tell(what: str, path: Path, names: list[str], as_json: bool) -> None:
    if as_json:
        put_json({what: str(path), "servers": names})
        return
    say(f"{what}: {path}")
    say(f"  servers: {', '.join(names)}. Start the client anew.")
