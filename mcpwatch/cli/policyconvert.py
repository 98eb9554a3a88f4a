"""`mcpwatch policy convert`."""

from __future__ import annotations

import stat
from pathlib import Path

import click

from mcpwatch.cli.options import json_option
from mcpwatch.cli.output import put_json, put_json_text, say
from mcpwatch.cli.policyread import document
from mcpwatch.errors import ConfigError
from mcpwatch.files import replace_file
from mcpwatch.policy.convert import convert as converted


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@json_option
def convert(source: str, target: str, as_json: bool) -> None:
    """Write the policy IN, of whatever dialect, as policy.json to OUT (- for stdout), and say what was lost."""
    text, lost = converted(document(source))
    if target == "-":
        put_json_text(text)
    else:
        _write(Path(source), Path(target), text)
    if as_json and target != "-":
        put_json({"in": source, "out": target, "lost": list(lost)})
        return
    for sentence in lost:
        say(f"not carried over: {sentence}")


def _write(source: Path, path: Path, text: str) -> None:
    if path.exists() and path.samefile(source):
        raise ConfigError(f"{path} is what is read", "Name another file to write to.")
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        replace_file(path.resolve(), text.encode(), mode)
    except OSError as fault:
        raise ConfigError(f"cannot write {path}: {fault.strerror}") from fault
