"""`mcpwatch freeze` and `mcpwatch thaw`: the kill switch."""

from __future__ import annotations

import getpass

import click

from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put_json, say
from mcpwatch.cli.reach import ask
from mcpwatch.config import Place

_grant = click.option("--grant", default="", metavar="G", help="Only this grant.")
_tool = click.option("--tool", default="", metavar="T", help="Only this tool.")


@click.command()
@place_options
@json_option
@_grant
@_tool
def freeze(place: Place, as_json: bool, grant: str, tool: str) -> None:
    """Refuse every call, or those of one grant or one tool, until thawed. Survives a restart."""
    answer = ask(place, lambda client: client.freeze(grant=grant, tool=tool, by=_me()))
    _tell(answer, as_json)


@click.command()
@place_options
@json_option
@_grant
@_tool
def thaw(place: Place, as_json: bool, grant: str, tool: str) -> None:
    """End a freeze. Without --grant and --tool everything is thawed."""
    answer = ask(place, lambda client: client.thaw(grant=grant, tool=tool, by=_me()))
    _tell(answer, as_json)


def _tell(answer: dict[str, list[str]], as_json: bool) -> None:
    if as_json:
        put_json(answer)
        return
    frozen = answer["frozen"]
    shown = ", ".join("everything" if scope == "*" else scope for scope in frozen)
    say(f"Frozen: {shown}." if frozen else "Nothing is frozen.")


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"
