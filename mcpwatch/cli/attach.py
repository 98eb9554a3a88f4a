"""`mcpwatch attach`: a console on a gateway that runs already."""

from __future__ import annotations

import click

from mcpwatch.cli.options import place_options
from mcpwatch.cli.reach import ask
from mcpwatch.cli.screen import show
from mcpwatch.config import Place


@click.command()
@place_options
@click.option("--read-only", is_flag=True, help="Look, and change nothing.")
@click.option("--plain", is_flag=True, help="Lines instead of the full screen.")
def attach(place: Place, read_only: bool, plain: bool) -> None:
    """Open a console on a running gateway."""
    ask(place, lambda client: client.status())
    show(place, read_only=read_only, plain=plain, owned=False)
