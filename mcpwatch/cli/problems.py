"""Faults of a policy file as lines: `FILE:LINE:COL  POINTER  MESSAGE`."""

from __future__ import annotations

from collections.abc import Iterable

from mcpwatch.cli.output import say
from mcpwatch.policy.values import Problem


def problem_line(file: str, problem: Problem) -> str:
    """One problem on one line; a warning says so in front of its message."""
    mark = "warning: " if problem.severity == "warning" else ""
    return f"{file}:{problem.line}:{problem.column}  {problem.pointer}  {mark}{problem.message}"


def say_problems(file: str, problems: Iterable[Problem]) -> None:
    for problem in problems:
        say(problem_line(file, problem))
