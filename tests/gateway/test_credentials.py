"""What a 401 of an upstream means to callers and to the operator, with and without credentials of the operator's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.link import Request, UpstreamError
from tests.gateway.house import House, call, house, request
from tests.gateway.recording_upstream import Heard, RecordingUpstream

CHALLENGE = 'Bearer resource_metadata="https://up/.well-known/oauth-protected-resource"'


class Key:
    """Credentials whose value a test turns over."""

    def __init__(self, value: bytes = b"", after: bytes = b"") -> None:
        self.value = value
        self.after = after
        self.wanted = value != b""
        self.renewed: list[bytes] = []

    def header(self) -> bytes:
        return self.value

    async def renew(self, refused: bytes) -> bool:
        self.renewed.append(refused)
        self.value = self.after or self.value
        return self.value not in (b"", refused)

    def refusal(self) -> tuple[str, str]:
        return "asks for a login (HTTP 401)", "Run: mcpwatch upstream login up"


class Guarded(RecordingUpstream):
    """Lets in whoever has the right Authorization; others get `status` with a challenge."""

    def __init__(self, right: str) -> None:
        super().__init__()
        self.right = right
        self.status = 401
        self.challenge = CHALLENGE

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") == self.right:
            return await super().handle(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.heard.append(Heard(request.method, headers, await request.read(), request))
        return web.json_response(
            {"error": "invalid_token"}, status=self.status, headers={"WWW-Authenticate": self.challenge}
        )


@asynccontextmanager
async def guarded(
    key: Key | None, right: str = "Bearer good", headers: dict[str, str] | None = None
) -> AsyncGenerator[tuple[House, Guarded, list[tuple[str, str]]]]:
    """A gateway whose upstream `up` wants the right Authorization; what the operator is told is in the list."""
    upstream, told = Guarded(right), list[tuple[str, str]]()
    async with house(upstream=upstream) as running:
        link = HttpLink(
            "up", upstream.url, credentials=key, headers=headers,
            on_change=lambda state, error, remedy: told.append((state, remedy)),
        )  # fmt: skip
        running.links["up"] = link
        try:
            yield running, upstream, told
        finally:
            await link.stop()


async def test_the_operators_login_is_sent_instead_of_the_callers() -> None:
    async with guarded(Key(b"Bearer good")) as (gateway, upstream, told):
        reply = await gateway.post(call())
        assert reply.text == "done"
        assert upstream.heard[-1].headers["authorization"] == "Bearer good"
        assert told == [("ready", "")]


async def test_a_refused_login_is_renewed_and_the_call_sent_again_once() -> None:
    key = Key(b"Bearer old", after=b"Bearer good")
    async with guarded(key) as (gateway, upstream, told):
        assert (await gateway.post(call(args={"n": 1}))).text == "done"
        sent = [heard for heard in upstream.heard if heard.body]
        assert [heard.headers["authorization"] for heard in sent] == ["Bearer old", "Bearer good"]
        assert sent[0].body == sent[1].body
        assert key.renewed == [b"Bearer old"]
        assert told == [("ready", "")]


async def test_a_login_that_stays_refused_is_the_operators_affair() -> None:
    async with guarded(Key(b"Bearer old", after=b"Bearer bad")) as (gateway, upstream, told):
        reply = await gateway.post(call())
        assert (reply.status, "www-authenticate" in reply.headers) == (200, False)
        assert reply.json["error"]["message"] == (
            'Upstream "up" asks for a login (HTTP 401). Only its operator can help: '
            "Run: mcpwatch upstream login up. The request was not carried out."
        )
        assert len([heard for heard in upstream.heard if heard.body]) == 2
        assert gateway.journal.outcomes[-1].outcome == "not_sent"
        assert told == [("failed", "Run: mcpwatch upstream login up")]


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_other_verbs_lead_no_caller_to_a_login_either(verb: str) -> None:
    async with (
        guarded(Key(b"Bearer old")) as (gateway, _, _told),
        gateway.http.request(verb, gateway.url, headers=gateway.headers()) as response,
    ):
        assert (response.status, response.headers.get("www-authenticate")) == (502, None)
        assert "mcpwatch upstream login up" in (await response.json())["error"]["message"]


async def test_without_any_credentials_of_the_operator_the_challenge_passes_and_is_told() -> None:
    async with guarded(Key()) as (gateway, _, told):
        reply = await gateway.post(request("tools/list"))
        assert (reply.status, reply.headers["www-authenticate"]) == (401, CHALLENGE)
        assert told == [("failed", "Run: mcpwatch upstream login up")]


async def test_a_401_that_asks_for_no_login_is_an_answer_like_another() -> None:
    async with guarded(Key()) as (gateway, upstream, told):
        upstream.challenge = "ApiKey"
        assert (await gateway.post(request("tools/list"))).status == 401
        assert told == [("ready", "")]


async def test_refused_configured_headers_are_the_operators_affair_too() -> None:
    async with guarded(None, headers={"authorization": "Bearer old"}) as (gateway, _, told):
        reply = await gateway.post(request("tools/list"))
        assert "refuses the configured headers (HTTP 401)" in reply.json["error"]["message"]
        assert told[-1][0] == "failed"


async def test_a_lack_of_rights_passes_without_its_challenge() -> None:
    async with guarded(Key(b"Bearer old")) as (gateway, upstream, _):
        upstream.status, upstream.challenge = 403, 'Bearer error="insufficient_scope"'
        reply = await gateway.post(request("tools/list"))
        assert (reply.status, "www-authenticate" in reply.headers) == (403, False)


async def test_a_configured_authorization_comes_before_a_login() -> None:
    async with guarded(Key(b"Bearer login"), headers={"Authorization": "Bearer good"}) as (gateway, upstream, _):
        assert (await gateway.post(call())).text == "done"
        assert upstream.heard[-1].headers["authorization"] == "Bearer good"


async def test_a_login_is_in_no_fault_that_an_upstream_forges() -> None:
    async with guarded(Key(b"Bearer good")) as (gateway, upstream, _):

        async def parrot(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            error = {"code": -1, "message": f"you sent {heard.headers['authorization']}"}
            return web.json_response({"jsonrpc": "2.0", "id": obj["id"], "error": error})

        upstream.answers |= {"tools/list": parrot, "initialize": parrot}
        with pytest.raises(UpstreamError) as caught:
            await gateway.links["up"].tools()
        assert "good" not in caught.value.error
        assert "<authorization>" in caught.value.error


async def test_an_upstream_without_a_login_can_be_started_and_logged_in_to_later() -> None:
    key = Key(b"Bearer old")
    async with guarded(key) as (gateway, _, told):
        await gateway.links["up"].start()
        assert told == [("starting", ""), ("failed", "Run: mcpwatch upstream login up")]
        key.value = b"Bearer good"
        assert (await gateway.post(call())).text == "done"
        assert told[-1] == ("ready", "")


async def test_headers_that_belong_to_each_request_cannot_be_configured() -> None:
    upstream = Guarded("Bearer good")
    async with house(upstream=upstream):
        headers = {"Authorization": "Bearer good", "Content-Length": "0", "Host": "evil", "content-type": "x/y"}
        link = HttpLink("up", upstream.url, headers=headers)
        answer = await link.send(Request("POST", [], b'{"jsonrpc":"2.0","method":"x"}', None, "", False, ""))
        await answer.aclose()
        await link.stop()
        assert upstream.heard[-1].headers["content-type"] == "application/json"
        assert upstream.heard[-1].headers["host"].startswith("127.0.0.1")
        assert upstream.heard[-1].body == b'{"jsonrpc":"2.0","method":"x"}'
