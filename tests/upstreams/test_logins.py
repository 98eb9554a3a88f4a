"""What is kept of a login, and how it is renewed at token endpoints that behave well or badly."""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.logins.record import Login, is_safe
from mcpwatch.upstreams.logins.renewal import NotRenewed, Unsaved, expiry, renew, revoke
from mcpwatch.upstreams.logins.standing import standing, standing_json
from mcpwatch.upstreams.logins.store import LoginStore

NOW_MS = 1_764_316_800_000
NEW = {"access_token": "new", "token_type": "bearer", "expires_in": 3600, "refresh_token": "next"}


class TokenEndpoint:
    """Answers every form with `status` and `body`, and keeps what it was sent."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/token"
        self.status = 200
        self.body: bytes = json.dumps(NEW).encode()
        self.headers: dict[str, str] = {}
        self.heard: list[tuple[dict[str, str], str]] = []

    def answer(self, status: int, body: object) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
def endpoint() -> Generator[TokenEndpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode(), True))
            serving.heard.append((form, self.headers.get("Authorization", "")))
            self.send_response(serving.status)
            for name, value in serving.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(serving.body)))
            self.end_headers()
            self.wfile.write(serving.body)

        def log_message(self, format: str, *args: object) -> None:
            """A test prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = TokenEndpoint(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield serving
    server.shutdown()
    server.server_close()
    thread.join()


def login(endpoint: TokenEndpoint, **fields: Any) -> Login:
    made = Login("https://up/mcp", endpoint.url, "client", "old", refresh_token="first")
    return dataclasses.replace(made, **fields)


def renewed(endpoint: TokenEndpoint, tmp_path: Path, **fields: Any) -> Login:
    store = LoginStore(tmp_path / "logins")
    store.write("gh", login(endpoint, **fields))
    result = renew(store, "gh", "old", lambda: NOW_MS)
    assert result is not None
    assert result == store.read("gh")
    return result


def test_a_renewed_login_has_the_new_tokens_and_all_else_of_the_old(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    result = renewed(endpoint, tmp_path, scope="read", resource="https://up/mcp")
    assert (result.access_token, result.refresh_token, result.scope) == ("new", "next", "read")
    assert (result.issued_at_ms, result.expires_at_ms) == (NOW_MS, NOW_MS + 3_600_000)
    form = {
        "grant_type": "refresh_token",
        "refresh_token": "first",
        "resource": "https://up/mcp",
        "client_id": "client",
    }
    assert endpoint.heard == [(form, "")]


def test_a_server_that_does_not_rotate_leaves_the_refresh_token(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    endpoint.answer(200, {"access_token": "new", "expires_in": "60"})
    result = renewed(endpoint, tmp_path)
    assert (result.refresh_token, result.expires_at_ms) == ("first", NOW_MS + 60_000)


@pytest.mark.parametrize(
    ("method", "in_form", "in_header"),
    [
        ("none", None, ""),
        ("client_secret_post", "s:é", ""),
        ("client_secret_basic", None, "Basic " + base64.b64encode(b"client:s%3A%C3%A9").decode()),
    ],
)
def test_the_client_says_who_it_is_as_it_is_registered(
    endpoint: TokenEndpoint, tmp_path: Path, method: str, in_form: str | None, in_header: str
) -> None:
    renewed(endpoint, tmp_path, client_secret="s:é", auth_method=method)
    form, header = endpoint.heard[0]
    assert (form.get("client_secret"), header) == (in_form, in_header)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": "invalid_grant", "error_description": "first is unknown"}, "invalid_grant"),
        (401, {"error": "invalid_client"}, "invalid_client"),
        (200, {"error": "bad_refresh_token"}, "bad_refresh_token"),
        (400, {"error": "first <b>!"}, "error"),
    ],
)
def test_a_refusal_for_good_ends_the_login_and_is_asked_once(
    endpoint: TokenEndpoint, tmp_path: Path, status: int, body: object, code: str
) -> None:
    endpoint.answer(status, body)
    result = renewed(endpoint, tmp_path)
    assert (result.ended, result.refresh_token, result.renews) == (code, "", False)
    assert renew(LoginStore(tmp_path / "logins"), "gh", "old", lambda: NOW_MS) == result
    assert len(endpoint.heard) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b"busy"),
        (500, {"error": "invalid_grant"}),
        (429, {"error": "slow_down"}),
        (400, {"error": "temporarily_unavailable"}),
        (404, b"<html>"),
        (200, b"[]"),
        (200, {"access_token": "a\r\nx-evil: 1"}),
        (200, {"access_token": ""}),
        (200, {"access_token": "new", "token_type": "mac"}),
        (200, {"access_token": 5}),
    ],
)
def test_what_may_pass_leaves_the_login_as_it_is(
    endpoint: TokenEndpoint, tmp_path: Path, status: int, body: object
) -> None:
    store = LoginStore(tmp_path / "logins")
    store.write("gh", login(endpoint))
    endpoint.answer(status, body)
    with pytest.raises(NotRenewed, match=rf"127\.0\.0\.1 answered with HTTP status {status}"):
        renew(store, "gh", "old", lambda: NOW_MS)
    assert store.read("gh") == login(endpoint)


