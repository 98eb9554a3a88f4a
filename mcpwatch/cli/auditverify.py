"""`mcpwatch audit verify`."""

from __future__ import annotations

from pathlib import Path

import click

from mcpwatch.audit.verify import verify as verified
from mcpwatch.cli.auditoptions import audit_path
from mcpwatch.cli.options import json_option
from mcpwatch.cli.output import put, put_json, wrapped

_BROKEN = 5


@click.command()
@audit_path
@json_option
@click.pass_context
def verify(context: click.Context, path: Path, as_json: bool) -> None:
    """Recompute the whole chain and compare it with its anchor. Exit 0 when nothing was changed, else 5.

    Keep the printed head on another machine: it also proves later that nothing was cut off and made anew.
    """
    report = verified(path)
    if as_json:
        put_json(report.json())
    else:
        for fault in report.faults:
            place = f"row {fault.row}: " if fault.row else ""
            for line in wrapped(f"CHANGED {place}{fault.message}", indent=""):
                put(line)
        for remark in report.remarks:
            for line in wrapped(remark, indent=""):
                put(line)
        put(f"{report.rows} rows, {report.calls} calls: {'as written' if report.ok else 'NOT as written'}")
        if report.head is not None:
            put(f"head {report.head.row} {report.head.hash.hex()}")
    context.exit(0 if report.ok else _BROKEN)
