"""`mcpwatch serve`: the gateway alone, in the foreground."""

from __future__ import annotations

import sys
from typing import Any

import click

from mcpwatch.cli.options import TakesArguments, chosen, gateway_options
from mcpwatch.config import GatewayOptions


@click.command(cls=TakesArguments, options_metavar="[OPTIONS] [-- ARG...]")
@gateway_options
@click.option("--options-on-stdin", is_flag=True, hidden=True, help="Read every option as JSON from stdin.")
@click.pass_context
def serve(context: click.Context, options_on_stdin: bool, **_: Any) -> None:
    """Run the gateway without a console. One line on stdout says that it is ready; logs go to stderr.

    ARG... is added to the command line of the upstream.
    """
    # Values such as --env NAME=VALUE must not stand on the command line of a child where others can read them.
    options = GatewayOptions.from_json(sys.stdin.readline()) if options_on_stdin else chosen(context)

    from mcpwatch.service.run import run

    context.exit(run(options))
