"""`mcpwatch policy suggest`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click

from mcpwatch.audit import query
from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put_json, put_json_text, put_raw, say
from mcpwatch.cli.reach import offered_tools
from mcpwatch.cli.times import since_option
from mcpwatch.config import Place
from mcpwatch.errors import ConfigError
from mcpwatch.policy.suggest import Suggestion, suggest_from_tools
from mcpwatch.policy.suggest import suggest as suggested


@click.command()
@click.option("--upstream", default="", metavar="NAME", help="Which upstream (needed when there are several).")
@click.option("--tools", "tools_file", default="", metavar="FILE", help="From this tool list (JSON) alone.")
@click.option("--yaml", "as_yaml", is_flag=True, help="As YAML, with the evidence beside each line.")
@since_option("all")
@json_option
@place_options
def suggest(upstream: str, tools_file: str, as_yaml: bool, since_ms: int, as_json: bool, place: Place) -> None:
    """Print the least policy that would have allowed what was allowed, each line with its evidence.

    From a tool list alone (--tools, or an upstream that nobody called yet): the usual rules for each kind of tool.
    """
    if tools_file:
        name, found = upstream, suggest_from_tools(_listed(tools_file))
    else:
        name, found = _from_audit(upstream, since_ms, place)
    if as_json:
        put_json({"upstream": name, "policy": found.policy, "evidence": found.evidence})
    elif as_yaml:
        put_raw(found.yaml())
    else:
        put_json_text(found.json())
        for pointer, reason in found.evidence.items():
            say(f"{pointer or '(all)'}: {reason}")


def _from_audit(upstream: str, since_ms: int, place: Place) -> tuple[str, Suggestion]:
    records = list(query.each(place.audit, "", since_ms))
    name = _only(upstream, records)
    try:
        tools = offered_tools(place, name)
    except ConfigError:
        tools = []
    mine = [record for record in records if record["upstream"] == name]
    return name, suggested(mine, tools) if mine or not tools else suggest_from_tools(tools)


def _listed(file: str) -> list[dict[str, Any]]:
    """The tools of a file that holds what `tools/list` answers: its result, or the list of tools itself."""
    try:
        found: Any = json.loads(Path(file).read_bytes())
    except OSError as fault:
        raise ConfigError(f"cannot read {file}: {fault.strerror}") from fault
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{file} is no JSON: {fault}") from fault
    tools = _list(cast("dict[str, Any]", found).get("tools") if isinstance(found, dict) else found)
    if not tools or not all(map(_named, tools)):
        raise ConfigError(f"{file} holds no tool list", 'Expected {"tools": [{"name": …}, …]} as tools/list answers.')
    return tools


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _named(tool: Any) -> bool:
    return isinstance(tool, dict) and isinstance(cast("dict[str, Any]", tool).get("name"), str)


def _only(upstream: str, records: list[dict[str, Any]]) -> str:
    names = sorted({str(record["upstream"]) for record in records})
    if upstream:
        return upstream
    if len(names) != 1:
        said = f"the audit has calls to {', '.join(names)}" if names else "the audit has no calls yet"
        raise ConfigError(said, "Name one upstream: --upstream NAME")
    return names[0]
