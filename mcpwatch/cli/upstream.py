"""`mcpwatch upstream`: the presets, whether they can start here, and installing them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from mcpwatch import __version__
from mcpwatch.cli.options import TakesArguments, extra_arguments, json_option, place_options
from mcpwatch.cli.output import put, put_json, say, table
from mcpwatch.config import Place
from mcpwatch.files import private_dir, state_dir
from mcpwatch.upstreams.presets import PRESETS, availability


@click.group()
def upstream() -> None:
    """The servers behind the gateway."""


@upstream.command(name="list")
@place_options
@json_option
def list_(place: Place, as_json: bool) -> None:
    """Show the presets and how each would start here."""
    state = state_dir(place.state_dir)
    rows = [(preset, availability(preset, os.environ, state)) for preset in PRESETS.values()]
    if as_json:
        put_json([_preset_json(preset, how) for preset, how in rows])
        return
    for line in table([("NAME", "STARTS AS", "WHAT"), *((p.name, _short(how), p.title) for p, how in rows)]):
        put(line)


@upstream.command(cls=TakesArguments)
@click.argument("name")
@click.option("--env", "env", multiple=True, metavar="NAME[=VALUE]", help="What else it finds in its environment.")
@place_options
@json_option
@click.pass_context
def doctor(context: click.Context, name: str, env: tuple[str, ...], place: Place, as_json: bool) -> None:
    """Start the upstream NAME (or NAME=COMMAND, NAME=URL) once and say whether it works (exit 0) or not (exit 4)."""
    from mcpwatch.upstreams.doctor import doctor as examine

    report = asyncio.run(
        examine(
            name,
            environ=os.environ,
            state_dir=state_dir(place.state_dir),
            version=__version__,
            extra_env=env,
            extra_args=extra_arguments(context),
        )
    )
    if as_json:
        put_json(report.json())
    else:
        for line in report.lines():
            put(line)
    context.exit(report.exit_code)


@upstream.command()
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
    }


def _short(how: str) -> str:
    return "on PATH" if how.startswith("/") else how
