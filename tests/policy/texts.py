"""Small policy texts for tests, and what the reader says about them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError

NOTHING: list[Any] = []
"""An empty list that type checkers can follow."""


def policy(tool: object = None, /, **top: object) -> str:
    """A policy of one tool `t`, as JSON."""
    return json.dumps({"version": "1", "default": "deny", "tools": {"t": {} if tool is None else tool}, **top})


def read(text: str, name: str = "policy.json") -> PolicyDocument:
    return read_policy(text.encode(), name=name)


def faults(text: str | bytes, name: str = "policy.json") -> list[tuple[str, str]]:
    """(pointer, message) of every problem of a text that must be refused."""
    with pytest.raises(PolicyError) as caught:
        read_policy(text if isinstance(text, bytes) else text.encode(), name=name)
    return [(problem.pointer, problem.message) for problem in caught.value.problems]


def pointers(text: str | bytes, name: str = "policy.json") -> list[str]:
    return [pointer for pointer, _ in faults(text, name)]


def limit(**fields: object) -> dict[str, Any]:
    return {"counter": "c", "window": "minute", "max": 1, **fields}


def condition(**fields: object) -> dict[str, Any]:
    return {"path": "args.x", "op": "eq", "value": 1, **fields}
