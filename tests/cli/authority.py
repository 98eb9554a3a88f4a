"""An honest OAuth world of our own: an authorization server, and an MCP server that wants its tokens.

Both are the MCP SDK's server side, on two origins of the loopback, in a thread. What arrives is kept: the authorization
of each request to the MCP server, and every form that came to the token endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Generator
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    TokenError,
    construct_redirect_uri,
)
from mcp.server.auth.routes import create_auth_routes
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.applications import Starlette

from tests.cli.running import WITHIN_S


class Provider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Lets everybody in at once; tokens live `lifetime_s` seconds, refresh tokens are good for one use."""

    def __init__(self) -> None:
        self.lifetime_s = 3600
        self.says_expiry = True
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.issued: list[str] = []
        """Every secret that was ever given out."""
        self.renewals = 0
        self.revoked: list[str] = []

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        assert client_info.client_id
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        code = self._secret("code")
        self.codes[code] = AuthorizationCode(
            code=code,
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        return construct_redirect_uri(str(params.redirect_uri), code=code, state=params.state)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self._tokens(client.client_id, authorization_code.scopes, authorization_code.resource)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        if self.refresh.pop(refresh_token.token, None) is None:
            raise TokenError("invalid_grant", "it was used before")
        self.renewals += 1
        return self._tokens(client.client_id, scopes, refresh_token.resource)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.revoked.append(token.token)
        self.access.clear()
        self.refresh.clear()

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the MCP server asks."""
        return self.access.get(token)

    def _tokens(self, client_id: str, scopes: list[str], resource: str | None) -> OAuthToken:
        access, refresh = self._secret("access"), self._secret("refresh")
        self.access[access] = AccessToken(token=access, client_id=client_id, scopes=scopes, resource=resource)
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=scopes, resource=resource)
        expires_in = self.lifetime_s if self.says_expiry else None
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=expires_in, scope=" ".join(scopes))

    def _secret(self, kind: str) -> str:
        self.issued.append(f"{kind}-{secrets.token_urlsafe(24)}")
        return self.issued[-1]


class Recorder:
    """Keeps what comes in, in front of an application."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.heard: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = bytearray()

        async def listening() -> Any:
            event = await receive()
            body.extend(event.get("body", b""))
            return event

        try:
            await self._application(scope, listening, send)
        finally:
            self.heard.append((scope["path"], headers, bytes(body)))


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class World:
    """The two servers. `url` is that of the MCP server, `issuer` that of the authorization server."""

    def __init__(self) -> None:
        self.provider = Provider()
        self.issuer = ""
        self.url = ""
        self.authorization = Recorder(None)
        self.resource = Recorder(None)
        self._servers: list[_Server] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def authorizations(self) -> list[str]:
        """The Authorization header of each request that came to the MCP server, "" without one."""
        return [headers.get("authorization", "") for path, headers, _ in self.resource.heard if path == "/mcp"]

    @property
    def forms(self) -> list[dict[str, str]]:
        """What came to the token endpoint."""
        return [dict(parse_qsl(body.decode())) for path, _, body in self.authorization.heard if path == "/token"]

    def forget_access(self) -> None:
        """Refuse every access token from now on, as if its time were over."""
        self.provider.access.clear()

    def forget_all(self) -> None:
        """Refuse every token: the login is revoked."""
        self.provider.access.clear()
        self.provider.refresh.clear()

    def __enter__(self) -> World:
        self._thread.start()
        assert self._ready.wait(WITHIN_S)
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.should_exit = True
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        first, second = _socket(), _socket()
        self.issuer = f"http://127.0.0.1:{first.getsockname()[1]}"
        self.url = f"http://127.0.0.1:{second.getsockname()[1]}/mcp"
        routes = create_auth_routes(
            self.provider,
            AnyHttpUrl(self.issuer),
            client_registration_options=ClientRegistrationOptions(enabled=True),
            revocation_options=RevocationOptions(enabled=True),
        )
        self.authorization = Recorder(Starlette(routes=routes))
        self.resource = Recorder(_mcp_server(self.issuer, self.url, self.provider).streamable_http_app())
        pairs = ((self.authorization, first), (self.resource, second))
        self._servers = [_server(application) for application, _ in pairs]
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener]))
            for server, (_, listener) in zip(self._servers, pairs, strict=True)
        ]
        while not all(server.started for server in self._servers):
            await asyncio.sleep(0.005)
        self._ready.set()
        await asyncio.gather(*tasks)


def _mcp_server(issuer: str, url: str, provider: Provider) -> MCPServer:
    settings = AuthSettings(
        issuer_url=AnyHttpUrl(issuer), resource_server_url=AnyHttpUrl(url), validate_token_resource=True
    )
    server = MCPServer("protected", auth=settings, token_verifier=provider)

    @server.tool()
    async def echo(text: str = "") -> str:
        return text

    return server


def _server(application: Any) -> _Server:
    return _Server(
        uvicorn.Config(application, ws="none", access_log=False, log_config=None, timeout_graceful_shutdown=1)
    )


def _socket() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener
