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
LANGUAGE = """\b
FILTER is one term or more; all must hold, - before one turns it round:
  tool:eks*  grant:ci  agent:ci  client:cursor  upstream:eks  rule:*limits*
  dec:deny   (allow deny hold reject limit hidden observe)
  outcome:ok (tool_error rpc_error timeout ... ; open: not answered yet)
  ms>500  bytes>1000  held>0  seq<=90
  arg:NAME  arg:ns=prod  arg:replicas>3
  since:2h  until:2026-11-20T14:02  (UTC)
  anything else: a part of tool, grant, client, rule, reason or arguments
Names are matched whole, * stands for any characters, a,b means a or b.
Quote what the shell would take: 'ms>500' 'tool:eks*'."""


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
