"""One renewal for all callers, which nobody's going away ends; and what the operator is told."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from mcpwatch.errors import ConfigError
from mcpwatch.service.logins import Logins, UpstreamLogin
from mcpwatch.upstreams.logins.record import Login
from mcpwatch.upstreams.logins.store import LoginStore
from mcpwatch.upstreams.spec import UpstreamSpec
from tests.gateway.house import DEADLINE_S

SPEC = UpstreamSpec("gh", "http", url="https://up/mcp")


class Tokens:
    """A token endpoint whose answers wait until `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked = asyncio.Event()
        self.count = 0
        self.status = 200
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.count += 1
        self.asked.set()
        await self.go.wait()
        answer = {"access_token": f"new{self.count}", "refresh_token": f"next{self.count}"}
        return web.json_response(answer if self.status == 200 else {"error": "invalid_grant"}, status=self.status)


@asynccontextmanager
async def tokens() -> AsyncGenerator[Tokens]:
    endpoint = Tokens()
    app = web.Application()
    app.router.add_post("/token", endpoint.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    try:
        yield endpoint
    finally:
        endpoint.go.set()
        await runner.cleanup()


def stored(tmp_path: Path, endpoint: Tokens) -> LoginStore:
    store = LoginStore(tmp_path / "logins")
    store.write("gh", Login(SPEC.url, endpoint.url, "client", "old", refresh_token="first"))
    return store


def begun(store: LoginStore, spec: UpstreamSpec = SPEC) -> UpstreamLogin:
    login = UpstreamLogin(store, spec, ("--instance", "far"))
    login.start()
    return login


async def test_all_callers_wait_for_one_renewal(tmp_path: Path) -> None:
    async with tokens() as endpoint:
        login = begun(stored(tmp_path, endpoint))
        waiting = [asyncio.create_task(login.renew(b"Bearer old")) for _ in range(30)]
        await asyncio.wait_for(endpoint.asked.wait(), DEADLINE_S)
        endpoint.go.set()
        assert await asyncio.gather(*waiting) == [True] * 30
        assert (endpoint.count, login.header()) == (1, b"Bearer new1")
        assert await login.renew(b"Bearer old")
        assert endpoint.count == 1


async def test_a_caller_that_goes_away_does_not_end_the_renewal(tmp_path: Path) -> None:
    async with tokens() as endpoint:
        store = stored(tmp_path, endpoint)
        login = begun(store)
        caller = asyncio.create_task(login.renew(b"Bearer old"))
        await asyncio.wait_for(endpoint.asked.wait(), DEADLINE_S)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        endpoint.go.set()
        await asyncio.wait_for(login.close(), DEADLINE_S)
        kept = store.read("gh")
        assert kept is not None
        assert (kept.access_token, kept.refresh_token, login.header()) == ("new1", "next1", b"Bearer new1")


async def test_a_login_made_during_a_renewal_is_the_one_that_counts(tmp_path: Path) -> None:
    async with tokens() as endpoint:
        store = stored(tmp_path, endpoint)
        login = begun(store)
        caller = asyncio.create_task(login.renew(b"Bearer old"))
        await asyncio.wait_for(endpoint.asked.wait(), DEADLINE_S)

        def log_in() -> None:
            with store.locked("gh"):
                store.write("gh", Login(SPEC.url, endpoint.url, "client", "fresh", refresh_token="f"))

        made = asyncio.create_task(asyncio.to_thread(log_in))
        endpoint.go.set()
        await asyncio.gather(caller, made)
        await login.keep()
        assert login.header() == b"Bearer fresh"


async def test_a_refusal_for_good_names_the_command_that_leads_to_this_gateway(tmp_path: Path) -> None:
    async with tokens() as endpoint:
        endpoint.status = 400
        endpoint.go.set()
        login = begun(stored(tmp_path, endpoint))
        assert not await login.renew(b"Bearer old")
        assert not await login.renew(b"Bearer old")
        assert endpoint.count == 1
        error, remedy = login.refusal()
        assert "invalid_grant" in error
        assert remedy == "Run: mcpwatch upstream login gh --instance far"
        # Its token may still be good for a while.
        assert login.header() == b"Bearer old"


async def test_a_renewal_that_fails_for_now_is_not_tried_again_at_every_call(tmp_path: Path) -> None:
    async with tokens() as endpoint:
        endpoint.go.set()
        endpoint.status = 503
        login = begun(stored(tmp_path, endpoint))
        for _ in range(5):
            assert not await login.renew(b"Bearer old")
        assert endpoint.count == 1
        assert login.refusal()[0].startswith("could not renew its login: 127.0.0.1 answered")


async def test_what_cannot_be_written_lives_on_in_memory_and_is_written_later(tmp_path: Path) -> None:
    class Filling(LoginStore):
        """A disk that is full for a while."""

        full = False

        def write(self, name: str, login: Login) -> None:
            if self.full:
                raise ConfigError("no space left")
            super().write(name, login)

    async with tokens() as endpoint:
        endpoint.go.set()
        store = Filling(tmp_path / "logins")
        store.write("gh", Login(SPEC.url, endpoint.url, "client", "old", refresh_token="first"))
        login = begun(store)
        store.full = True
        assert await login.renew(b"Bearer old")
        await login.keep()
        before = store.read("gh")
        assert before is not None
        assert (login.header(), before.access_token) == (b"Bearer new1", "old")
        store.full = False
        await login.keep()
        after = store.read("gh")
        assert after is not None
        assert (after.access_token, after.refresh_token) == ("new1", "next1")
        assert not await login.keep()


async def test_a_login_for_another_url_is_never_sent(tmp_path: Path) -> None:
    async with tokens() as endpoint:
        store = stored(tmp_path, endpoint)
        login = begun(store, dataclasses.replace(SPEC, url="https://up.evil/mcp"))
        assert login.header() == b""
        assert not await login.renew(b"")
        assert login.wanted
        assert "another URL" in login.refusal()[0]
        assert endpoint.count == 0


async def test_a_change_from_outside_is_news_and_an_own_renewal_is_none(tmp_path: Path) -> None:
    async with tokens() as endpoint:
        endpoint.go.set()
        store = stored(tmp_path, endpoint)
        login = begun(store)
        assert not await login.keep()
        assert await login.renew(b"Bearer old")
        assert not await login.keep()
        store.remove("gh")
        assert await login.keep()
        assert (login.header(), login.wanted) == (b"", True)


async def test_the_end_of_a_login_is_news_once(tmp_path: Path) -> None:
    store = LoginStore(tmp_path / "logins")
    store.write("gh", Login(SPEC.url, "https://up/token", "client", "old", issued_at_ms=1, expires_at_ms=2))
    login = begun(store)
    assert [await login.keep() for _ in range(3)] == [True, False, False]
    store.write("gh", Login(SPEC.url, "https://up/token", "client", "new"))
    assert [await login.keep() for _ in range(2)] == [True, False]


def test_upstreams_with_credentials_of_their_own_or_none_have_no_login(tmp_path: Path) -> None:
    logins = Logins(LoginStore(tmp_path), (), lambda name: None)
    assert logins.of(UpstreamSpec("x", "stdio", command=("cat",))) is None
    assert logins.of(UpstreamSpec("x", "http", url="https://up/", headers={"authorization": "Bearer a"})) is None
    assert logins.of(UpstreamSpec("x", "http", url="https://up/", headers={"x-key": "a"})) is not None
