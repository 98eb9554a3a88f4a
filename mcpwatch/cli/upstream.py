"""`mcpwatch upstream`: the presets and logins, whether an upstream can start here, and installing a preset."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import click

from mcpwatch import __version__
from mcpwatch.cli.known import find_upstream
from mcpwatch.cli.options import TakesArguments, extra_arguments, json_option, place_options
from mcpwatch.cli.output import put, put_json, say, table
from mcpwatch.cli.upstreamlogin import login, logout
from mcpwatch.config import Place
from mcpwatch.errors import ConfigError
from mcpwatch.files import private_dir, state_dir
from mcpwatch.upstreams.logins.record import Login
from mcpwatch.upstreams.logins.standing import standing, standing_json
from mcpwatch.upstreams.logins.store import LoginStore
from mcpwatch.upstreams.presets import PRESETS, availability


@click.group()
def upstream() -> None:
    """The servers behind the gateway."""


upstream.add_command(login)
upstream.add_command(logout)


@upstream.command(name="list")
@place_options
@json_option
def list_(place: Place, as_json: bool) -> None:
    """Show the presets and how each would start, and your logins."""
    state = state_dir(place.state_dir)
    rows = [(preset, availability(preset, os.environ, state)) for preset in PRESETS.values()]
    logins, now_ms = _logins(place), time.time_ns() // 1_000_000
    if as_json:
        listed = [_preset_json(preset, how) for preset, how in rows]
        put_json(listed + [_login_json(name, found, now_ms) for name, found in logins.items()])
        return
    presets = [(p.name, _short(how), p.title) for p, how in rows]
    others = [(name, "url", _login_text(found, now_ms)) for name, found in logins.items()]
    for line in table([("NAME", "STARTS AS", "WHAT"), *presets, *others]):
        put(line)


@upstream.command(cls=TakesArguments, short_help="Start an upstream once and say whether it works.")
@click.argument("name")
@click.option("--env", "env", multiple=True, metavar="NAME[=VALUE]", help="What else it finds in its environment.")
@click.option("--mcp-config", "configs", multiple=True, metavar="FILE[#NAME]", help="Where NAME stands.")
@place_options
@json_option
@click.pass_context
def doctor(
    context: click.Context, name: str, env: tuple[str, ...], configs: tuple[str, ...], place: Place, as_json: bool
) -> None:
    """Start the upstream NAME (or NAME=COMMAND, NAME=URL) once and say whether it works (exit 0) or not (exit 4)."""
    from mcpwatch.upstreams.doctor import doctor as examine_name
    from mcpwatch.upstreams.doctor import examine

    logins = LoginStore(place.logins)
    known = None if "=" in name or (name in PRESETS and not configs) else find_upstream(name, configs, place)
    if known is not None:
        report = asyncio.run(examine(known, version=__version__, logins=logins))
    else:
        report = asyncio.run(
            examine_name(
                name,
                environ=os.environ,
                state_dir=state_dir(place.state_dir),
                version=__version__,
                extra_env=env,
                extra_args=extra_arguments(context),
                logins=logins,
            )
        )
    if as_json:
        put_json(report.json())
    else:
        for line in report.lines():
            put(line)
    context.exit(report.exit_code)


@upstream.command(short_help="Install the program of a preset.")
@click.argument("name")
@place_options
@json_option
def install(name: str, place: Place, as_json: bool) -> None:
    """Install the program of a preset into an environment of its own, in the state folder."""
    from mcpwatch.upstreams.install import install as do_install

    folder = private_dir(state_dir(place.state_dir))
    program = do_install(name, environ=os.environ, state_dir=folder, progress=say)
    if as_json:
        put_json({"preset": name, "program": str(program)})
    else:
        put(str(program))


def _preset_json(preset: Any, how: str) -> dict[str, Any]:
    return {
        "name": preset.name,
        "title": preset.title,
        "starts_as": how,
        "package": preset.pinned,
        "policy": preset.policy,
        "needs": list(preset.needs),
        "env": list(preset.env),
        "login": None,
    }


def _logins(place: Place) -> dict[str, Login | None]:
    """The login of each upstream that has one; None for one that cannot be read."""
    store = LoginStore(place.logins)
    found: dict[str, Login | None] = {}
    for name in store.names():
        try:
            found[name] = store.read(name)
        except ConfigError:
            found[name] = None
    return found


def _login_text(found: Login | None, now_ms: int) -> str:
    return "login cannot be read: log in again" if found is None else standing(found, now_ms)


def _login_json(name: str, found: Login | None, now_ms: int) -> dict[str, Any]:
    """In the form of a preset, as programs that read the list expect it."""
    told = {"state": "unreadable"} if found is None else standing_json(found, now_ms)
    blank: dict[str, Any] = {"package": "", "policy": None, "needs": [], "env": []}
    return {"name": name, "title": name, "starts_as": "url", **blank, "login": told}


def _short(how: str) -> str:
    return "on PATH" if how.startswith("/") else how
