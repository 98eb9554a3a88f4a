"""`mcpwatch connect CLIENT`: the ready-made line or JSON for a client, with URL and token."""

from __future__ import annotations

import json

import click

from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put, put_json, say
from mcpwatch.cli.reach import ask
from mcpwatch.config import Place
from mcpwatch.errors import ConfigError
from mcpwatch.gateway.grants import Grants
from mcpwatch.upstreams.connect import connect_text

_ALSO = {
    "claude-code": "claude",
    "claudecode": "claude",
    "code": "vscode",
    "vs-code": "vscode",
    "gemini-cli": "gemini",
    "python": "mcp",
}
"""Other names people give the clients."""


@click.command()
@click.argument("client", metavar="CLIENT")
@click.option("--upstream", default="", metavar="NAME", help="Which upstream (default: all).")
@click.option("--grant", default="", metavar="LABEL", help="Make a grant of this label and use its token.")
@place_options
@json_option
def connect(client: str, upstream: str, grant: str, place: Place, as_json: bool) -> None:
    """Print what connects CLIENT: claude, codex, cursor, vscode, gemini, inspector, mcp or stdio.

    The text contains a token: keep it to yourself.
    """
    _text(client, "http://127.0.0.1/mcp/any", "", place)  # an unknown client is told before a gateway is asked for
    reachable = ask(place, lambda gateway: gateway.connect())
    endpoints: dict[str, str] = _chosen(reachable["endpoints"], upstream)
    token = str(reachable["token"])
    texts = {name: _text(client, url, token, place) for name, url in endpoints.items()}
    if grant:
        token = Grants(place.folder / "grants.json").add(grant, upstreams=endpoints)
        texts = {name: _text(client, url, token, place) for name, url in endpoints.items()}
        say(f"Made the grant {grant}; its token is in there, and shown only now.")
    if as_json:
        put_json([{"upstream": n, "url": endpoints[n], "token": token, "text": t} for n, t in texts.items()])
        return
    for text in texts.values():
        put(text)


def _text(client: str, url: str, token: str, place: Place) -> str:
    text = connect_text(_ALSO.get(client.lower(), client), url, token)
    more = place.arguments()
    if client.lower() != "stdio" or not more:
        return text
    # A command that the client starts must find the same gateway.
    return text.replace('"stdio",', '"stdio", ' + ", ".join(json.dumps(word) for word in more) + ",", 1)


def _chosen(endpoints: dict[str, str], upstream: str) -> dict[str, str]:
    if not upstream:
        return endpoints
    if upstream not in endpoints:
        raise ConfigError(f'the gateway has no upstream "{upstream}"', f"It has: {', '.join(endpoints)}")
    return {upstream: endpoints[upstream]}
