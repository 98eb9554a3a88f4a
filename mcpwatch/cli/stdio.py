"""`mcpwatch stdio`: for clients that only start commands."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
from types import FrameType
from typing import Any

import click

from mcpwatch.cli.child import Child, Failed
from mcpwatch.cli.options import TakesArguments, chosen, explicit, gateway_options
from mcpwatch.cli.output import say
from mcpwatch.cli.reach import ask
from mcpwatch.config import GatewayOptions
from mcpwatch.errors import ConfigError

_FREE_PORT = "127.0.0.1:0"


@click.command(cls=TakesArguments, options_metavar="[OPTIONS] [-- ARG...]")
@gateway_options
@click.pass_context
def stdio(context: click.Context, **_: Any) -> None:
    """Speak MCP on stdin and stdout: through the running gateway, or through one of its own when none runs."""
    options = chosen(context)
    signal.signal(signal.SIGTERM, _interrupt)
    found = _running(options)
    if found is not None:
        _carry(*found)
        return
    if "listen" not in explicit(context):
        options = dataclasses.replace(options, listen=_FREE_PORT)
    context.exit(_with_own_gateway(options))


def _running(options: GatewayOptions) -> tuple[str, str] | None:
    """URL and token of the running gateway's upstream, None when no gateway runs."""
    try:
        reachable = ask(options.place, lambda client: client.connect())
    except ConfigError:
        return None
    return _choose(options, reachable["endpoints"]), reachable["token"]


def _with_own_gateway(options: GatewayOptions) -> int:
    child = Child(options)
    try:
        ready = child.ready()
        if isinstance(ready, Failed):
            say(ready.words.rstrip())
            return ready.code
        reachable = ask(options.place, lambda client: client.connect())
        _carry(_choose(options, reachable["endpoints"]), reachable["token"])
    except KeyboardInterrupt:
        pass
    finally:
        child.stop()
    return 0


def _choose(options: GatewayOptions, endpoints: dict[str, str]) -> str:
    wanted = [text.partition("=")[0] for text in options.upstreams]
    names = [name for name in wanted if name in endpoints] or ([] if wanted else list(endpoints))
    if len(names) != 1:
        offered = ", ".join(endpoints)
        raise ConfigError(f"stdio speaks to one upstream; the gateway has {offered}", "Name it: --upstream NAME")
    return endpoints[names[0]]


def _carry(url: str, token: str) -> None:
    from mcpwatch.gateway.stdio_front.front import run_stdio

    with open(sys.stdin.fileno(), "rb", closefd=False) as stdin:
        asyncio.run(run_stdio(url, token, stdin, sys.stdout.buffer))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
