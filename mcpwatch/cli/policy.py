"""`mcpwatch policy`: everything about policy files that needs no running gateway."""

from __future__ import annotations

import click

from mcpwatch.cli.group import lazy

_COMMANDS = {
    "check": ("policycheck", "Say every fault of a policy file, or that there is none."),
    "explain": ("policyexplain", "The decision about one call, and each step that led to it."),
    "test": ("policytest", "Run policy cases: calls with the decisions they must get."),
    "replay": ("policyreplay", "What-if: which recorded calls would be decided otherwise."),
    "diff": ("policydiff", "What changes between two policies, in words."),
    "convert": ("policyconvert", "Write any dialect as policy.json."),
    "suggest": ("policysuggest", "The least policy that would have allowed what was allowed."),
    "schema": ("policyschema", "The JSON Schema of policy files, for editors."),
}


@click.group(cls=lazy(_COMMANDS))
def policy() -> None:
    """Check, explain, test and change policy files."""
