"""`mcpwatch upstream login` and `logout`: the operator's own login at an OAuth-protected upstream."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click

from mcpwatch.cli.known import known_upstream
from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put, put_json, say, wrapped
from mcpwatch.config import Place
from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.logins.record import Login, is_safe
from mcpwatch.upstreams.logins.standing import standing, standing_json
from mcpwatch.upstreams.logins.store import LoginStore

if TYPE_CHECKING:
    from mcpwatch.upstreams.logins.flow import Client

_PATIENCE_S = 600.0


@click.command(short_help="Log in at an upstream with your browser.")
@click.argument("name", metavar="NAME[=URL]")
@click.option("--mcp-config", "configs", multiple=True, metavar="FILE[#NAME]", help="Where the URL of NAME stands.")
@click.option("--client-id", default="", metavar="ID", help="A client you registered there, if it registers none.")
@click.option("--client-secret", "has_secret", is_flag=True, help="Ask for that client's secret.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Where the browser comes back (default: any).",
)
@click.option("--browser", is_flag=True, help="Also open the address in this machine's browser.")
@place_options
@json_option
def login(
    name: str,
    configs: tuple[str, ...],
    client_id: str,
    has_secret: bool,
    port: int,
    browser: bool,
    place: Place,
    as_json: bool,
) -> None:
    """Log in at the upstream NAME with your browser, for all callers of the gateway.

    NAME alone means the URL of the last start, of config.toml or of an earlier login. The browser may be on another
    machine: paste the address it ends up at. The tokens are kept in the state folder (0600) and go to that URL only; a
    running gateway takes them up by itself and renews them.
    """
    spec = known_upstream(name, configs, place)
    _check(spec.name, spec.url, spec.headers)
    store = LoginStore(place.logins)
    client, port = _client(store, spec.name, spec.url, client_id, has_secret, port)
    made = asyncio.run(_log_in(spec.name, spec.url, client, port, browser))
    with store.locked(spec.name):
        store.write(spec.name, made)
    if as_json:
        put_json({"name": spec.name, **standing_json(made, _now_ms())})
    else:
        put(f"{spec.name}: {standing(made, _now_ms())}")


@click.command(short_help="End your login at an upstream.")
@click.argument("name")
@place_options
@json_option
def logout(name: str, place: Place, as_json: bool) -> None:
    """End the login at the upstream NAME: its tokens are revoked and removed."""
    from mcpwatch.upstreams.logins.renewal import revoke

    store = LoginStore(place.logins)
    with store.locked(name):
        kept = _readable(store, name)
        if not store.remove(name):
            raise ConfigError(f'there is no login at "{name}"', "`mcpwatch upstream list` shows those there are.")
        revoked = kept is not None and revoke(kept)
    if as_json:
        put_json({"name": name, "removed": True, "revoked": revoked})
        return
    more = "and revoked there" if revoked else "here; the server was not told, its tokens run out by themselves"
    for line in wrapped(f"The login at {name} is removed {more}.", ""):
        say(line)


def _check(name: str, url: str, headers: dict[str, str]) -> None:
    if any(key.lower() == "authorization" for key in headers):
        raise ConfigError(f"{name} has a configured Authorization header", "Take it out of the file to log in instead.")
    if not is_safe(url):
        raise ConfigError(f"{name} is not reached by https", "A token may not travel unencrypted: use its https URL.")
    if not sys.stdin.isatty():
        raise ConfigError(
            "a login needs a terminal: somebody opens an address in a browser",
            f"Over SSH: ssh -t HOST mcpwatch upstream login {name}",
        )


def _client(
    store: LoginStore, name: str, url: str, client_id: str, has_secret: bool, port: int
) -> tuple[Client | None, int]:
    """The client that was named now or at an earlier login there, and the port it comes back to."""
    from mcpwatch.upstreams.logins.flow import Client

    if has_secret and not client_id:
        raise ConfigError("--client-secret belongs to --client-id")
    if client_id:
        secret: str = click.prompt("The client's secret", hide_input=True, err=True) if has_secret else ""
        return Client(client_id, secret), port
    before = _readable(store, name)
    if before is None or not before.given_client or not before.belongs_to(url):
        return None, port
    return Client(before.client_id, before.client_secret, before.issuer), port or before.redirect_port


def _readable(store: LoginStore, name: str) -> Login | None:
    """The login there is. One that cannot be read is about to be replaced or removed."""
    try:
        return store.read(name)
    except ConfigError:
        return None


async def _log_in(name: str, url: str, client: Client | None, port: int, browser: bool) -> Login:
    from mcpwatch.upstreams.logins.flow import log_in
    from mcpwatch.upstreams.logins.redirect import way_back

    async with way_back(port, say, sys.stdin.fileno()) as redirect:

        def show(address: str) -> None:
            say(f"To log in to {name}, open this address in a browser:")
            say(f"\n{address}\n")
            say(f"Waiting {_PATIENCE_S / 60:.0f} minutes for the browser to come back to this machine.")
            say("If it is on another one, the page it ends up at will not load: paste")
            say("that page's address here and press enter.")
            if browser and not _opened(address):
                say("No browser could be opened here.")

        return await log_in(url, redirect, show, client=client, patience_s=_PATIENCE_S, now_ms=_now_ms)


def _opened(address: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(address)
    except (OSError, webbrowser.Error):
        return False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
