"""One login, from the first question to the tokens: the MCP SDK's OAuth client does it (discovery, registration, PKCE).

The only place of the gateway's side that loads the SDK's client: it costs a second of start and is for a command that a
person waits at. Source: MCP 2025-11-25 and 2026-07-28, authorization.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError, OAuthRegistrationError
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl, ValidationError

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.logins.record import Login, is_safe, is_token
from mcpwatch.upstreams.logins.redirect import Redirect, Refused
from mcpwatch.upstreams.logins.renewal import expiry

_LEGACY = "2025-11-25"
_NETWORK_S = 30.0
_HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": _LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "mcpwatch", "version": "1"},
    },
}


class LoginFailed(ConfigError):
    """The login did not come about (exit 4)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """The client that the operator registered by hand, for servers that do not register one by themselves.

    `issuer` is the authorization server it belongs to, "" when not known yet; no other one gets its secret.
    """

    id: str
    secret: str = dataclasses.field(default="", repr=False)
    issuer: str = ""


async def log_in(
    url: str,
    redirect: Redirect,
    show: Callable[[str], None],
    *,
    client: Client | None = None,
    patience_s: float,
    now_ms: Callable[[], int],
) -> Login:
    """Log in at the MCP server of `url`. `show` gets the address that a person must open.

    Raises LoginFailed, also when nobody has come back after `patience_s` seconds.
    """
    # Its log has tracebacks and, in places, what the server said word for word.
    sdk = logging.getLogger("mcp")
    sdk.addHandler(logging.NullHandler())
    sdk.propagate = False
    flow = _Flow(url, redirect, show, client, patience_s)
    status = await flow.run()
    if flow.keep.tokens is None:
        raise LoginFailed(f"{_host(url)} did not ask for a login (HTTP status {status})", _no_login(status))
    if status in (401, 403):
        raise LoginFailed(f"{_host(url)} refuses the token it was just promised (HTTP {status})", "Ask its operator.")
    return flow.login(now_ms())


class _Keep:
    """The SDK's TokenStorage, in memory: what is worth keeping is written when all went well."""

    def __init__(self, client: OAuthClientInformationFull | None) -> None:
        self.tokens: OAuthToken | None = None
        self.client = client

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class _Flow:
    def __init__(
        self, url: str, redirect: Redirect, show: Callable[[str], None], client: Client | None, patience_s: float
    ) -> None:
        self._url = url
        self._redirect = redirect
        self._port = urlsplit(redirect.uri).port or 0
        self._show = show
        self._patience_s = patience_s
        back = [AnyUrl(redirect.uri)]
        self._given = None if client is None else _given_client(client, back)
        self.keep = _Keep(self._given)
        self._oauth = OAuthClientProvider(
            url,
            # "none" is how a public client proves itself, not a password.
            OAuthClientMetadata(client_name="mcpwatch", redirect_uris=back, token_endpoint_auth_method="none"),  # noqa: S106
            self.keep,
            redirect_handler=self._open,
            callback_handler=self._come_back,
        )

    async def run(self) -> int:
        """Ask the server something that needs a login; the status of its last answer. Raises LoginFailed."""
        try:
            return await self._ask()
        except TimeoutError:
            raise LoginFailed(f"nobody logged in within {self._patience_s / 60:.0f} minutes", "Try again.") from None
        except Refused as fault:
            raise LoginFailed(f"the login was refused: {fault}", "Try again, and allow it in the browser.") from None
        except OAuthRegistrationError:
            raise LoginFailed(
                "the authorization server does not register mcpwatch by itself",
                f"Register one for {self._redirect.uri}, then add:\n  --client-id ID --port {self._port}",
            ) from None
        except OAuthFlowError as fault:
            raise LoginFailed(f"the login failed: {_said(fault)}", "Try again, or ask the server's operator.") from None
        except httpx2.HTTPError as fault:
            raise LoginFailed(
                f"cannot reach {_asked(fault, self._url)}: {type(fault).__name__}", "Check the URL."
            ) from None
        except (ValidationError, ValueError):
            raise LoginFailed("the authorization server answered what is not OAuth", "Ask its operator.") from None

    def login(self, now_ms: int) -> Login:
        """What is to be kept. Raises LoginFailed when it could not be used."""
        tokens, client, about = self.keep.tokens, self.keep.client, self._oauth.context.oauth_metadata
        assert tokens is not None
        if client is None or not is_token(tokens.access_token):
            raise LoginFailed("the authorization server gave a token that cannot be sent", "Ask its operator.")
        origin = self._oauth.context.get_authorization_base_url(self._url)
        context = self._oauth.context
        return Login(
            url=self._url,
            token_endpoint=str(about.token_endpoint) if about else f"{origin}/token",
            client_id=client.client_id,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token or "",
            client_secret=client.client_secret or "",
            auth_method=client.token_endpoint_auth_method or "none",
            given_client=client is self._given,
            issuer=str(about.issuer) if about else origin,
            redirect_port=self._port,
            resource=context.get_resource_url() if context.should_include_resource_param(_LEGACY) else "",
            scope=tokens.scope or "",
            revocation_endpoint=str(about.revocation_endpoint) if about and about.revocation_endpoint else "",
            issued_at_ms=now_ms,
            expires_at_ms=expiry(tokens.expires_in, now_ms),
        )

    async def _ask(self) -> int:
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": _LEGACY}
        async with httpx2.AsyncClient(auth=self._oauth, timeout=_NETWORK_S) as http:
            async with http.stream("POST", self._url, json=_HELLO, headers=headers) as answer:
                status, session = answer.status_code, answer.headers.get("mcp-session-id")
            if session:
                await http.request("DELETE", self._url, headers=headers | {"Mcp-Session-Id": session})
        return status

    async def _open(self, address: str) -> None:
        about = self._oauth.context.oauth_metadata
        for endpoint in (address, *((str(about.token_endpoint),) if about else ())):
            if not is_safe(endpoint):
                raise LoginFailed(f"{_host(endpoint)} is not reached by https", "A login there would not be safe.")
        self._redirect.begin(parse_qs(urlsplit(address).query).get("state", [""])[0])
        self._show(address)

    async def _come_back(self) -> AuthorizationCodeResult:
        async with asyncio.timeout(self._patience_s):
            given = await self._redirect.answer()
        return AuthorizationCodeResult(code=given["code"], state=given.get("state"), iss=given.get("iss"))


def _given_client(client: Client, back: list[AnyUrl]) -> OAuthClientInformationFull:
    method = "client_secret_post" if client.secret else "none"
    return OAuthClientInformationFull(
        client_id=client.id,
        client_secret=client.secret or None,
        redirect_uris=back,
        token_endpoint_auth_method=method,
        issuer=client.issuer or None,
    )


def _no_login(status: int) -> str:
    return "It can be used without one." if status < 300 else "Check that the URL is the server's MCP endpoint."


def _said(fault: OAuthFlowError) -> str:
    """The first clause of the SDK's message: what follows a colon is a server's own words, or a secret."""
    return str(fault).partition(": ")[0].strip()[:200]


def _asked(fault: httpx2.HTTPError, url: str) -> str:
    try:
        return fault.request.url.host
    except RuntimeError:
        return _host(url)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
