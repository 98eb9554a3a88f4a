"""`mcpwatch policy schema`."""

from __future__ import annotations

import click

from mcpwatch.cli.output import put_json
from mcpwatch.policy.schema import policy_schema


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The schema is JSON in any case.")
def schema(as_json: bool) -> None:
    """Print the JSON Schema of policy files; editors complete and check with it ("$schema" in the file)."""
    del as_json
    put_json(policy_schema())
