"""`mcpwatch stdio`, `wrap` and `unwrap`: the gateway for clients that only start commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import ALLOW, SERVER, WITHIN_S, Done, Home, Serving, command, echo, eventually

Object = dict[str, Any]


class Talk:
    """A client on stdin and stdout of one command; a context manager, so that nothing is left behind."""

    def __init__(self, home: Home, *arguments: str | Path, whole: list[str] | None = None) -> None:
        self.process = subprocess.Popen(
            whole or command("stdio", *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=home.env, cwd=home.root,
        )  # fmt: skip

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=WITHIN_S)

    def send(self, message: Object | str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
        self.process.stdin.flush()

    def read(self) -> Object:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read()
        answer: Object = json.loads(line)
        return answer

    def open(self) -> Object:
        info = {"name": "talk", "version": "1"}
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
        self.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        greeting = self.read()
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return greeting

    def call(self, id_: int | str, tool: str, **arguments: Any) -> Object:
        params = {"name": tool, "arguments": arguments}
        self.send({"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params})
        return self.read()

    def end(self) -> Done:
        out, err = self.process.communicate(timeout=WITHIN_S)
        return Done(self.process.returncode, out, err)


@pytest.fixture
def serving(home: Home) -> Iterator[Serving]:
    with home.serve() as running:
        yield running


def test_it_pipes_into_the_running_gateway(home: Home, serving: Serving) -> None:
    with Talk(home, "--upstream", "echo") as talk:
        assert talk.open()["result"]["serverInfo"]["name"] == "echo"
        assert talk.call("a", "echo", text="hi")["result"]["content"][0]["text"] == '{"text": "hi"}'
        assert talk.end().code == 0
        rows = [json.loads(line) for line in home.run("audit", "search", "--json", "tool:echo").out.splitlines()]
        assert [row["client"]["name"] for row in rows] == ["talk"]
        assert serving.process.poll() is None


def test_answers_that_are_under_way_come_after_the_input_ended(home: Home, serving: Serving) -> None:
    assert serving.url
    with Talk(home) as talk:
        talk.open()
        for number in (1, 2):
            params = {"name": "slow", "arguments": {"seconds": 0.2}}
            talk.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
        done = talk.end()
        assert sorted(json.loads(line)["id"] for line in done.out.splitlines()) == [1, 2]


def test_a_malformed_line_is_answered_and_the_next_one_works(home: Home, serving: Serving) -> None:
    assert serving.url
    with Talk(home) as talk:
        talk.open()
        talk.send("{nonsense")
        assert talk.read()["error"]["code"] == -32700
        assert "result" in talk.call(7, "echo")
        talk.end()


def test_without_a_gateway_it_runs_one_and_ends_it_again(home: Home) -> None:
    home.write("policy.json", ALLOW)
    with Talk(home, "--upstream", echo()) as talk:
        assert talk.open()["result"]["serverInfo"]["name"] == "echo"
        assert home.run("status", "--json").json["endpoints"]
        assert "result" in talk.call(1, "echo")
        assert talk.end().code == 0
        eventually(lambda: home.run("status").code == 2)


def test_a_gateway_that_cannot_start_ends_it_with_its_words_and_code(home: Home) -> None:
    home.write("policy.json", ALLOW)
    done = Talk(home, "--upstream", echo("echo", "--fail")).end()
    assert done.code == 4
    assert "no region is set" in done.err


def test_an_upstream_that_the_gateway_does_not_have_is_exit_2(home: Home, serving: Serving) -> None:
    assert serving.url
    done = Talk(home, "--upstream", "other").end()
    assert done.code == 2
    assert "echo" in done.err


def test_a_wrapped_file_leads_through_the_gateway_and_can_be_unwrapped(home: Home) -> None:
    server = json.dumps({"command": sys.executable, "args": [str(SERVER)]})
    text = f'{{\n  // mine\n  "mcpServers": {{"My Echo": {server}}}\n}}'
    file = home.write(".mcp.json", text)
    home.write("policy.json", ALLOW)
    assert home.run("wrap", file).code == 0
    assert home.run("wrap", file).code == 2
    entry = json.loads(file.read_text())["mcpServers"]["My Echo"]
    with Talk(home, whole=[entry["command"], *entry["args"]]) as talk:
        assert talk.open()["result"]["serverInfo"]["name"] == "echo"
        assert "result" in talk.call(1, "echo")
        talk.end()
        assert home.run("unwrap", file).code == 0
        assert file.read_text() == text
        assert home.run("unwrap", file).code == 2


def test_a_wrapped_file_that_was_edited_is_not_overwritten_unasked(home: Home) -> None:
    file = home.write("mcp.json", {"servers": {"a": {"command": "x"}}})
    home.run("wrap", file)
    file.write_text("{}")
    assert home.run("unwrap", file).code == 2
    assert file.read_text() == "{}"
    assert home.run("unwrap", "--force", file).code == 0
    assert json.loads(file.read_text()) == {"servers": {"a": {"command": "x"}}}
