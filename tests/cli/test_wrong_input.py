"""Wrong input and hostile surroundings: one sentence, the right code, never a traceback."""

from __future__ import annotations

import json
import subprocess
import unicodedata
from pathlib import Path

import pytest

from tests.cli.running import WITHIN_S, Done, Home, command

VALID: dict[str, object] = {"version": "1", "default": "allow", "tools": {}}


def shell(home: Home, redirection: str, *arguments: str) -> Done:
    """Run one command with its stdout led elsewhere by a shell."""
    line = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command(*arguments)]
    done = subprocess.run(
        line, capture_output=True, text=True, env=home.env, cwd=home.root, timeout=WITHIN_S, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("arguments", [["policy", "schema"], ["grant", "list", "--json"], ["--help"]])
def test_without_a_stdout_a_command_still_ends_well(home: Home, arguments: list[str]) -> None:
    done = shell(home, ">&-", *arguments)
    assert (done.code, done.err) == (0, "")


def test_a_full_disk_under_stdout_is_one_sentence(home: Home) -> None:
    done = shell(home, ">/dev/full", "policy", "schema")
    assert done.code == 1
    assert done.err.splitlines() == ["mcpwatch: cannot write the output: No space left on device"]


def test_a_file_where_the_state_folder_should_be_is_code_2(home: Home) -> None:
    file = home.write("file", "x")
    policy = home.write("policy.json", VALID)
    done = home.run("serve", "--upstream", "demo", "--policy", policy, "--state-dir", file)
    assert done.code == 2
    assert "is a file, not a folder" in done.err


def test_an_upstream_whose_program_is_absent_is_code_4(home: Home) -> None:
    policy = home.write("policy.json", VALID)
    done = home.run("serve", "--upstream", "x=/no/such/program", "--policy", policy, "--listen", "127.0.0.1:0")
    assert done.code == 4
    assert "/no/such/program" in done.err
    config = home.write("mcp.json", {"mcpServers": {"x": {"command": "/no/such/program"}}})
    done = home.run("serve", "--mcp-config", config, "--policy", policy, "--listen", "127.0.0.1:0")
    assert done.code == 4
    assert "/no/such/program" in done.err


@pytest.mark.parametrize("what", ["search", "tail", "export", "stats"])
def test_a_mistyped_option_is_not_a_word_to_look_for(home: Home, what: str) -> None:
    done = home.run("audit", what, "--fromat", "xml")
    assert done.code == 2
    assert "--fromat" in done.err


@pytest.mark.parametrize("wrong", ["", "relative"])
def test_a_home_that_is_no_whole_path_puts_nothing_where_we_started(home: Home, wrong: str) -> None:
    home.extra.update(HOME=wrong, XDG_STATE_HOME="", XDG_CONFIG_HOME="")
    done = home.run("status")
    assert done.code == 2
    assert str(home.root / "relative") not in done.err
    assert " /.local" not in done.err
    assert list(home.root.iterdir()) == []


def test_a_wrapped_file_names_a_program_that_can_be_started(home: Home) -> None:
    config = home.write("mcp.json", {"mcpServers": {"x": {"command": "cat"}}})
    assert home.run("wrap", config).code == 0
    entry = json.loads(Path(config).read_text())["mcpServers"]["x"]
    line = [entry["command"], *entry["args"][: entry["args"].index("stdio")], "--version"]
    done = subprocess.run(line, capture_output=True, text=True, env=home.env, timeout=WITHIN_S, check=False)
    assert done.stdout.startswith("mcpwatch ")


EVIL = "\x1b]52;c;QQ==\x07\x9b31m\u202e\u200b\U000e0041\ufe0f\u2028\r"


def acting(text: str) -> list[str]:
    """Characters that do something to a terminal or to those beside them."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_nothing_an_agent_wrote_acts_on_the_terminal_of_a_command(home: Home) -> None:
    with home.serve() as serving:
        serving.client().call(f"echo{EVIL}", **{EVIL: EVIL})
        reading = (["search"], ["tail"], ["show", "1"], ["stats"], ["export"])
        for arguments in reading:
            done = home.run("audit", *arguments)
            assert done.code == 0
            assert acting(done.out + done.err) == []
        suggested = home.run("policy", "suggest")
        assert acting(suggested.out + suggested.err) == []
        done = home.run("audit", "export", "--csv")
        assert acting(done.out) == []
    policy = home.write("evil.json", {"version": "1", "default": "deny", "tools": {f"t{EVIL}": {}}})
    for arguments in (["policy", "convert", policy, "-"], ["policy", "check", policy]):
        done = home.run(*arguments)
        assert acting(done.out + done.err) == []
    converted = home.run("policy", "convert", policy, "-")
    assert list(converted.json["tools"]) == [f"t{EVIL}"]


@pytest.mark.parametrize("group", ["policy", "audit", "grant", "upstream"])
def test_a_group_without_a_command_shows_its_help_and_nothing_else(home: Home, group: str) -> None:
    done = home.run(group)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Usage: mcpwatch {group} ")
    assert "..." not in done.err.split("Commands:")[1]


def test_an_unknown_client_is_told_also_when_no_gateway_runs(home: Home) -> None:
    done = home.run("connect", "netscape")
    assert (done.code, "Clients: claude" in done.err) == (2, True)


def test_a_url_of_another_kind_is_not_taken_for_a_program(home: Home) -> None:
    done = home.run("serve", "--upstream", "x=ftp://h/mcp")
    assert (done.code, "neither http:// nor https://" in done.err) == (2, True)


@pytest.mark.parametrize("command", ["search", "tail", "export", "stats"])
def test_the_help_of_commands_with_a_filter_explains_it(home: Home, command: str) -> None:
    shown = home.run("audit", command, "--help").out
    assert "dec:deny" in shown
    assert "arg:ns=prod" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
