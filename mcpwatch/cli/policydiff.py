"""`mcpwatch policy diff`."""

from __future__ import annotations

import click

from mcpwatch.cli.options import json_option
from mcpwatch.cli.output import put, put_json, wrapped
from mcpwatch.cli.policyread import document
from mcpwatch.policy.diff import policy_diff


@click.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@json_option
def diff(old: str, new: str, as_json: bool) -> None:
    """Say in words what changes from policy A to policy B, whatever dialects they are written in."""
    changes = policy_diff(document(old), document(new))
    if as_json:
        put_json({"changes": changes})
        return
    for change in changes or ["both mean the same"]:
        first, *rest = wrapped(change, indent="    ")
        put(first.strip())
        for line in rest:
            put(line)
