"""A gateway in front of an OAuth-protected server: the operator's login carries every call, and nothing else does."""

from __future__ import annotations

import dataclasses
import json
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mcpwatch.upstreams.logins.record import Login
from tests.cli.authority import World
from tests.cli.browsing import log_in
from tests.cli.running import WITHIN_S, Client, Home, Serving, eventually

LOGIN = "mcpwatch upstream login gh"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running


def serve(home: Home, world: World, *arguments: str) -> Serving:
    return home.serve("--upstream", f"gh={world.url}", *arguments)


def kept(home: Home) -> dict[str, Any]:
    return json.loads((home.state / "logins" / "gh.json").read_text())


def change(home: Home, **fields: object) -> None:
    path = home.state / "logins" / "gh.json"
    path.write_text(json.dumps(kept(home) | fields))


def state_of(home: Home) -> dict[str, Any]:
    return home.run("status", "--json").json["upstreams"]["gh"]


def error_of(client: Client, method: str = "tools/list") -> str:
    return client.ask(method, {})["error"]["message"]


def refused_greeting(serving: Serving) -> str:
    """The error with which the handshake is answered."""
    opening = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": opening}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    headers["Authorization"] = f"Bearer {serving.token}"
    request = urllib.request.Request(serving.url, json.dumps(message).encode(), headers)
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
        assert answer.headers.get("WWW-Authenticate") is None
        return json.loads(answer.read())["error"]["message"]


def assert_silent(home: Home, world: World, serving: Serving) -> None:
    """No token is in the log, in the audit or in any other file but the login."""
    secrets = [*world.provider.issued, serving.token]
    assert [secret for secret in secrets if secret in serving.errors] == []
    for path in home.state.rglob("*"):
        if path.is_file() and path.parent.name != "logins" and path.name != "local.token":
            data = path.read_bytes()
            assert [secret for secret in secrets if secret.encode() in data] == [], path


