"""`mcpwatch policy check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put, put_json
from mcpwatch.cli.policyread import read_bytes
from mcpwatch.cli.reach import offered_tools
from mcpwatch.config import Place
from mcpwatch.control.operations import problem_json
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.lint import lint
from mcpwatch.policy.problems import render_problem, visible
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError, Problem
from mcpwatch.policyfile import open_to_others

_INVALID = 3
Tools = list[dict[str, Any]] | None


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--no-lint", is_flag=True, help="Only what keeps the file from being used.")
@click.option("--upstream", default="", metavar="NAME", help="Compare with what this upstream of the gateway offers.")
@place_options
@json_option
@click.pass_context
def check(
    context: click.Context, files: tuple[str, ...], no_lint: bool, upstream: str, place: Place, as_json: bool
) -> None:
    """Say every fault of FILE as FILE:LINE:COL  POINTER  MESSAGE (exit 3), or that there is none (exit 0).

    Remarks that do not keep a policy from being used begin with "warning:".
    """
    tools = offered_tools(place, upstream) if upstream else None
    valid = [_check(file, tools, lint_too=not no_lint, as_json=as_json) for file in files]
    context.exit(0 if all(valid) else _INVALID)


def _check(file: str, tools: Tools, *, lint_too: bool, as_json: bool) -> bool:
    text = read_bytes(file)
    document: PolicyDocument | None = None
    problems: tuple[Problem, ...]
    try:
        document = read_policy(text, name=Path(file).name)
        problems = (*open_to_others(Path(file)), *document.warnings, *(lint(document, tools) if lint_too else ()))
    except PolicyError as fault:
        problems = fault.problems
    if as_json:
        put_json(_as_json(file, document, problems), pretty=False)
    else:
        for problem in problems:
            put(render_problem(file, problem))
        if document is not None:
            put(f"{visible(file)}: valid. {_summary(document)}")
    return document is not None


def _as_json(file: str, document: PolicyDocument | None, problems: tuple[Problem, ...]) -> dict[str, Any]:
    return {
        "file": file,
        "valid": document is not None,
        "digest": document.digest if document else "",
        "dialect": document.dialect if document else "",
        "problems": [problem_json(problem) for problem in problems],
    }


def _summary(document: PolicyDocument) -> str:
    limits = sum(len(entry.limits) for entry in (document.all_tools, *document.tools.values()))
    return f"default {document.default}; tools {len(document.tools)}, hidden {len(document.hide)}, limits {limits}"
