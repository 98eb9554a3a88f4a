"""`mcpwatch policy suggest`."""

from __future__ import annotations

from typing import Any

import click

from mcpwatch.audit import query
from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put_json, put_json_text, put_raw, say
from mcpwatch.cli.reach import offered_tools
from mcpwatch.cli.times import since_option
from mcpwatch.config import Place
from mcpwatch.errors import ConfigError
from mcpwatch.policy.suggest import suggest as suggested


@click.command()
@click.option("--upstream", default="", metavar="NAME", help="Which upstream (needed when there are several).")
@click.option("--yaml", "as_yaml", is_flag=True, help="As YAML, with the evidence beside each line.")
@since_option("all")
@json_option
@place_options
def suggest(upstream: str, as_yaml: bool, since_ms: int, as_json: bool, place: Place) -> None:
    """Print the least policy that would have allowed what was allowed, each line with its evidence."""
    records = list(query.each(place.audit, "", since_ms))
    name = _only(upstream, records)
    try:
        tools = offered_tools(place, name)
    except ConfigError:
        tools = []
    found = suggested([record for record in records if record["upstream"] == name], tools)
    if as_json:
        put_json({"upstream": name, "policy": found.policy, "evidence": found.evidence})
    elif as_yaml:
        put_raw(found.yaml())
    else:
        put_json_text(found.json())
        for pointer, reason in found.evidence.items():
            say(f"{pointer or '(all)'}: {reason}")


def _only(upstream: str, records: list[dict[str, Any]]) -> str:
    names = sorted({str(record["upstream"]) for record in records})
    if upstream:
        return upstream
    if len(names) != 1:
        said = f"the audit has calls to {', '.join(names)}" if names else "the audit has no calls yet"
        raise ConfigError(said, "Name one upstream: --upstream NAME")
    return names[0]
