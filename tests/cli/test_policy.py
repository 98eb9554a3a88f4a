"""`mcpwatch policy`: what it prints and the codes it ends with. These run in the test's own process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.cli.main import main
from tests.cli.running import Done

DATA = Path(__file__).parent.parent / "data"
SEED = Path(__file__).parent.parent.parent / "example-policies" / "seed.json"

Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> Done:
        code = main([str(argument) for argument in arguments])
        seen = capsys.readouterr()
        return Done(code, seen.out, seen.err)

    return run


def written(folder: Path, name: str, value: Any) -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_a_valid_file_is_exit_0(run: Run) -> None:
    done = run("policy", "check", SEED)
    assert done.code == 0
    assert "valid" in done.out


@pytest.mark.parametrize("path", sorted((DATA / "policies" / "invalid").iterdir()), ids=lambda path: path.name)
def test_every_invalid_file_is_exit_3_with_file_line_and_column(run: Run, path: Path) -> None:
    done = run("policy", "check", path)
    assert done.code == 3
    for line in done.out.splitlines():
        place, _pointer, message = line.split("  ", 2)
        file, row, column = place.rsplit(":", 2)
        assert file == str(path)
        assert int(row) >= 1
        assert int(column) >= 1
        assert message.strip()


def test_neither_a_name_nor_a_key_can_write_a_line_of_its_own(run: Run, tmp_path: Path) -> None:
    bad = {"version": "1", "default": "deny", "tools": {"t\nx.json: valid.": {"y\n\x1b[2J": 1}}}
    done = run("policy", "check", written(tmp_path, "a\nb.json", bad))
    (line,) = done.out.splitlines()
    assert line.startswith(f"{tmp_path}/a\\nb.json:1:")
    assert "/tools/t\\nx.json: valid./y\\n\\x1b[2J  unknown key" in line
    assert "\\nb.json: valid." in run("policy", "check", written(tmp_path, "a\nb.json", SEED.read_text())).out


def test_a_tool_s_name_cannot_write_a_line_of_an_explanation_or_a_difference(run: Run, tmp_path: Path) -> None:
    tool = "t\nALLOW"
    policy = {"version": "1", "default": "deny", "tools": {tool: {"action": "deny"}}}
    done = run("policy", "explain", written(tmp_path, "p.json", policy), "--tool", tool)
    assert done.out.splitlines()[0] == r"DENY  by /tools/t\nALLOW/deny_if/0"
    assert "ALLOW" not in [line.strip() for line in done.out.splitlines()]
    made = {"at": "2026-11-22T10:30:00Z", "tool": tool, "expect": {"rule": "x"}}
    cases = written(tmp_path, "case.json", [{"id": "one\ntwo", "policy": policy, "calls": [made]}])
    assert [line.strip() for line in run("policy", "test", cases).out.splitlines()][:4] == [
        rf"DIFFERENT {cases} one\ntwo",
        "call 1: rule",
        "expected  x",
        r"got       /tools/t\nALLOW/deny_if/0",
    ]


@pytest.mark.parametrize("path", sorted((DATA / "policies" / "valid").iterdir()), ids=lambda path: path.name)
def test_every_valid_file_is_exit_0(run: Run, path: Path) -> None:
    assert run("policy", "check", path).code == 0


def test_several_files_are_checked_and_one_bad_one_decides_the_code(run: Run) -> None:
    done = run("policy", "check", SEED, DATA / "policies" / "invalid" / "unknown-top.json")
    assert done.code == 3
    assert f"{SEED}: valid" in done.out


def test_check_in_json_says_the_same(run: Run) -> None:
    path = DATA / "policies" / "invalid" / "unknown-top.json"
    found = run("policy", "check", "--json", path).json
    assert found["valid"] is False
    assert found["problems"][0]["line"] > 0
    assert found["problems"][0]["pointer"]


@pytest.mark.parametrize("arguments", [["check"], ["explain", "--tool", "x"], ["test"], ["replay"]])
def test_a_file_that_does_not_exist_is_exit_2(run: Run, arguments: list[str]) -> None:
    done = run("policy", arguments[0], "absent.json", *arguments[1:])
    assert done.code == 2
    assert "absent.json" in done.err or "no audit" in done.err


def test_a_folder_is_no_policy(run: Run, tmp_path: Path) -> None:
    assert run("policy", "check", tmp_path).code == 2


def test_explain_says_the_decision_and_each_step(run: Run, tmp_path: Path) -> None:
    policy = '{"version": "1", "default": "deny", "tools": {"t": {"deny_if": [{"conditions": []}]}}}'
    done = run("policy", "explain", written(tmp_path, "p.json", policy), "--tool", "t")
    assert done.code == 0
    assert done.out.startswith("DENY")
    assert "deny_if" in done.out


def test_explain_in_json_has_every_promised_field(run: Run) -> None:
    found = run("policy", "explain", SEED, "--tool", "invoke_agent_runtime", "--args", '{"a": 1}', "--json").json
    assert set(found) >= {"decision", "rule", "reason", "message", "policy", "counters", "steps"}
    assert found["decision"] == "allow"
    assert set(found["steps"][0]) >= {"step", "rule", "result", "detail"}


@pytest.mark.parametrize(
    "arguments", ["[]", "{", "1", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e400}', '{"a": ' + "[" * 100_000]
)
def test_arguments_that_no_gateway_would_take_are_exit_2(run: Run, arguments: str) -> None:
    done = run("policy", "explain", SEED, "--tool", "t", "--args", arguments)
    assert done.code == 2
    assert "--args" in done.err


def test_a_call_that_waits_is_not_called_denied(run: Run, tmp_path: Path) -> None:
    policy = {"version": "1", "default": "deny", "tools": {"t": {"action": "require_approval"}}}
    done = run("policy", "explain", written(tmp_path, "p.json", policy), "--tool", "t")
    assert done.out.startswith("HOLD  by /tools/t/approve_if/0\n")
    assert "if nobody approves, the agent is told" in " ".join(done.out.split())


def test_a_case_file_with_a_key_twice_is_exit_2(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, "case.json", '[{"id": "one", "id": "two", "policy": null, "calls": []}]')
    done = run("policy", "test", path)
    assert (done.code, 'the key "id" twice' in done.err) == (2, True)


def test_explaining_by_an_invalid_policy_is_exit_3(run: Run) -> None:
    assert run("policy", "explain", DATA / "policies" / "invalid" / "unknown-top.json", "--tool", "t").code == 3


def test_the_cases_pass_one_by_one_and_as_a_folder(run: Run) -> None:
    done = run("policy", "test", DATA / "cases")
    assert done.code == 0, done.out
    assert ", 0 different" in done.out
    assert run("policy", "test", DATA / "cases" / "basics.json", DATA / "cases" / "order.json").code == 0


def test_a_difference_is_exit_6_with_what_was_expected_and_what_came(run: Run, tmp_path: Path) -> None:
    call = {"at": "2026-11-22T10:30:00Z", "tool": "t", "args": {}, "expect": {"decision": "deny", "rule": "x"}}
    policy: Any = {"version": "1", "default": "deny", "tools": {"t": {}}}
    path = written(tmp_path, "case.json", [{"id": "one", "policy": policy, "calls": [call]}])
    done = run("policy", "test", path)
    assert done.code == 6
    assert "expected  deny" in done.out
    assert "got       allow" in done.out
    failures = run("policy", "test", path, "--json").json["failures"]
    assert failures[0]["id"] == "one"
    assert failures[0]["differences"][0]["got"] == "allow"


@pytest.mark.parametrize("text", ["{}", "[", '"x"'])
def test_a_case_file_that_is_no_list_is_exit_2(run: Run, tmp_path: Path, text: str) -> None:
    assert run("policy", "test", written(tmp_path, "case.json", text)).code == 2


def test_any_dialect_converts_to_a_file_that_is_valid(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert run("policy", "convert", DATA / "policies" / "valid" / "rules.yaml", out).code == 0
    assert run("policy", "check", out).code == 0
    assert run("policy", "convert", SEED, out).code == 0
    assert run("policy", "convert", out, out).code == 2


def test_diff_says_changes_in_words_and_nothing_for_the_same(run: Run, tmp_path: Path) -> None:
    other = written(tmp_path, "p.json", {"version": "1", "default": "allow", "tools": {}})
    assert "default" in run("policy", "diff", SEED, other).out or "not listed" in run("policy", "diff", SEED, other).out
    assert run("policy", "diff", SEED, SEED, "--json").json == {"changes": []}


def test_the_schema_is_json(run: Run) -> None:
    assert "$schema" in run("policy", "schema").json


@pytest.mark.parametrize("command", ["check", "explain", "test", "replay", "diff", "convert", "suggest", "schema"])
def test_every_command_has_help_that_fits_80_columns(run: Run, command: str) -> None:
    done = run("policy", command, "--help")
    assert done.code == 0
    assert [line for line in done.out.splitlines() if len(line) > 80] == []


def test_suggest_gives_each_kind_of_a_tool_list_its_usual_rules_with_the_reason(run: Run, tmp_path: Path) -> None:
    tools = [{"name": "list_pods"}, {"name": "delete_pod"}]
    done = run("policy", "suggest", "--json", "--tools", written(tmp_path, "tools.json", {"tools": tools}))
    told = json.loads(done.out)
    assert done.code == 0
    assert told["policy"]["default"] == "deny"
    assert told["policy"]["tools"]["list_pods"]["category"] == "Read"
    assert "delete" in " ".join(told["evidence"].values())
    assert run("policy", "check", written(tmp_path, "suggested.json", told["policy"])).code == 0


@pytest.mark.parametrize("text", ["[1", "[]", "{}", '{"tools": [{"title": "x"}]}', "[[[", "3"])
def test_suggest_says_what_is_no_tool_list(run: Run, tmp_path: Path, text: str) -> None:
    done = run("policy", "suggest", "--tools", written(tmp_path, "tools.json", text))
    assert done.code == 2
    assert "tools.json" in done.err
    assert "Traceback" not in done.err
