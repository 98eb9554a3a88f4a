"""`mcpwatch` without a command: a gateway as a child, and the console in front of it."""

from __future__ import annotations

import os
import sys

import click

from mcpwatch.cli.child import Child, Failed
from mcpwatch.cli.options import chosen
from mcpwatch.cli.output import say
from mcpwatch.cli.screen import can_draw, show
from mcpwatch.config import GatewayOptions, Place, check, with_upstreams
from mcpwatch.upstreams.spec import NotInstalled


def both(context: click.Context, *, read_only: bool, plain: bool) -> int:
    """Start the gateway, show it, and on quitting stop it or leave it running. Returns the exit code."""
    options = with_upstreams(chosen(context))
    check(options)
    _make_available(options)
    child = Child(options)
    ready = child.ready()
    if isinstance(ready, Failed):
        say(ready.words.rstrip())
        return ready.code
    for warning in child.warnings():
        say(warning)
    for name, url in ready["endpoints"].items():
        say(f"{name}: {url}")
    ending = "leave"
    try:
        ending = show(options.place, read_only=read_only, plain=plain, owned=True)
    except KeyboardInterrupt:
        ending = "stop"
    finally:
        # A console that fails takes no gateway with it.
        _end(child, ending, options.place, ready["pid"])
    return 0


def _end(child: Child, ending: str, place: Place, pid: int) -> None:
    if ending == "stop":
        child.stop()
    elif child.alive:
        attach = " ".join(["mcpwatch", "attach", *place.arguments()])
        say(f"The gateway goes on (pid {pid}). Come back with: {attach}")


def _make_available(options: GatewayOptions) -> None:
    """Offer to install the program of a preset. Raises NotInstalled when it stays absent."""
    from mcpwatch.service import choose

    while True:
        try:
            choose.upstreams(options)
            return
        except NotInstalled as absent:
            if not (can_draw() and sys.stdin.isatty()):
                raise
            say(absent.message)
            if not click.confirm("Install it into an environment of its own now?", default=True, err=True):
                raise
            _install(absent.preset, options)


def _install(preset: str, options: GatewayOptions) -> None:
    from mcpwatch.files import private_dir, state_dir
    from mcpwatch.upstreams.install import install

    install(preset, environ=os.environ, state_dir=private_dir(state_dir(options.place.state_dir)), progress=say)