def test_a_redirect_does_not_lead_the_refresh_token_elsewhere(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    endpoint.status, endpoint.headers = 307, {"Location": endpoint.url + "/other"}
    store = LoginStore(tmp_path / "logins")
    store.write("gh", login(endpoint))
    with pytest.raises(NotRenewed, match="307"):
        renew(store, "gh", "old", lambda: NOW_MS)
    assert len(endpoint.heard) == 1


def test_a_refresh_token_never_travels_unencrypted(tmp_path: Path) -> None:
    store = LoginStore(tmp_path / "logins")
    store.write("gh", Login("https://up/mcp", "http://192.0.2.1/token", "c", "old", refresh_token="first"))
    with pytest.raises(NotRenewed, match="not reached by https"):
        renew(store, "gh", "old", lambda: NOW_MS)


def test_what_another_process_has_renewed_is_taken_over(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    store = LoginStore(tmp_path / "logins")
    theirs = dataclasses.replace(login(endpoint), access_token="theirs")
    store.write("gh", theirs)
    assert renew(store, "gh", "old", lambda: NOW_MS) == theirs
    assert endpoint.heard == []


def test_many_at_once_renew_once(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    LoginStore(tmp_path / "logins").write("gh", login(endpoint))
    results: list[Login | None] = []

    def one() -> None:
        results.append(renew(LoginStore(tmp_path / "logins"), "gh", "old", lambda: NOW_MS))

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.access_token for result in results if result] == ["new"] * 20
    assert len(endpoint.heard) == 1


def test_a_renewed_login_that_cannot_be_written_is_handed_over(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    class Full(LoginStore):
        """A disk that is full."""

        def write(self, name: str, login: Login) -> None:
            raise ConfigError("no space")

    LoginStore(tmp_path / "logins").write("gh", login(endpoint))
    with pytest.raises(Unsaved) as caught:
        renew(Full(tmp_path / "logins"), "gh", "old", lambda: NOW_MS)
    assert caught.value.login.refresh_token == "next"


def test_revoking_names_the_refresh_token(endpoint: TokenEndpoint) -> None:
    endpoint.answer(200, b"")
    assert revoke(login(endpoint, revocation_endpoint=endpoint.url))
    assert endpoint.heard[0][0]["token"] == "first"
    assert not revoke(login(endpoint))
    assert not revoke(login(endpoint, revocation_endpoint="http://127.0.0.1:9/revoke"))


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://up/mcp", True),
        ("HTTPS://UP:443/mcp", True),
        ("https://up/mcp/", False),
        ("https://up/mcp?x=1", False),
        ("http://up/mcp", False),
        ("https://up:8443/mcp", False),
        ("https://up.evil/mcp", False),
    ],
)
def test_a_login_belongs_to_its_url(endpoint: TokenEndpoint, url: str, same: bool) -> None:
    assert login(endpoint).belongs_to(url) is same


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://x/", True),
        ("http://127.0.0.1:1/", True),
        ("http://[::1]:1/", True),
        ("http://localhost/", True),
        ("http://127.0.0.1.evil/", False),
        ("http://x/", False),
        ("ftp://127.0.0.1/", False),
    ],
)
def test_tokens_travel_encrypted_or_stay_on_this_machine(url: str, safe: bool) -> None:
    assert is_safe(url) is safe


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"url": "x", "token_endpoint": "y", "client_id": "z", "access_token": 5}',
        b'{"url": "x", "token_endpoint": "y", "client_id": "z", "access_token": "a\\nb"}',
        b'{"url": "x", "token_endpoint": "y", "client_id": "z", "access_token": "a", "expires_at_ms": true}',
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "gh.json").write_bytes(text)
    with pytest.raises(ConfigError, match="it is no login") as caught:
        LoginStore(tmp_path).read("gh")
    assert caught.value.remedy == "Run: mcpwatch upstream login gh"


@pytest.mark.parametrize("name", ["../x", "", "A", "a/b", "a" * 33, "x\n"])
def test_a_name_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name"):
        LoginStore(tmp_path).read(name)


def test_how_a_login_stands_is_said_in_words_and_as_json(endpoint: TokenEndpoint) -> None:
    until = {"issued_at_ms": NOW_MS - 3_600_000, "expires_at_ms": NOW_MS}
    fresh, plain = login(endpoint, **until), login(endpoint, refresh_token="", **until)
    assert standing(fresh, NOW_MS - 1) == "logged in until 2025-11-28 08:00 UTC, renews itself"
    assert standing(plain, NOW_MS - 1) == "logged in until 2025-11-28 08:00 UTC"
    assert standing(fresh, NOW_MS) == "logged in, renewed at the next use"
    assert standing(plain, NOW_MS) == "login expired: log in again"
    assert standing(login(endpoint), NOW_MS) == "logged in"
    assert standing(login(endpoint, ended="invalid_grant"), NOW_MS) == "login ended (invalid_grant): log in again"
    told = standing_json(plain, NOW_MS)
    assert told == {
        "url": "https://up/mcp",
        "state": "expired",
        "expires_at": "2025-11-28T08:00:00.000Z",
        "renews": False,
    }


@pytest.mark.parametrize(("life_ms", "lead_ms"), [(3_600_000, 60_000), (10_000, 2_000), (0, 0)])
def test_a_login_is_renewed_a_minute_or_a_fifth_before_its_end(
    endpoint: TokenEndpoint, life_ms: int, lead_ms: int
) -> None:
    made = login(endpoint, issued_at_ms=NOW_MS - life_ms, expires_at_ms=NOW_MS)
    assert not made.is_due(NOW_MS - lead_ms - 1)
    assert made.is_due(NOW_MS - lead_ms)


@pytest.mark.parametrize("said", [None, "", "x", -1, 0, 10**12, 1e400, [], "1e3"])
def test_an_age_that_makes_no_sense_is_none(said: object) -> None:
    assert expiry(said, NOW_MS) == 0
