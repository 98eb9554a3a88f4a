"""`mcpwatch upstream login` and `logout`, as a person meets them, against a real authorization server."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.authority import World
from tests.cli.browsing import browse, log_in, logging_in, redirect_of
from tests.cli.running import Done, Home


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running


def kept(home: Home, name: str = "gh") -> dict[str, Any]:
    return json.loads((home.state / "logins" / f"{name}.json").read_text())


def assert_silent(world: World, *outputs: Done) -> None:
    """No token, code or secret of any kind was printed."""
    printed = "".join(done.out + done.err for done in outputs)
    assert [secret for secret in world.provider.issued if secret in printed] == []


def test_a_login_in_the_browser_is_kept_for_this_url(home: Home, world: World) -> None:
    done = log_in(home, f"gh={world.url}")
    assert done.out.startswith("gh: logged in until ")
    assert done.out.strip().endswith("UTC, renews itself")
    login = kept(home)
    assert (login["url"], login["token_endpoint"]) == (world.url, f"{world.issuer}/token")
    assert login["access_token"] in world.provider.access
    assert world.authorizations[-1] == f"Bearer {login['access_token']}"
    assert_silent(world, done)


def test_what_is_asked_for_is_proof_of_possession_for_one_resource(home: Home, world: World) -> None:
    with logging_in(home, f"gh={world.url}") as running:
        asked = parse_qs(urlsplit(running.address).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["resource"] == [world.url]
        assert asked["redirect_uri"][0].startswith("http://127.0.0.1:")
        browse(running.address)
        assert running.end().code == 0
    assert world.forms[0]["resource"] == world.url


def test_the_address_can_be_pasted_when_the_browser_is_elsewhere(home: Home, world: World) -> None:
    with logging_in(home, f"gh={world.url}") as running:
        running.type(redirect_of(running.address))
        done = running.end()
    assert done.code == 0
    assert kept(home)["access_token"] in world.provider.access


def test_an_answer_with_another_state_is_refused_and_waiting_goes_on(home: Home, world: World) -> None:
    with logging_in(home, f"gh={world.url}") as running:
        back = redirect_of(running.address)
        state = parse_qs(urlsplit(back).query)["state"][0]
        for wrong in (back.replace(state, "x" * len(state)), back.partition("?")[0], f"{back}&state=twice"):
            assert browse(wrong) == 400
        assert browse(back.replace("/callback", "/other")) == 404
        running.type(back.replace(state, "other"))
        assert world.forms == []
        assert browse(back) == 200
        done = running.end()
    assert done.code == 0
    assert "wrong or missing state" in done.err


def test_a_refusal_in_the_browser_ends_the_login(home: Home, world: World) -> None:
    with logging_in(home, f"gh={world.url}") as running:
        asked = parse_qs(urlsplit(running.address).query)
        assert browse(f"{asked['redirect_uri'][0]}?error=access_denied&state={asked['state'][0]}") == 200
        done = running.end()
    assert (done.code, done.out) == (4, "")
    assert "the login was refused: access_denied" in done.err
    assert not (home.state / "logins" / "gh.json").exists()


def test_files_are_private_whatever_the_umask(home: Home, world: World) -> None:
    with logging_in(home, f"gh={world.url}", umask=0) as running:
        browse(running.address)
        assert running.end().code == 0
    folder = home.state / "logins"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop(folder) == 0o700
    assert set(modes.values()) == {0o600}


def test_without_a_terminal_it_ends_with_a_sentence_before_anything_is_asked(home: Home, world: World) -> None:
    done = home.run("upstream", "login", f"gh={world.url}")
    assert (done.code, done.out) == (2, "")
    assert "needs a terminal" in done.err
    assert world.resource.heard == []


def test_a_server_that_asks_for_no_login_gets_none(home: Home, world: World) -> None:
    with logging_in(home, f"gh={world.issuer}/nothing") as running:
        done = running.end()
    assert done.code == 4
    assert "did not ask for a login (HTTP status 404)" in done.err
    assert "Traceback" not in done.err


def test_a_server_that_cannot_be_reached_is_code_4(home: Home) -> None:
    with logging_in(home, "gh=http://127.0.0.1:9/mcp") as running:
        done = running.end()
    assert done.code == 4
    assert "cannot reach 127.0.0.1" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "no URL"),
        (["gh=http://example.com/mcp"], "not reached by https"),
        (["demo=cat"], "a program"),
        (["../x"], "cannot be the name"),
        (["gh=http://127.0.0.1:9/mcp", "--client-secret"], "belongs to --client-id"),
    ],
)
def test_what_cannot_be_logged_in_to_is_code_2(home: Home, arguments: list[str], said: str) -> None:
    with logging_in(home, *arguments) as running:
        done = running.end()
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_name_of_a_client_config_is_enough(home: Home, world: World) -> None:
    home.extra["WHERE"] = world.url
    config = home.write(".mcp.json", {"mcpServers": {"gh": {"type": "http", "url": "${WHERE}"}}})
    assert json.loads(log_in(home, "gh", "--mcp-config", config, "--json").out)["state"] == "valid"
    assert log_in(home, "gh").out.startswith("gh: logged in")


def test_a_configured_authorization_comes_before_a_login(home: Home, world: World) -> None:
    entry = {"url": world.url, "headers": {"authorization": "Bearer mine"}}
    config = home.write(".mcp.json", {"mcpServers": {"gh": entry}})
    with logging_in(home, "gh", "--mcp-config", config) as running:
        done = running.end()
    assert done.code == 2
    assert "configured Authorization header" in done.err


def test_list_and_doctor_tell_how_a_login_stands_and_never_the_token(home: Home, world: World) -> None:
    before = home.run("upstream", "doctor", f"gh={world.url}")
    assert before.code == 4
    assert "mcpwatch upstream login gh" in before.out
    log_in(home, f"gh={world.url}")
    outputs = [
        home.run("upstream", "list"),
        home.run("upstream", "list", "--json"),
        home.run("upstream", "doctor", f"gh={world.url}"),
        home.run("upstream", "doctor", "gh", "--json"),
    ]
    listed, as_json, doctor, doctor_json = outputs
    assert "logged in until" in next(line for line in listed.out.splitlines() if line.startswith("gh "))
    assert next(entry for entry in as_json.json if entry["name"] == "gh")["login"]["renews"] is True
    assert doctor.code == 0
    assert "  login      logged in until" in doctor.out
    assert doctor_json.json["login"]["state"] == "valid"
    assert max(len(line) for done in (listed, doctor) for line in done.out.splitlines()) <= 80
    assert_silent(world, *outputs)


def test_the_doctor_renews_a_login_that_is_over(home: Home, world: World) -> None:
    world.provider.lifetime_s = 1
    log_in(home, f"gh={world.url}")
    path = home.state / "logins" / "gh.json"
    path.write_text(json.dumps(kept(home) | {"expires_at_ms": 1}))
    world.forget_access()
    assert home.run("upstream", "doctor", "gh").code == 0
    assert world.provider.renewals == 1


def test_logout_revokes_and_removes(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    token = kept(home)["refresh_token"]
    done = home.run("upstream", "logout", "gh")
    assert (done.code, done.out) == (0, "")
    assert "revoked" in done.err
    assert world.provider.revoked == [token]
    assert not (home.state / "logins" / "gh.json").exists()
    again = home.run("upstream", "logout", "gh")
    assert again.code == 2
    assert 'no login at "gh"' in again.err
    assert_silent(world, done, again)


def test_a_client_that_the_operator_registered_is_used_again(home: Home, world: World) -> None:
    from mcp.shared.auth import OAuthClientInformationFull

    with logging_in(home, f"gh={world.url}", "--client-id", "ours") as running:
        # The server knows no such client, and shows its error in the browser.
        assert browse(running.address) == 400
        port = urlsplit(parse_qs(urlsplit(running.address).query)["redirect_uri"][0]).port
    back = [f"http://127.0.0.1:{port}/callback"]
    world.provider.clients["ours"] = OAuthClientInformationFull.model_validate(
        {"client_id": "ours", "redirect_uris": back, "token_endpoint_auth_method": "none"}
    )
    log_in(home, f"gh={world.url}", "--client-id", "ours", "--port", str(port))
    log_in(home, "gh")
    assert list(world.provider.clients) == ["ours"]
    assert Path(home.state / "logins" / "gh.json").exists()


def test_a_damaged_login_is_told_and_can_be_made_again(home: Home, world: World) -> None:
    log_in(home, f"gh={world.url}")
    (home.state / "logins" / "gh.json").write_text('{"url": 5}')
    assert "cannot be read" in home.run("upstream", "list").out
    assert log_in(home, f"gh={world.url}").code == 0
