"""The login flow against servers that mislead, refuse or answer nonsense: a sentence, and nothing of theirs in it."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from mcpwatch.upstreams.logins.flow import Client, LoginFailed, log_in
from mcpwatch.upstreams.logins.record import Login
from mcpwatch.upstreams.logins.redirect import way_back
from tests.gateway.house import DEADLINE_S

NOW_MS = 1_764_316_800_000
NONSENSE: list[tuple[str, Any]] = [
    ("metadata", {"issuer": "https://elsewhere"}),
    ("registration", (201, [])),
    ("registration", (201, {"client_id": "x", "token_endpoint_auth_method": "client_secret_post"})),
    ("token", (200, {"access_token": "SECRET\r\nx: y", "token_type": "Bearer"})),
    ("token", (200, {"access_token": "SECRET", "token_type": "mac"})),
    ("token", (200, ["SECRET"])),
    ("token", (302, {})),
]


class Stub:
    """A protected MCP server and its authorization server at one origin; every part of it can be replaced."""

    def __init__(self) -> None:
        self.origin = ""
        self.resource: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.registration: tuple[int, Any] = (201, {"client_id": "registered", "redirect_uris": []})
        self.token: tuple[int, Any] = (200, {"access_token": "SECRET-access", "token_type": "Bearer"})
        self.accepts = "Bearer SECRET-access"
        self.forms: list[dict[str, Any]] = []
        self.verbs: list[str] = []

    async def mcp(self, request: web.Request) -> web.Response:
        self.verbs.append(request.method)
        if request.headers.get("Authorization") != self.accepts:
            where = f'Bearer resource_metadata="{self.origin}/.well-known/oauth-protected-resource/mcp"'
            return web.Response(status=401, headers={"WWW-Authenticate": where})
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}}, headers={"Mcp-Session-Id": "s"})

    async def about_resource(self, request: web.Request) -> web.Response:
        about = {"resource": f"{self.origin}/mcp", "authorization_servers": [self.origin], **self.resource}
        return web.json_response(about)

    async def about_server(self, request: web.Request) -> web.Response:
        about: dict[str, Any] = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "response_types_supported": ["code"],
            **self.metadata,
        }
        return web.json_response(about)

    async def register(self, request: web.Request) -> web.Response:
        return web.json_response(self.registration[1], status=self.registration[0])

    async def exchange(self, request: web.Request) -> web.Response:
        self.forms.append(dict(await request.post()))
        return web.json_response(self.token[1], status=self.token[0])


@asynccontextmanager
async def stub() -> AsyncGenerator[Stub]:
    server = Stub()
    app = web.Application()
    app.router.add_route("*", "/mcp", server.mcp)
    app.router.add_get("/.well-known/oauth-protected-resource/mcp", server.about_resource)
    app.router.add_get("/.well-known/oauth-authorization-server", server.about_server)
    app.router.add_post("/register", server.register)
    app.router.add_post("/token", server.exchange)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def flow(server: Stub, *, client: Client | None = None, patience_s: float = DEADLINE_S, code: str = "C") -> Login:
    """A login with a person who says yes at once, unless `code` is ""."""
    shown: list[str] = []
    tasks: list[asyncio.Task[bytes]] = []

    async with way_back(0, shown.append) as redirect:

        def show(address: str) -> None:
            shown.append(address)
            if code:
                state = address.partition("state=")[2].partition("&")[0]
                tasks.append(asyncio.create_task(asyncio.to_thread(_get, f"{redirect.uri}?code={code}&state={state}")))

        try:
            url = f"{server.origin}/mcp"
            return await log_in(url, redirect, show, client=client, patience_s=patience_s, now_ms=lambda: NOW_MS)
        finally:
            await asyncio.gather(*tasks)


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=DEADLINE_S) as page:
        return page.read()


async def failing(server: Stub, **how: Any) -> str:
    """What is said of a login that fails."""
    with pytest.raises(LoginFailed) as caught:
        await flow(server, **how)
    said = f"{caught.value.message} {caught.value.remedy}"
    assert "SECRET" not in said
    lines = [line for line in (caught.value.message, *caught.value.remedy.splitlines()) if "://" not in line]
    assert max(map(len, lines)) <= 70
    return said


async def test_a_login_is_whole_and_the_session_it_opened_is_ended() -> None:
    async with stub() as server:
        made = await flow(server)
        assert (made.client_id, made.access_token, made.issuer) == ("registered", "SECRET-access", f"{server.origin}")
        assert (made.token_endpoint, made.resource) == (f"{server.origin}/token", f"{server.origin}/mcp")
        assert (made.given_client, made.refresh_token, made.expires_at_ms) == (False, "", 0)
        assert server.verbs == ["POST", "POST", "DELETE"]
        assert server.forms[0]["code_verifier"]


@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint"])
async def test_no_login_at_a_server_without_https(endpoint: str) -> None:
    async with stub() as server:
        server.metadata = {endpoint: "http://192.0.2.1/x"}
        assert "192.0.2.1 is not reached by https" in await failing(server)
        assert server.forms == []


async def test_a_refused_code_is_said_without_the_servers_words() -> None:
    async with stub() as server:
        server.token = (400, {"error": "invalid_grant", "error_description": "SECRET-code"})
        assert "Token exchange failed (400)" in await failing(server, code="SECRET-code")


async def test_a_resource_that_is_another_is_not_logged_in_to() -> None:
    async with stub() as server:
        server.resource = {"resource": "https://elsewhere/mcp"}
        assert "does not match" in await failing(server)
        assert server.forms == []


async def test_nobody_comes() -> None:
    async with stub() as server:
        assert "nobody logged in within" in await failing(server, patience_s=0.05, code="")


async def test_a_server_that_registers_nobody_says_what_to_do() -> None:
    async with stub() as server:
        server.registration = (403, {"error": "SECRET"})
        said = await failing(server)
        assert "does not register mcpwatch" in said
        assert "--client-id ID --port " in said


async def test_a_token_that_is_refused_at_once_is_not_kept() -> None:
    async with stub() as server:
        server.accepts = "Bearer other"
        assert "refuses the token" in await failing(server)


@pytest.mark.parametrize(("part", "nonsense"), NONSENSE)
async def test_nonsense_is_a_sentence(part: str, nonsense: Any) -> None:
    async with stub() as server:
        setattr(server, part, nonsense)
        await failing(server)


async def test_the_secret_of_a_given_client_goes_to_its_own_authorization_server_only() -> None:
    async with stub() as server:
        made = await flow(server, client=Client("ours", "SECRET-client"))
        assert (made.given_client, made.client_id, made.client_secret) == (True, "ours", "SECRET-client")
        assert server.forms[0]["client_secret"] == "SECRET-client"
        moved = await flow(server, client=Client("ours", "SECRET-client", "https://elsewhere"))
        assert (moved.given_client, moved.client_id) == (False, "registered")
        assert "client_secret" not in server.forms[1]


async def test_metadata_that_cannot_be_read_means_the_servers_own_origin() -> None:
    async with stub() as server:
        server.metadata, server.resource = {"token_endpoint": 5}, {"authorization_servers": []}
        made = await flow(server)
        assert (made.token_endpoint, made.issuer) == (f"{server.origin}/token", server.origin)
