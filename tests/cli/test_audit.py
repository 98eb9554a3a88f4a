"""`mcpwatch audit verify|export|stats` and `policy replay|suggest`, on what one real gateway recorded."""

from __future__ import annotations

import csv
import json
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import Home, command

POLICY = {
    "version": "1",
    "default": "allow",
    "tools": {"echo": {"limits": [{"counter": "rate", "window": "day", "max": 3}]}},
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A machine on which a gateway ran, answered five calls, refused two of them, and was stopped."""
    home = Home(tmp_path_factory.mktemp("recorded"))
    with home.serve(policy=POLICY) as serving:
        client = serving.client()
        for number in range(5):
            client.call("echo", n=number, text="=cmd()")
    return home


def test_an_untouched_audit_verifies(recorded: Home) -> None:
    done = recorded.run("audit", "verify")
    assert (done.code, "as written" in done.out) == (0, True)
    assert recorded.run("audit", "verify", "--json").json["ok"] is True


def test_a_search_tells_the_day_of_each_call_and_says_when_there_is_none(recorded: Home) -> None:
    day = recorded.run("audit", "search", "--json").out.split('"at": "')[1][:10]
    lines = recorded.run("audit", "search").out.splitlines()
    assert len(lines) == 5
    assert all(line.split()[1] == day and len(line) <= 80 for line in lines)
    for name in ("search", "tail"):
        none = recorded.run("audit", name, "tool:nothing")
        assert (none.code, none.out, none.err) == (0, "", "No recorded call matches.\n")
        assert recorded.run("audit", name, "tool:nothing", "--json").err == ""


def test_a_changed_row_is_exit_5(recorded: Home, tmp_path: Path) -> None:
    copy = tmp_path / "audit.db"
    copy.write_bytes((recorded.state / "audit.db").read_bytes())
    (tmp_path / "audit.head").write_bytes((recorded.state / "audit.head").read_bytes())
    with sqlite3.connect(copy) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE rows SET body = replace(body, '\"deny\"', '\"allow\"')")
    database.close()
    done = recorded.run("audit", "verify", "--file", copy)
    assert done.code == 5
    assert "NOT as written" in done.out


def test_export_writes_every_record_whole(recorded: Home, tmp_path: Path) -> None:
    lines = recorded.run("audit", "export", "tool:echo").out.splitlines()
    assert [json.loads(line)["args"]["n"] for line in lines] == [0, 1, 2, 3, 4]
    out = tmp_path / "out.csv"
    assert recorded.run("audit", "export", "tool:echo", "--csv", "--out", out).code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with out.open(newline="") as file:
        assert [row["decision"] for row in csv.DictReader(file)] == ["allow"] * 3 + ["deny"] * 2
    assert recorded.run("audit", "export", "--out", out).code == 2


def test_stats_count_by_decision(recorded: Home) -> None:
    assert recorded.run("audit", "stats", "tool:echo", "--json").json["decision"] == {"allow": 3, "deny": 2}
    assert "echo" in recorded.run("audit", "stats").out


def test_replay_says_which_decisions_a_draft_flips(recorded: Home) -> None:
    same = recorded.run("policy", "replay", recorded.root / "policy.json", "--json")
    assert same.code == 0, same.out
    draft = recorded.write("draft.json", {"version": "1", "default": "allow", "tools": {}})
    done = recorded.run("policy", "replay", draft)
    assert done.code == 6
    assert done.out.startswith("2 of 5 recorded calls")
    assert [line for line in done.out.splitlines() if len(line) > 80] == []


def test_replay_does_not_guess_what_a_schema_would_decide(recorded: Home) -> None:
    draft = recorded.write(
        "validating.json", {"version": "1", "default": "deny", "tools": {"echo": {"validate": "schema"}}}
    )
    done = recorded.run("policy", "replay", draft)
    assert done.code == 0, done.out
    assert "cannot be known: echo 3 x" in done.out
    assert "the tool's schema: no running gateway knows it" in " ".join(done.out.split())
    explained = recorded.run("policy", "explain", draft, "--tool", "echo")
    assert "--upstream NAME takes it from the running gateway" in " ".join(explained.err.split())


def test_replay_and_explain_take_the_schemas_of_a_running_gateway(tmp_path: Path) -> None:
    home = Home(tmp_path)
    draft = home.write(
        "validating.json", {"version": "1", "default": "deny", "tools": {"echo": {"validate": "schema"}}}
    )
    with home.serve(policy=POLICY) as serving:
        serving.client().call("echo", text="a")
        assert home.run("policy", "replay", draft, "--json").json["cannot_be_known"] == []
        explained = home.run(
            "policy", "explain", draft, "--tool", "echo", "--upstream", "echo", "--args", '{"text": 1}'
        )
    assert "upstream has not listed" not in explained.out
    assert explained.err == ""


def test_suggest_prints_a_policy_that_allows_what_was_allowed(recorded: Home) -> None:
    done = recorded.run("policy", "suggest")
    assert done.code == 0
    path = recorded.write("suggested.json", done.out)
    assert recorded.run("policy", "check", path).code == 0
    assert json.loads(done.out)["tools"].keys() == {"echo"}
    assert (
        recorded.run("policy", "check", recorded.write("s.yaml", recorded.run("policy", "suggest", "--yaml").out)).code
        == 0
    )


def test_a_reader_that_goes_away_is_no_fault(recorded: Home) -> None:
    line = " ".join(f"'{word}'" for word in command("audit", "search"))
    done = subprocess.run(
        ["bash", "-c", f"{line} | head -n 1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, env=recorded.env, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
