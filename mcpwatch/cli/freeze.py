"""`mcpwatch freeze` and `mcpwatch thaw`: the kill switch."""

from __future__ import annotations

import getpass

import click

from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put_json, say
from mcpwatch.cli.reach import ask, offered_by_all
from mcpwatch.config import Place
from mcpwatch.gateway.grants import Grants

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
    _warn_of_strangers(place, grant, tool)
    _tell(answer, as_json)


@click.command()
@place_options
@json_option
@_grant
@_tool
def thaw(place: Place, as_json: bool, grant: str, tool: str) -> None:
    """End a freeze. Without --grant and --tool everything is thawed."""
    answer = ask(place, lambda client: client.thaw(grant=grant, tool=tool, by=_me()))
    _tell(answer, as_json, still="still ")


def _warn_of_strangers(place: Place, grant: str, tool: str) -> None:
    """A freeze of a mistyped name holds nobody; in an emergency that must not look like success."""
    known_grants = {item.label for item in Grants(place.folder / "grants.json").listed()} | {"open"}
    if grant and grant not in known_grants:
        say(f'warning: there is no grant "{grant}"; `mcpwatch grant list` shows those there are')
    if tool and tool not in offered_by_all(place):
        say(f'warning: no upstream offers a tool "{tool}" now; the freeze waits for that name')


def _tell(answer: dict[str, list[str]], as_json: bool, *, still: str = "") -> None:
    if as_json:
        put_json(answer)
        return
    frozen = answer["frozen"]
    shown = ", ".join("everything" if scope == "*" else scope.replace(":", " ", 1) for scope in frozen)
    word = f"{still}frozen".capitalize()
    say(f"{word}: {shown}." if frozen else "Nothing is frozen any more.")


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"
