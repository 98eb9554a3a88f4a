"""`mcpwatch policy test`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import click

from mcpwatch.cli.options import json_option
from mcpwatch.cli.output import json_of, put, put_json, say
from mcpwatch.cli.policyread import read_bytes
from mcpwatch.errors import ConfigError
from mcpwatch.policy.cases import CaseResult, Difference, run_cases
from mcpwatch.policy.problems import visible

_DIFFERENT = 6


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="CASES...")
@json_option
@click.pass_context
def test(context: click.Context, files: tuple[str, ...], as_json: bool) -> None:
    """Run policy cases from files, or from every .json file of a folder. Exit 6 when one comes out otherwise."""
    began = time.monotonic()
    results = [(path, result) for path in _paths(files) for result in _run(path)]
    failed = [(path, result) for path, result in results if not result.ok]
    calls = sum(result.calls for _, result in results)
    if as_json:
        put_json({"cases": len(results), "calls": calls, "failures": [_as_json(*item) for item in failed]})
    else:
        _tell(failed)
        spent = max(time.monotonic() - began, 1e-9)
        put(f"{len(results)} cases, {calls} calls, {len(failed)} different ({spent:.2f} s)")
    context.exit(_DIFFERENT if failed else 0)


def _paths(files: tuple[str, ...]) -> list[Path]:
    paths: list[Path] = []
    for file in files:
        path = Path(file)
        paths.extend(sorted(path.glob("*.json")) if path.is_dir() else [path])
    if not paths:
        raise ConfigError("there is no case file in there", "Case files end in .json.")
    return paths


def _run(path: Path) -> list[CaseResult]:
    cases: object = json_of(_whole(path), str(path))
    if not isinstance(cases, list):
        raise ConfigError(f"{path} is not a list of policy cases", "A policy is checked by: mcpwatch policy check")
    return run_cases(cast("list[Any]", cases), lambda name: read_bytes(path.parent / name))


def _whole(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{path} is not UTF-8") from fault
    except OSError as fault:
        raise ConfigError(f"cannot read {path}: {fault.strerror}") from fault


def _tell(failed: list[tuple[Path, CaseResult]]) -> None:
    for path, result in failed:
        put(visible(f"DIFFERENT {path} {result.id}"))
        for difference in result.differences:
            for line in difference.lines():
                put(visible(f"  {line}"))
    if failed:
        say("Expected is what the case file says; got is what the policy does.")


def _as_json(path: Path, result: CaseResult) -> dict[str, Any]:
    return {"file": str(path), "id": result.id, "differences": [_difference(d) for d in result.differences]}


def _difference(difference: Difference) -> dict[str, Any]:
    step = difference.step
    return {
        "call": difference.call,
        "what": difference.what,
        "expected": difference.expected,
        "got": difference.got,
        "step": {"step": step.step, "rule": step.rule, "result": step.result, "detail": step.detail} if step else None,
    }
