"""`mcpwatch audit`: the record of calls, with or without a running gateway."""

from __future__ import annotations

import click

from mcpwatch.cli.group import lazy

_COMMANDS = {
    "search": ("auditread", "The recorded calls that match a filter, oldest first."),
    "tail": ("auditread", "The newest calls, and with -f those that come."),
    "show": ("auditread", "Everything recorded about one call."),
    "export": ("auditexport", "Write records as JSON lines or CSV."),
    "verify": ("auditverify", "Prove that nothing was changed, or say what was (exit 5)."),
    "stats": ("auditstats", "Calls by tool, caller and decision."),
}


@click.group(cls=lazy(_COMMANDS))
def audit() -> None:
    """Read, export and verify the record of calls.

    Filters: tool:eks* dec:deny agent:x ms>500 arg:ns=prod text
    """
