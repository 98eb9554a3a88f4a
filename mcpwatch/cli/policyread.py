"""Reads what policy commands are given: policy files and what cannot be read about them."""

from __future__ import annotations

from pathlib import Path

from mcpwatch.errors import ConfigError
from mcpwatch.policy.compiled import CompiledPolicy, compile_policy
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.reader import MAX_BYTES, read_policy


def read_bytes(path: str | Path) -> bytes:
    """The file's bytes, at most a little more than a policy may have. Raises ConfigError when there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as fault:
        raise ConfigError(f"cannot read {path}: {fault.strerror}") from fault


def document(path: str) -> PolicyDocument:
    """Raises ConfigError (no such file) or PolicyError (all problems)."""
    return read_policy(read_bytes(path), name=Path(path).name)


def compiled(path: str) -> CompiledPolicy:
    return compile_policy(document(path))
