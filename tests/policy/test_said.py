"""What the check says of whole files, word for word, as it was looked at when it was written down.

After a change of the wording read the difference, then `python -m tests.policy.test_said` writes the new texts.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcpwatch.policy.lint import lint
from mcpwatch.policy.problems import render_problem
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError

SAID = Path(__file__).with_name("said")
FILES = ("faults.json", "rules.yaml", "read.yaml", "remarks.json")


def said(file: str) -> str:
    """Everything that is said about one file; tools are known for `remarks.json`."""
    tools = json.loads((SAID / "tools.json").read_bytes()) if file == "remarks.json" else None
    try:
        document = read_policy((SAID / file).read_bytes(), name=file)
    except PolicyError as fault:
        problems = fault.problems
    else:
        problems = (*document.warnings, *lint(document, tools))
    return "".join(f"{render_problem(file, problem)} ({problem.length})\n" for problem in problems)


@pytest.mark.parametrize("file", FILES)
def test_the_check_says_what_was_looked_at(file: str) -> None:
    assert said(file) == (SAID / f"{file}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    for name in FILES:
        (SAID / f"{name}.txt").write_text(said(name), encoding="utf-8")
