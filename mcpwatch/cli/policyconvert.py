"""`mcpwatch policy convert`."""

from __future__ import annotations

import stat
from pathlib import Path

import click

from mcpwatch.cli.options import json_option
from mcpwatch.cli.output import put_json, put_raw, say
from mcpwatch.cli.policyread import document
from mcpwatch.errors import ConfigError
from mcpwatch.files import replace_file
from mcpwatch.policy.convert import convert as converted


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--force", is_flag=True, help="Write over OUT when it is there.")
@json_option
def convert(source: str, target: str, force: bool, as_json: bool) -> None:
    """Write the policy IN, of whatever dialect, as policy.json to OUT (- for stdout), and say what was lost."""
    text, lost = converted(document(source))
    if target == "-":
        put_raw(text)
    else:
        _write(Path(target), text, force=force)
    if as_json and target != "-":
        put_json({"in": source, "out": target, "lost": list(lost)})
        return
    for sentence in lost:
        say(f"not carried over: {sentence}")


def _write(path: Path, text: str, *, force: bool) -> None:
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already", "Choose another name, or say --force.")
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        replace_file(path.resolve(), text.encode(), mode)
    except OSError as fault:
        raise ConfigError(f"cannot write {path}: {fault.strerror}") from fault
