"""`mcpwatch serve` as a black box: started, called, changed while it runs, stopped, killed."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import ALLOW, Home, Serving, command, echo, eventually

LIMITED = {
    "version": "1",
    "default": "allow",
    "tools": {"echo": {"limits": [{"counter": "rate", "window": "hour", "max": 3}]}},
}


@pytest.fixture
def serving(home: Home) -> Iterator[Serving]:
    with home.serve() as running:
        yield running


def test_ready_is_the_only_line_on_stdout_and_names_everything(home: Home) -> None:
    with home.serve() as serving:
        assert set(serving.ready) == {"event", "instance", "pid", "endpoints", "control"}
        assert serving.ready["event"] == "ready"
        assert serving.ready["instance"] == "default"
        assert serving.ready["pid"] == serving.process.pid
        assert list(serving.ready["endpoints"]) == ["echo"]
        assert serving.url.startswith("http://127.0.0.1:")
        assert serving.url.endswith("/mcp/echo")
        assert stat.S_ISSOCK(os.stat(serving.ready["control"]).st_mode)
        assert serving.end() == 0
        assert serving.rest_of_stdout() == ""


def test_a_call_goes_through_and_comes_back(serving: Serving) -> None:
    client = serving.client()
    assert client.greeting["result"]["serverInfo"]["name"] == "echo"
    assert json.loads(client.text("echo", text="hé", n=10**30)) == {"text": "hé", "n": 10**30}
    assert client.call("boom")["isError"] is True


def test_without_a_token_nobody_gets_in(serving: Serving) -> None:
    for token in ("", "wrong"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            serving.client(token)
        assert caught.value.code == 401
        caught.value.close()


def test_open_lets_callers_in_without_a_token(home: Home) -> None:
    with home.serve("--open") as serving:
        assert serving.client("").text("echo", a=1) == '{"a": 1}'


def test_health_needs_no_token_and_tells_no_secret(serving: Serving) -> None:
    base = serving.url.removesuffix("/mcp/echo")
    with urllib.request.urlopen(f"{base}/healthz", timeout=5) as answer:
        assert serving.token not in answer.read().decode()


def test_everything_on_disk_is_private(home: Home, serving: Serving) -> None:
    serving.client().call("echo")
    for path in home.state.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE(home.state.stat().st_mode) == 0o700


def test_the_token_is_nowhere_in_the_log(serving: Serving) -> None:
    serving.client().call("echo", password="hunter2-hunter2")
    serving.end()
    assert serving.token not in serving.errors
    assert "hunter2-hunter2" not in serving.errors


def test_the_token_is_not_kept_where_a_caller_puts_it(home: Home, serving: Serving) -> None:
    token = serving.token
    serving.client().call("echo", note=f"my token is {token}", deep={"list": [f"({token})", token, {"x": token}]})
    kept = [path for path in home.state.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert [path.name for path in kept] == ["local.token"]


def test_state_that_others_could_write_is_pointed_out_and_closed(home: Home) -> None:
    with home.serve():
        home.run("freeze", "--tool", "x")
    for name in ("freeze.json", "grants.json"):
        (home.state / name).chmod(0o666)
    with home.serve() as serving:
        for name in ("freeze.json", "grants.json"):
            assert f"other users could write {home.state / name}" in serving.errors
            assert stat.S_IMODE((home.state / name).stat().st_mode) == 0o600


def test_a_policy_that_others_can_write_is_pointed_out(home: Home) -> None:
    policy = home.write("policy.json", ALLOW)
    policy.chmod(0o666)
    assert "other users can change this file" in home.run("policy", "check", policy).out
    with Serving(home, policy, "--upstream", echo(), "--policy", policy, "--listen", "127.0.0.1:0") as serving:
        assert "other users can change this file" in serving.errors


def test_a_second_gateway_is_refused_and_names_the_first(home: Home, serving: Serving) -> None:
    second = home.run("serve", "--upstream", echo(), "--listen", "127.0.0.1:0")
    assert second.code == 2
    assert str(serving.process.pid) in second.err
    assert second.out == ""
    assert serving.client().text("echo") == "{}"


def test_another_instance_may_run_beside_it(home: Home, serving: Serving) -> None:
    with home.serve("--instance", "other") as other:
        assert other.ready["instance"] == "other"
        assert home.run("status", "--json", "--instance", "other").json["pid"] == other.process.pid
        assert home.run("status", "--json").json["pid"] == serving.process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_leaves_no_process_behind(home: Home, number: signal.Signals) -> None:
    marker = f"--marker-{os.getpid()}-{number}"
    with home.serve("--upstream", echo("echo", marker)) as serving:
        serving.client().call("echo")
        assert _processes_with(marker)
        assert serving.end(number) == 0
    assert _processes_with(marker) == []
    assert not Path(serving.ready["control"]).exists()


def test_a_call_in_flight_is_answered_before_the_stop(home: Home) -> None:
    import threading

    with home.serve() as serving:
        client = serving.client()
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(client.text("slow", seconds=1)))
        thread.start()
        eventually(lambda: "slow" in str(home.run("audit", "search", "--json").out))
        assert serving.end() == 0
        thread.join(10)
    assert answers == ['{"seconds": 1}']


def test_a_hang_up_reloads_and_does_not_end_it(serving: Serving) -> None:
    client = serving.client()
    os.kill(serving.process.pid, signal.SIGHUP)
    assert client.text("echo") == "{}"
    assert serving.process.poll() is None


def test_an_edit_is_in_force_for_the_next_call_within_a_second(home: Home, serving: Serving) -> None:
    client = serving.client()
    assert client.text("echo") == "{}"
    home.write("policy.json", {"version": "1", "default": "deny", "tools": {}})
    eventually(lambda: client.call("echo").get("isError"), within_s=1.5)
    refused = client.call("echo")
    assert refused["content"][0]["text"] == '[POLICY DENIED] Tool "echo" is not permitted by policy'
    assert refused["_meta"]["mcpwatch/decision"]["rule"] == "(default deny)"


def test_a_broken_edit_keeps_the_last_good_policy_and_says_where(home: Home, serving: Serving) -> None:
    client = serving.client()
    home.write("policy.json", '{"version": "1", "default": "deny",\n "defalt": "deny"}')
    eventually(lambda: home.run("status", "--json").json["policies"]["echo"]["error"], within_s=5)
    error = home.run("status", "--json").json["policies"]["echo"]["error"]
    assert error.startswith(f"{serving.policy}:2:")
    assert "defalt" in error
    assert client.text("echo") == "{}"
    assert "defalt" in serving.errors
    home.write("policy.json", ALLOW)
    eventually(lambda: home.run("status", "--json").json["policies"]["echo"]["error"] is None, within_s=5)


def test_a_limit_holds_across_a_kill(home: Home) -> None:
    with home.serve(policy=LIMITED) as serving:
        client = serving.client()
        assert [client.call("echo").get("isError", False) for _ in range(2)] == [False, False]
        serving.end(signal.SIGKILL)
    with home.serve(policy=LIMITED) as serving:
        client = serving.client()
        assert client.call("echo")["isError"] is False
        refused = client.call("echo")
        assert refused["_meta"]["mcpwatch/decision"]["rule"] == "/tools/echo/limits/rate"
        counters = home.run("status", "--json").json["counters"]
        assert [(c["name"], c["used"], c["max"]) for c in counters] == [("rate", 3, 3)]


def test_an_invalid_policy_is_exit_3_with_every_problem(home: Home) -> None:
    path = home.write("bad.json", '{"version": "2",\n "default": "maybe",\n "tool": {}}')
    done = home.run("serve", "--upstream", echo(), "--policy", path, "--listen", "127.0.0.1:0")
    assert done.code == 3
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if line.startswith(f"{path}:")]
    assert {line.split(":")[1] for line in lines} == {"1", "2", "3"}


def test_an_upstream_that_dies_at_start_is_exit_4_with_its_last_words(home: Home) -> None:
    policy = home.write("p.json", ALLOW)
    done = home.run("serve", "--upstream", echo("eks", "--fail"), "--policy", policy, "--listen", "127.0.0.1:0")
    assert done.code == 4
    assert "no region is set" in done.err
    assert "Traceback" not in done.err


def test_an_upstream_that_cannot_be_reached_is_exit_4(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"far=http://127.0.0.1:{taken.getsockname()[1]}/mcp"
        policy = home.write("p.json", ALLOW)
        done = home.run("serve", "--upstream", url, "--policy", policy, "--listen", "127.0.0.1:0")
    assert done.code == 4
    assert "far" in done.err


def test_a_port_in_use_is_exit_2_with_the_port(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        policy = home.write("p.json", ALLOW)
        done = home.run("serve", "--upstream", echo(), "--policy", policy, "--listen", f"127.0.0.1:{port}")
    assert done.code == 2
    assert str(port) in done.err
    assert "--listen" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen", "0.0.0.0:0", "--open"],
        ["--listen", "nonsense"],
        ["--durability", "maybe"],
        ["--counters", "redis:nonsense"],
        ["--counters", "file://x"],
        ["--policy", "absent.json"],
        ["--tls-cert", "only-half.pem"],
        ["--call-timeout", "0"],
        ["--instance", "../x"],
        ["--log-level", "loud"],
        ["--no-such-option"],
        ["--traffic"],
    ],
)
def test_what_cannot_be_meant_is_exit_2_with_a_sentence(home: Home, arguments: list[str]) -> None:
    done = home.run("serve", "--upstream", echo(), *arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("mcpwatch: ")
    assert "Traceback" not in done.err


def test_without_any_upstream_the_first_start_says_what_to_do(home: Home) -> None:
    done = home.run("serve")
    assert done.code == 2
    assert "--upstream demo" in done.err


def test_the_upstream_of_the_last_start_is_remembered(home: Home) -> None:
    with home.serve():
        pass
    with Serving(home, home.root / "policy.json", "--listen", "127.0.0.1:0") as serving:
        assert list(serving.ready["endpoints"]) == ["echo"]


def test_a_missing_policy_is_written_and_said(home: Home) -> None:
    with Serving(home, home.root / "none", "--upstream", echo(), "--listen", "127.0.0.1:0") as serving:
        written = home.root / "config" / "mcpwatch" / "policies" / "echo.json"
        assert str(written) in serving.errors
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        assert serving.client().call("echo")["isError"] is True


def test_a_policy_in_the_current_folder_is_found(home: Home) -> None:
    policy = home.write("policy.json", ALLOW)
    with Serving(home, policy, "--upstream", echo(), "--listen", "127.0.0.1:0"):
        assert home.run("status", "--json").json["policies"]["echo"]["file"] == str(policy)


def test_a_tool_that_the_policy_names_and_nobody_offers_is_pointed_out(home: Home) -> None:
    policy: object = {"version": "1", "default": "deny", "tools": {"ecko": {}}}
    with home.serve(policy=policy) as serving:
        assert '"ecko"' in serving.errors
        assert '"echo"' in serving.errors


def test_two_upstreams_have_a_policy_each(home: Home) -> None:
    deny = home.write("deny.json", {"version": "1", "default": "deny", "tools": {}})
    more = ("--upstream", echo("one"), "--upstream", echo("two"), "--policy", f"two={deny}")
    with home.serve(*more) as serving:
        assert set(serving.ready["endpoints"]) == {"one", "two"}
        assert serving.client().text("echo") == "{}"
        serving.url = serving.ready["endpoints"]["two"]
        assert serving.client().call("echo")["isError"] is True


def test_arguments_behind_two_dashes_go_to_the_upstream(home: Home, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with home.serve("--", "--witness", witness) as serving:
        serving.client().call("echo", text="seen")
    assert "seen" in witness.read_text()


def test_a_dead_upstream_is_answered_and_started_again(serving: Serving) -> None:
    client = serving.client()
    answer = client.ask("tools/call", {"name": "die", "arguments": {}})
    assert "error" in answer or answer["result"]["isError"]
    eventually(lambda: "result" in _answer_or_error(serving))


def test_closed_pipes_do_not_end_it(home: Home) -> None:
    with home.serve("--log-level", "debug") as serving:
        assert serving.process.stdout is not None
        serving.process.stdout.close()
        home.write("policy.json", {"version": "1", "default": "deny", "tools": {}})
        client = serving.client()
        eventually(lambda: client.call("echo").get("isError"), within_s=5)
        assert serving.process.poll() is None


def _answer_or_error(serving: Serving) -> dict[str, object]:
    try:
        return serving.client().ask("tools/call", {"name": "echo", "arguments": {}})
    except (urllib.error.URLError, AssertionError, KeyError):
        return {}


def _processes_with(marker: str) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if marker in line and "mcpwatch" not in line and sys.executable in line:
            found.append(line)
    return found


def test_it_goes_on_when_its_terminal_disappears(home: Home) -> None:
    policy = home.write("policy.json", ALLOW)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home.root)
        more = ("--policy", policy, "--listen", "127.0.0.1:0", "--log-level", "debug")
        os.execve(sys.executable, command("serve", "--upstream", echo(), *more), home.env)
    seen = b""
    while b'"ready"' not in seen:
        seen += os.read(terminal, 65536)
    os.close(terminal)
    home.write("policy.json", {"version": "1", "default": "deny", "tools": {}})
    eventually(lambda: home.run("status", "--json").json["audit"]["rows"] > 2)
    assert home.run("stop").code == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
