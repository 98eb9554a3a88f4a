"""What the operator's API serves, by name. `service` implements it; the server only carries it over the socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mcpwatch.policy.values import Problem

Object = dict[str, Any]
"""One JSON object as it goes over the socket."""


@dataclass(frozen=True, slots=True)
class Saved:
    digest: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Not saved: the file is no longer the one that was opened."""

    digest: str
    text: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """Not saved: the text cannot be put in force."""

    problems: tuple[Problem, ...]


SaveAnswer = Saved | Changed | Invalid


@dataclass(frozen=True, slots=True)
class HoldAnswer:
    """An operator's word on a held call. `remember`: the same caller's same tool passes for a while."""

    call_id: str
    action: str
    reason: str = ""
    remember: bool = False
    by: str = ""


def problem_json(problem: Problem) -> Object:
    """A Problem as the API shows it."""
    return {
        "line": problem.line,
        "column": problem.column,
        "pointer": problem.pointer,
        "message": problem.message,
        "severity": problem.severity,
    }


class Operations(Protocol):
    """Raises ConfigError for what does not exist or cannot be done; the text is for the operator."""

    def status(self) -> Object: ...

    async def hello(self) -> Object: ...

    async def refresh(self) -> None:
        """Bring `counters` up to date when they are kept elsewhere. Before `status`, `hello` and `counters`."""
        ...

    def counters(self) -> Sequence[Mapping[str, Any]]: ...

    def policy(self, upstream: str) -> Object: ...

    async def save_policy(self, upstream: str, text: str, base_digest: str, by: str) -> SaveAnswer: ...

    async def history(self, upstream: str) -> Object: ...

    async def search(self, filter_text: str, since_ms: int, before_seq: int, limit: int) -> Object: ...

    async def show(self, seq: int) -> Object: ...

    async def hold(self, answer: HoldAnswer) -> Object: ...

    async def freeze(self, grant: str, tool: str, on: bool, by: str) -> Object: ...

    def connect(self) -> Object: ...

    def stop(self) -> None: ...