def test_calls_pass_with_the_operators_token_and_never_with_the_callers(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    with serve(home, world) as serving:
        client = serving.client()
        assert client.text("echo", text="hello") == "hello"
        assert state_of(home)["state"] == "ready"
        assert set(world.authorizations[2:]) == {f"Bearer {kept(home)['access_token']}"}
        assert not any(serving.token in str(headers) for _, headers, _ in world.resource.heard)
        assert_silent(home, world, serving)


def test_a_token_that_ended_is_renewed_once_for_thirty_calls(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    with serve(home, world) as serving:
        client = serving.client()
        client.call("echo")
        world.forget_access()
        with ThreadPoolExecutor(30) as pool:
            calls = [pool.submit(client.twin(1000 * n).text, "echo", text=str(n)) for n in range(1, 31)]
        assert [call.result() for call in calls] == [str(n) for n in range(1, 31)]
        assert world.provider.renewals == 1
        assert [form["resource"] for form in world.forms if form["grant_type"] == "refresh_token"] == [world.url]
        assert kept(home)["refresh_token"] in world.provider.refresh
        assert_silent(home, world, serving)


def test_a_token_is_renewed_before_it_ends_and_nobody_waits_for_it(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    change(home, issued_at_ms=0, expires_at_ms=kept(home)["issued_at_ms"] + 50_000)
    with serve(home, world) as serving:
        eventually(lambda: world.provider.renewals == 1)
        eventually(lambda: kept(home)["refresh_token"] in world.provider.refresh)
        assert serving.client().text("echo", text="hi") == "hi"
        assert world.provider.renewals == 1
        assert stat.S_IMODE((home.state / "logins" / "gh.json").stat().st_mode) == 0o600


def test_a_revoked_login_says_what_the_operator_has_to_do(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    with serve(home, world) as serving:
        client = serving.client()
        world.forget_all()
        told = error_of(client)
        assert told == (
            'Upstream "gh" needs a new login: the old one cannot be renewed (invalid_grant). '
            f"Only its operator can help: Run: {LOGIN}. The request was not carried out."
        )
        answer = client.ask("tools/call", {"name": "echo", "arguments": {}})
        assert LOGIN in answer["error"]["message"]
        row = json.loads(home.run("audit", "search", "--json", "tool:echo").out.splitlines()[-1])
        assert row["outcome"] == "not_sent"
        state = state_of(home)
        assert (state["state"], state["remedy"]) == ("failed", f"Run: {LOGIN}")
        assert "invalid_grant" in serving.errors
        assert "invalid_grant" in home.run("upstream", "list").out
        assert_silent(home, world, serving)


def test_a_login_made_while_it_runs_counts_from_the_next_call_on(home: Home, world: World) -> None:
    with serve(home, world) as serving:
        with pytest.raises(urllib.error.HTTPError) as caught:
            serving.client()
        with caught.value as fault:
            # Nothing of the operator's is involved: the server's own answer passes, whatever a client makes of it.
            assert fault.code == 401
        assert state_of(home)["remedy"] == f"Run: {LOGIN}"
        log_in(home, f"gh={world.url}")
        assert serving.client().text("echo", text="now") == "now"
        eventually(lambda: state_of(home)["state"] == "ready")
        home.run("upstream", "logout", "gh")
        assert "has no login any more" in refused_greeting(serving)


def test_a_login_that_ended_does_not_keep_the_gateway_from_starting(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    world.forget_all()
    with serve(home, world) as serving:
        assert LOGIN in refused_greeting(serving)
        log_in(home, "gh")
        assert serving.client().text("echo", text="again") == "again"


def test_a_token_is_not_sent_after_the_url_has_changed(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    with World() as other, home.serve("--upstream", f"gh={other.url}") as serving:
        assert "has another URL than its login was made for" in refused_greeting(serving)
        assert set(other.authorizations) == {""}
        assert other.forms == []
    assert_silent(home, world, serving)


def test_a_server_of_tokens_that_is_away_is_no_end_of_the_login(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    with serve(home, world) as serving:
        client = serving.client()
        good = kept(home)["token_endpoint"]
        change(home, token_endpoint="http://127.0.0.1:9/token")
        world.forget_access()
        assert "could not renew its login: cannot reach 127.0.0.1" in error_of(client)
        assert kept(home)["ended"] == ""
        change(home, token_endpoint=good)
        eventually(lambda: world.provider.renewals == 1 or "result" in client.ask("ping", {}), WITHIN_S)
        assert client.text("echo", text="back") == "back"


def test_what_is_kept_of_a_login_never_shows_a_secret_in_a_repr() -> None:
    login = Login("https://x/", "https://x/token", "id", "SECRET-1", refresh_token="SECRET-2", client_secret="SECRET-3")
    assert "SECRET" not in repr(login)
    assert Login.from_json(login.to_json()) == login
    assert dataclasses.replace(login, expires_at_ms=5).is_over(5)


def test_configured_headers_replace_the_callers_and_are_shown_nowhere(home: Home, world: World) -> None:
    home.extra["TOKEN"] = secret = "configured-3f9a7c"
    log_in(home, f"gh={world.url}")
    token = kept(home)["access_token"]
    home.extra["OPERATORS"] = token
    headers = {"Authorization": "Bearer ${OPERATORS}", "X-Key": "${TOKEN}", "X-Plain": "${UNSET:-plain}"}
    config = home.write(".mcp.json", {"mcpServers": {"GH Server": {"url": world.url, "headers": headers}}})
    with home.serve("--upstream", f"other={world.url}", "--mcp-config", str(config)) as serving:
        client = Client(serving.ready["endpoints"]["gh-server"], serving.token)
        client.headers |= {"X-Key": "theirs", "X-Mine": "kept"}
        assert client.text("echo", text="hi") == "hi"
        heard = world.resource.heard[-1][1]
        assert (heard["authorization"], heard["x-key"], heard["x-plain"]) == (f"Bearer {token}", secret, "plain")
        assert heard["x-mine"] == "kept"
        outputs = [
            home.run("status"),
            home.run("status", "--json"),
            home.run("audit", "search", "--json"),
            home.run("upstream", "doctor", "gh-server", "--mcp-config", config),
            home.run("upstream", "doctor", "gh-server", "--json"),
        ]
        assert outputs[-2].code == outputs[-1].code == 0
        world.forget_access()
        assert "refuses the configured headers (HTTP 401)" in error_of(client)
        printed = "".join(done.out + done.err for done in outputs) + serving.errors
        assert [s for s in (secret, token) if s in printed] == []
        home.extra["OPERATORS"] = "nothing-good"
        done = home.run("upstream", "doctor", "gh-server", "--mcp-config", config)
        assert (done.code, "Check its Authorization header" in done.out) == (4, True)
        assert "nothing-good" not in done.out + done.err
    for path in home.state.rglob("*"):
        if path.is_file() and path.parent.name != "logins":
            assert secret.encode() not in path.read_bytes(), path
