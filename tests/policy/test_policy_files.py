"""The policy files beside the tests: what must be refused, and where the fault is said to be; what must load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.policy.problems import render_problem
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError, Problem

DATA = Path(__file__).parent.parent / "data" / "policies"
INVALID: list[dict[str, Any]] = json.loads((DATA / "invalid.json").read_bytes())
VALID: list[dict[str, Any]] = json.loads((DATA / "valid.json").read_bytes())


def problems_of(file: str) -> tuple[Problem, ...]:
    with pytest.raises(PolicyError) as caught:
        read_policy((DATA / "invalid" / file).read_bytes(), name=file)
    return caught.value.problems


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case["file"])
def test_a_broken_policy_is_refused_at_the_place_of_its_fault(case: dict[str, Any]) -> None:
    problems = problems_of(case["file"])
    assert len(problems) >= case.get("least", 1)
    assert all(problem.message and problem.severity == "error" for problem in problems)
    if "pointer" in case:
        assert (case["line"], case["pointer"]) in [(problem.line, problem.pointer) for problem in problems]
    elif "line" in case:
        assert any(
            problem.line == case["line"] or (not problem.pointer and abs(problem.line - case["line"]) == 1)
            for problem in problems
        )


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["file"])
def test_a_sound_policy_loads(case: dict[str, Any]) -> None:
    document = read_policy((DATA / "valid" / case["file"]).read_bytes(), name=case["file"])
    assert document.version == "1"
    assert len(document.digest) == 64


def test_five_faults_of_one_rule_are_all_named_in_file_order() -> None:
    places = [(problem.line, problem.pointer) for problem in problems_of("rule-five-faults.json")]
    pointer = "/tools/t/rules/0/conditions"
    assert places == [(line, f"{pointer}/{at}/value") for at, line in enumerate(range(7, 12))]


def test_a_problem_is_one_line_of_place_pointer_and_message() -> None:
    (problem,) = problems_of("unknown-top.json")
    line = render_problem("p.json", problem)
    assert line.startswith('p.json:5:3  /defualt  unknown key "defualt"; did you mean "default"?')
    assert render_problem("p.json", Problem(2, 3, "", "no")) == "p.json:2:3    no"
    assert render_problem("p.json", Problem(2, 3, "/a", "no", "warning")) == "p.json:2:3  /a  warning: no"


def test_nothing_in_a_problem_can_drive_a_terminal_or_break_its_line() -> None:
    line = render_problem("a\x1b[2J", Problem(1, 1, "/tools/a\n  b\u202e", "x\r\ny\u2028\ud800é"))
    assert line == "a\\x1b[2J:1:1  /tools/a\\n \\x20b\\u202e  x\\r\\ny\\u2028\\ud800é"
