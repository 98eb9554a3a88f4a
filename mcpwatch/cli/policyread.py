"""Reads what policy commands are given: policy files and what cannot be read about them."""

from __future__ import annotations

from pathlib import Path

import click

from mcpwatch.cli.problems import say_problems
from mcpwatch.errors import ConfigError
from mcpwatch.policy.compiled import CompiledPolicy, compile_policy
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.reader import MAX_BYTES, read_policy
from mcpwatch.policy.values import PolicyError

_INVALID = 3


def read_bytes(path: str | Path) -> bytes:
    """The file's bytes, at most a little more than a policy may have. Raises ConfigError when there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as fault:
        raise ConfigError(f"cannot read {path}: {fault.strerror}") from fault


def document(path: str) -> PolicyDocument:
    """Raises ConfigError when there is no such file; says every fault of an invalid one and ends with exit code 3."""
    try:
        return read_policy(read_bytes(path), name=Path(path).name)
    except PolicyError as fault:
        say_problems(path, fault.problems)
        raise click.exceptions.Exit(_INVALID) from fault


def compiled(path: str) -> CompiledPolicy:
    return compile_policy(document(path))
