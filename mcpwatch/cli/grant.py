"""`mcpwatch grant`: who may call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put, put_json, say, table
from mcpwatch.cli.policyread import compiled
from mcpwatch.config import Place
from mcpwatch.files import private_dir
from mcpwatch.gateway.grants import Grant, Grants
from mcpwatch.records import rfc3339


@click.group()
def grant() -> None:
    """Who may call: each grant is a label and a bearer token. A running gateway follows within a second."""


@grant.command()
@click.argument("label")
@click.option("--upstream", "upstreams", multiple=True, metavar="NAME", help="Only this upstream. Repeatable.")
@click.option("--policy", "policy", default="", metavar="FILE", help="Its own policy instead of the upstream's.")
@place_options
@json_option
def add(label: str, upstreams: tuple[str, ...], policy: str, place: Place, as_json: bool) -> None:
    """Make a grant and print its token, once."""
    path = ""
    if policy:
        compiled(policy)
        path = str(Path(policy).expanduser().absolute())
    token = _grants(place).add(label, upstreams=upstreams, policy=path)
    _tell_token(label, token, as_json)


@grant.command(name="list")
@place_options
@json_option
def list_(place: Place, as_json: bool) -> None:
    """Show the grants, without their tokens (those are not kept)."""
    listed = _grants(place).listed()
    if as_json:
        put_json([_as_json(item) for item in listed])
        return
    rows = [("LABEL", "UPSTREAMS", "MADE", "POLICY")]
    for item in listed:
        made = rfc3339(item.created_at_ms)[:10] if item.created_at_ms else "-"
        rows.append((item.label, ", ".join(item.upstreams) or "all", made, item.policy or "the upstream's"))
    for line in table(rows):
        put(line)


@grant.command()
@click.argument("label")
@place_options
@json_option
def rotate(label: str, place: Place, as_json: bool) -> None:
    """Print a new token of a grant, once; the old one ends."""
    _tell_token(label, _grants(place).rotate(label), as_json)


@grant.command()
@click.argument("label")
@place_options
@json_option
def revoke(label: str, place: Place, as_json: bool) -> None:
    """End a grant: its token is refused from now on."""
    _grants(place).revoke(label)
    if as_json:
        put_json({"revoked": label})
    else:
        say(f"The grant {label} has ended.")


def _grants(place: Place) -> Grants:
    return Grants(private_dir(place.folder) / "grants.json")


def _tell_token(label: str, token: str, as_json: bool) -> None:
    if as_json:
        put_json({"label": label, "token": token}, pretty=False)
        return
    say(f"The token of {label}, shown only now:")
    put(token)


def _as_json(item: Grant) -> dict[str, Any]:
    return {
        "label": item.label,
        "upstreams": list(item.upstreams),
        "policy": item.policy,
        "created_at": rfc3339(item.created_at_ms) if item.created_at_ms else None,
    }
