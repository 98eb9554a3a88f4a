"""Renewing a login with its refresh token, and revoking one.

Not the SDK's: after a restart that one guesses where the token endpoint is, and takes every fault, also one of the
network, for the end of the login. Sources: RFC 6749, 2.3.1, 5 and 6; RFC 7009; RFC 8707.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.logins.record import Login, is_safe, is_token
from mcpwatch.upstreams.logins.store import LoginStore

_PATIENCE_S = 5.0
_ANSWER_BYTES = 256 * 1024
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})


class NotRenewed(Exception):
    """The authorization server could not be asked, or not now; the login may still be good. The text says why."""


def renew(store: LoginStore, name: str, refused: str, now_ms: Callable[[], int]) -> Login | None:
    """Renew the login whose access token is `refused`, and keep the new one; the login as it is then.

    One that somebody else has renewed meanwhile is left as it is. A server that refuses for good is remembered in
    `ended`. Blocks for some seconds at most. Raises NotRenewed; ConfigError when a file cannot be used.
    """
    with store.locked(name):
        login = store.read(name)
        if login is None or login.access_token != refused or not login.renews:
            return login
        status, answer = _post(login, login.token_endpoint, _refresh_form(login))
        renewed = _renewed(login, status, answer, now_ms())
        try:
            store.write(name, renewed)
        except ConfigError as fault:
            # The old refresh token may be spent: what is not on disk must at least live on in memory.
            raise Unsaved(renewed, fault) from None
        return renewed


class Unsaved(Exception):
    """`login` was renewed and could not be written, for `fault`."""

    def __init__(self, login: Login, fault: ConfigError) -> None:
        super().__init__(fault.message)
        self.login = login
        self.fault = fault


def revoke(login: Login) -> bool:
    """Have the server forget the tokens; whether it said that it did."""
    if not login.revocation_endpoint:
        return False
    kind = "refresh_token" if login.refresh_token else "access_token"
    # Servers made with the MCP SDK want the field of clients that have no secret, too; empty it means just that.
    form = {"token": login.refresh_token or login.access_token, "token_type_hint": kind, "client_secret": ""}
    try:
        return _post(login, login.revocation_endpoint, form)[0] == 200
    except NotRenewed:
        return False


def _refresh_form(login: Login) -> dict[str, str]:
    form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token}
    return form | ({"resource": login.resource} if login.resource else {})


def _renewed(login: Login, status: int, answer: dict[str, Any], now_ms: int) -> Login:
    access, error = answer.get("access_token"), answer.get("error")
    if status < 300 and is_token(access) and str(answer.get("token_type", "bearer")).lower() == "bearer":
        again = answer.get("refresh_token")
        return dataclasses.replace(
            login,
            access_token=str(access),
            refresh_token=str(again) if isinstance(again, str) and again else login.refresh_token,
            scope=str(answer["scope"]) if isinstance(answer.get("scope"), str) else login.scope,
            issued_at_ms=now_ms,
            expires_at_ms=expiry(answer.get("expires_in"), now_ms),
        )
    if status in (429, *range(500, 600)) or error in _PASSING or not isinstance(error, str):
        raise NotRenewed(f"{_host(login.token_endpoint)} answered with HTTP status {status}")
    return dataclasses.replace(login, ended=error_code(error), refresh_token="")


def expiry(expires_in: object, now_ms: int) -> int:
    """When a token ends, in milliseconds since 1970; 0 when that was not said. Some servers say it as text."""
    try:
        seconds = int(cast("Any", expires_in))
    except (TypeError, ValueError, OverflowError):
        return 0
    return now_ms + seconds * 1000 if 0 < seconds < 10**10 else 0


def error_code(text: str) -> str:
    """The error code of a server as it may be shown; its description may hold anything, and is not."""
    return text if text.replace("_", "").replace("-", "").isalnum() and text.isascii() and len(text) <= 40 else "error"


def _post(login: Login, url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
    if not is_safe(url):
        raise NotRenewed(f"{_host(url)} is not reached by https")
    form, headers = _as_client(login, form)
    request = urllib.request.Request(url, urlencode(form).encode(), headers)  # noqa: S310  # is_safe said so
    try:
        with _opener(url).open(request, timeout=_PATIENCE_S) as answer:
            return answer.status, _object(answer.read(_ANSWER_BYTES))
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code, _object(fault.read(_ANSWER_BYTES))
    except urllib.error.URLError as fault:
        why = getattr(fault.reason, "strerror", None) or fault.reason
        raise NotRenewed(f"cannot reach {_host(url)}: {why}") from None
    except (OSError, HTTPException, ValueError) as fault:
        raise NotRenewed(f"cannot reach {_host(url)}: {type(fault).__name__}") from None


def _as_client(login: Login, form: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The form and headers with which the client says who it is. Source: RFC 6749, 2.3.1."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    form = form | {"client_id": login.client_id}
    if login.client_secret and login.auth_method == "client_secret_basic":
        pair = f"{quote(login.client_id, safe='')}:{quote(login.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    elif login.client_secret and login.auth_method == "client_secret_post":
        form = form | {"client_secret": login.client_secret}
    return form, headers


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    # Within this machine no proxy may see it.
    direct = [urllib.request.ProxyHandler({})] if url.startswith("http://") else []
    return urllib.request.build_opener(_NoRedirect, *direct)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value: object = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the authorization server"
