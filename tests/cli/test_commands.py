"""The commands around a running gateway, and what they say without one."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator

import pytest

from tests.cli.running import Home, Serving, echo, eventually

DENY_SECRET = '{"version": "1", "default": "allow", "tools": {"secret": {"deny_if": [{"conditions": []}]}}}'


@pytest.fixture
def serving(home: Home) -> Iterator[Serving]:
    with home.serve(policy=DENY_SECRET) as running:
        yield running


@pytest.mark.parametrize("arguments", [["status"], ["stop"], ["freeze"], ["thaw"], ["attach"], ["connect", "claude"]])
def test_without_a_gateway_the_sentence_says_so_and_the_code_is_2(home: Home, arguments: list[str]) -> None:
    done = home.run(*arguments)
    assert done.code == 2
    assert "no gateway is running" in done.err
    assert done.out == ""


def test_status_in_json_has_every_promised_field(home: Home, serving: Serving) -> None:
    serving.client().call("echo")
    status = home.run("status", "--json").json
    promised = "instance pid uptime_s endpoints policies upstreams counters holds frozen consoles audit"
    assert set(promised.split()) <= set(status)
    assert set(status["policies"]["echo"]) == {"file", "hash", "installed_at", "error"}
    assert {"state", "error"} <= set(status["upstreams"]["echo"])
    assert {"rows", "state", "error"} <= set(status["audit"])
    assert status["audit"]["rows"] > 0
    assert status["endpoints"] == serving.ready["endpoints"]


def test_what_people_read_fits_80_columns(home: Home, serving: Serving) -> None:
    serving.client().call("echo", text="x" * 200)
    serving.client().call("secret")
    read = (["status"], ["audit", "search"], ["audit", "tail"], ["audit", "show", "1"], ["audit", "stats"])
    for arguments in (*read, ["grant", "list"], ["upstream", "list"]):
        done = home.run(*arguments)
        assert done.code == 0, done.err
        assert [line for line in done.out.splitlines() if len(line) > 80] == []


def test_stop_ends_the_gateway_and_waits_for_it(home: Home, serving: Serving) -> None:
    assert home.run("stop").code == 0
    assert serving.process.wait(1) == 0
    assert home.run("stop").code == 2


def test_a_freeze_refuses_everything_until_the_thaw_and_survives_a_restart(home: Home) -> None:
    with home.serve() as serving:
        assert home.run("freeze", "--json").json == {"frozen": ["*"]}
        assert serving.client().call("echo")["isError"] is True
        assert home.run("status", "--json").json["frozen"] == ["*"]
    with home.serve() as serving:
        client = serving.client()
        assert client.call("echo")["isError"] is True
        assert home.run("thaw", "--json").json == {"frozen": []}
        assert client.call("echo")["isError"] is False


@pytest.mark.parametrize("option", ["--tool", "--grant"])
def test_freezing_a_name_that_nobody_has_is_done_and_warned_of(home: Home, serving: Serving, option: str) -> None:
    done = home.run("freeze", option, "ehco")
    assert (done.code, done.err.splitlines()[-1]) == (0, f"Frozen: {option[2:]} ehco.")
    assert done.err.startswith("warning: ")
    assert '"ehco"' in done.err
    home.run("freeze", "--tool", "echo", "--grant", "local")
    assert home.run("thaw", option, "ehco").err == "Still frozen: grant local, tool echo.\n"
    assert home.run("thaw").err == "Nothing is frozen any more.\n"


def test_one_tool_or_one_grant_can_be_frozen(home: Home, serving: Serving) -> None:
    client = serving.client()
    home.run("freeze", "--tool", "echo")
    assert client.call("echo")["isError"] is True
    assert client.call("boom")["content"][0]["text"] == "{}"
    home.run("thaw", "--tool", "echo")
    home.run("freeze", "--grant", "local")
    assert client.call("echo")["isError"] is True
    home.run("thaw")
    assert client.call("echo")["isError"] is False


def test_a_grant_is_printed_once_alone_and_works_at_once(home: Home, serving: Serving) -> None:
    added = home.run("grant", "add", "alice")
    token = added.out.strip()
    assert added.code == 0
    assert added.out.splitlines() == [token]
    assert serving.client(token).text("echo") == "{}"
    assert token not in home.run("grant", "list").out
    assert [g["label"] for g in home.run("grant", "list", "--json").json] == ["local", "alice"]
    newer = home.run("grant", "rotate", "alice").out.strip()
    eventually(lambda: _refused(serving, token))
    assert serving.client(newer).text("echo") == "{}"
    assert home.run("grant", "revoke", "alice").code == 0
    eventually(lambda: _refused(serving, newer))
    assert home.run("grant", "revoke", "alice").code == 2


def test_a_grant_with_its_own_policy_is_judged_by_it_from_its_first_call(home: Home, serving: Serving) -> None:
    strict = home.write("strict.json", {"version": "1", "default": "deny", "tools": {"boom": {}}})
    token = home.run("grant", "add", "bob", "--policy", strict).out.strip()
    client = serving.client(token)
    assert client.call("echo")["_meta"]["mcpwatch/decision"]["rule"] == "(default deny)"
    assert serving.client().text("echo") == "{}"
    home.write("strict.json", {"version": "1", "default": "allow", "tools": {}})
    eventually(lambda: not client.call("echo")["isError"], within_s=5)


def test_a_grant_with_an_invalid_policy_is_not_made(home: Home) -> None:
    bad = home.write("bad.json", "{}")
    assert home.run("grant", "add", "bob", "--policy", bad).code == 3
    assert home.run("grant", "list", "--json").json == []


def test_a_grant_for_one_upstream_does_not_reach_another(home: Home) -> None:
    with home.serve("--upstream", echo("one"), "--upstream", echo("two")) as serving:
        token = home.run("grant", "add", "carol", "--upstream", "one").out.strip()
        serving.url = serving.ready["endpoints"]["one"]
        assert serving.client(token).text("echo") == "{}"
        serving.url = serving.ready["endpoints"]["two"]
        with pytest.raises(urllib.error.HTTPError) as caught:
            serving.client(token)
        caught.value.close()


@pytest.mark.parametrize("client", ["claude", "claude-code", "codex", "cursor", "vscode", "gemini"])
def test_connect_prints_the_url_and_the_token(home: Home, serving: Serving, client: str) -> None:
    done = home.run("connect", client)
    assert serving.url in done.out
    assert serving.token in done.out


def test_connect_to_an_unknown_client_is_exit_2(home: Home, serving: Serving) -> None:
    assert serving.url
    assert home.run("connect", "emacs-of-the-future").code == 2


def test_every_call_is_in_the_audit_with_every_promised_field(home: Home, serving: Serving) -> None:
    client = serving.client()
    client.call("echo", password="hunter2-hunter2", text="hello")
    client.call("secret")
    rows = [json.loads(line) for line in home.run("audit", "search", "--json", "method:tools/call").out.splitlines()]
    promised = (
        "seq call_id at instance upstream grant client session method tool args decision rule reason policy counters "
        "held_ms approved_by outcome latency_ms result_bytes"
    )
    assert [row["tool"] for row in rows] == ["echo", "secret"]
    assert set(promised.split()) <= set(rows[0])
    assert rows[0]["client"] == {"name": "tester", "version": "1"}
    assert rows[0]["outcome"] == "ok"
    assert rows[1]["decision"] == "deny"
    assert "hunter2" not in json.dumps(rows)
    policy = home.run("status", "--json").json["policies"]["echo"]["hash"]
    assert rows[0]["policy"] == policy[:12]


def test_search_limits_filters_and_shows_one(home: Home, serving: Serving) -> None:
    client = serving.client()
    for number in range(5):
        client.call("echo", n=number)
    found = home.run("audit", "search", "tool:echo", "--json", "--limit", "2").out.splitlines()
    assert [json.loads(line)["args"]["n"] for line in found] == [3, 4]
    tail = home.run("audit", "tail", "-n", "1", "--json").out.splitlines()
    assert [json.loads(line)["args"]["n"] for line in tail] == [4]
    seq = json.loads(found[0])["seq"]
    assert home.run("audit", "show", str(seq), "--json").json["args"] == {"n": 3}
    assert home.run("audit", "show", "999999").code == 2
    assert home.run("audit", "search", "nosuch:x").code == 2
    assert home.run("audit", "search", "--since", "yesterday-ish").code == 2


def test_calls_without_a_token_are_rows_too(home: Home, serving: Serving) -> None:
    assert _refused(serving, "wrong")
    rows = [json.loads(line) for line in home.run("audit", "search", "--json", "dec:reject").out.splitlines()]
    assert len(rows) == 1
    assert rows[0]["grant"] == ""


def test_without_an_audit_the_commands_say_so(home: Home) -> None:
    done = home.run("audit", "search")
    assert done.code == 2
    assert "no audit" in done.err


def test_an_unknown_command_is_exit_2_with_a_sentence(home: Home) -> None:
    done = home.run("frobnicate")
    assert (done.code, done.out) == (2, "")
    assert "frobnicate" in done.err


def test_the_options_of_the_place_may_stand_before_the_command(home: Home) -> None:
    with home.serve("--instance", "far", "--state-dir", home.root / "far") as serving:
        place = ("--instance", "far", "--state-dir", str(home.root / "far"))
        assert home.run(*place, "status", "--json").json["pid"] == serving.process.pid
        assert home.run("status", "--json", *place).json["pid"] == serving.process.pid
        assert serving.ready["control"].startswith(str(home.root / "far"))


def _refused(serving: Serving, token: str) -> bool:
    try:
        serving.client(token)
    except urllib.error.HTTPError as fault:
        fault.close()
        return fault.code == 401
    return False


def test_a_grant_made_again_with_another_policy_is_judged_by_that_one_at_once(home: Home, serving: Serving) -> None:
    strict = home.write("strict.json", '{"version": "1", "default": "deny", "tools": {}}')
    first = home.run("grant", "add", "eve").out.strip()
    assert serving.client(first).call("echo")["isError"] is False
    home.run("grant", "revoke", "eve")
    second = home.run("grant", "add", "eve", "--policy", strict).out.strip()
    assert serving.client(second).call("echo")["isError"] is True


def test_check_knows_the_tools_of_a_running_gateway(home: Home, serving: Serving) -> None:
    assert serving.url
    draft = home.write("draft.json", '{"version": "1", "default": "deny", "tools": {"ecko": {}}}')
    assert '"echo"' in home.run("policy", "check", draft, "--upstream", "echo").out
    assert '"echo"' not in home.run("policy", "check", draft).out
    assert home.run("policy", "check", draft, "--upstream", "nobody").code == 2
