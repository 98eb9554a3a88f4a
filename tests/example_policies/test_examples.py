"""Every example policy is read, fits the tools it is for, and answers its cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.policy.cases import run_cases
from mcpwatch.policy.lint import lint
from mcpwatch.policy.reader import read_policy

_FOLDER = Path("example-policies")
_NAMES = sorted(path.stem for path in _FOLDER.glob("*.json"))
_TOOLS = Path(__file__).with_name("tools")
_SEED = {
    "version": "1",
    "default": "deny",
    "tools": {
        "invoke_agent_runtime": {
            "limits": [{"counter": "invoke_agent_runtime_rate", "window": "minute", "max": 10, "scope": "grant"}]
        }
    },
}

_HARMLESS = ("a fixed window", "a call without", 'the counter "writes" is shared')
"""Remarks that are true of the examples and meant: limits of v1, guards on optional arguments, one limit for writes."""

_SERVERS = {
    "demo": "demo",
    "eks-readonly": "eks",
    "eks-operator": "eks",
    "agentcore": "agentcore",
    "filesystem": "filesystem",
    "git": "git",
    "seed": "agentcore",
}


def _bytes(name: str) -> bytes:
    return (_FOLDER / f"{name}.json").read_bytes()


def _cases(name: str) -> list[Any]:
    return json.loads((_FOLDER / "cases" / f"{name}.json").read_text(encoding="utf-8"))


def test_the_seed_is_verbatim() -> None:
    assert json.loads(_bytes("seed")) == _SEED


@pytest.mark.parametrize("name", _NAMES)
def test_every_example_is_plain_v1_and_read_without_a_remark(name: str) -> None:
    document = read_policy(_bytes(name), name=f"{name}.json")
    assert (document.dialect, document.version, document.warnings) == ("v1", "1", ())
    assert name == "seed" or document.description


@pytest.mark.parametrize("name", _NAMES)
def test_every_example_answers_its_cases(name: str) -> None:
    results = run_cases(_cases(name), lambda file: (_FOLDER / "cases" / file).read_bytes())
    assert results
    assert [line for r in results for d in r.differences for line in (r.id, *d.lines())] == []


@pytest.mark.parametrize("name", _NAMES)
def test_every_tool_that_an_example_lets_through_has_a_case(name: str) -> None:
    document = read_policy(_bytes(name), name=f"{name}.json")
    named = {tool for tool, entry in document.tools.items() if "*" not in tool and (entry.require or entry.deny_if)}
    called = {call["tool"] for case in _cases(name) for call in case["calls"]}
    assert named - called == set()


@pytest.mark.parametrize("name", sorted(_SERVERS))
def test_every_tool_that_an_example_names_is_offered_by_its_server(name: str) -> None:
    document = read_policy(_bytes(name), name=f"{name}.json")
    offered = set(json.loads((_TOOLS / f"{_SERVERS[name]}.json").read_text(encoding="utf-8")))
    absent = {"git_init"}
    named = {*document.tools, *(hidden for hidden in document.hide if "*" not in hidden)}
    assert named - offered - absent == set()


@pytest.mark.parametrize("name", _NAMES)
def test_the_lint_finds_nothing_that_was_not_meant(name: str) -> None:
    document = read_policy(_bytes(name), name=f"{name}.json")
    offered = json.loads((_TOOLS / f"{_SERVERS[name]}.json").read_text(encoding="utf-8")) if name in _SERVERS else None
    tools = None if offered is None else [{"name": tool} for tool in [*offered, "git_init"]]
    remarks = [f"{problem.pointer} {problem.message}" for problem in lint(document, tools)]
    assert [text for text in remarks if not any(harmless in text for harmless in _HARMLESS)] == []
