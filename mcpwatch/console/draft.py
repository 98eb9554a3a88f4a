"""What an unsaved policy text is worth: its faults and remarks, its document, what it changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.lint import lint
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError, Problem


@dataclass(frozen=True, slots=True)
class Draft:
    """`document` is None when `problems` has errors. Problems stand in order of their lines, errors first in each."""

    text: str
    document: PolicyDocument | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)


def read_draft(text: str, file: str, tools: Sequence[Mapping[str, Any]]) -> Draft:
    """Read and lint a text. `tools` are what the upstream offers, [] when that is not known yet."""
    try:
        document = read_policy(text.encode("utf-8", "surrogatepass"), name=file or "policy.json")
    except PolicyError as fault:
        return Draft(text, None, _ordered(fault.problems))
    remarks = (*document.warnings, *lint(document, tools or None))
    return Draft(text, document, _ordered(tuple(dict.fromkeys(remarks))))


def tool_at(document: PolicyDocument, line: int) -> str:
    """The key of `tools` whose entry covers a line (from 1), "" when none does."""
    for name, entry in document.tools.items():
        if entry.span.line <= line <= entry.span.end_line:
            return name
    return ""


def _ordered(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.severity != "error", problem.line, problem.column)))
