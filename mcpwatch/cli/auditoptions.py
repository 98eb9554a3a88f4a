"""What all audit commands take: which audit, since when, and a filter."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.times import since_option
from mcpwatch.config import Place

F = TypeVar("F", bound=Callable[..., Any])

FILTERS = {"ignore_unknown_options": True}
"""Context settings of commands with a filter: `-tool:x` (not this tool) is no option."""


def audit_path(command: F) -> F:
    """`--file`, `--instance`, `--state-dir`; the command gets them as `path: Path`."""

    @functools.wraps(command)
    def with_path(*args: Any, audit_file: str | None, place: Place, **rest: Any) -> Any:
        return command(*args, path=Path(audit_file) if audit_file else place.audit, **rest)

    option = click.option(
        "--file", "audit_file", metavar="FILE", help="A copy of audit.db instead of the gateway's own."
    )
    return cast(F, place_options(option(with_path)))


def filtered(since: str = "all") -> Callable[[F], F]:
    """`[FILTER]...` as `words: tuple[str, ...]`, `--since` as `since_ms`, `--json` as `as_json`, and `path`."""

    def add(command: F) -> F:
        words = click.argument("words", nargs=-1, metavar="[FILTER]...", callback=_no_options)
        for option in (json_option, since_option(since), words):
            command = option(command)
        return audit_path(command)

    return add


def _no_options(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """A mistyped option must not pass as a word to look for, which nothing has."""
    wrong = next((word for word in words if word.startswith("--")), None)
    if wrong is not None:
        raise click.NoSuchOption(wrong, ctx=context)
    return words
