"""Faults of a policy file as lines: `FILE:LINE:COL  POINTER  MESSAGE`."""

from __future__ import annotations

from collections.abc import Iterable

from mcpwatch.cli.output import say
from mcpwatch.policy.problems import render_problem
from mcpwatch.policy.values import Problem


def say_problems(file: str, problems: Iterable[Problem]) -> None:
    for problem in problems:
        say(render_problem(file, problem))
