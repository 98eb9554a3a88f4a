"""What upstreams answer that is no answer, and that a client never waits for nothing nor is led past the gateway."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from tests.gateway.house import call, house, request
from tests.gateway.recording_upstream import Heard


@pytest.mark.parametrize("status", [200, 202, 204])
@pytest.mark.parametrize("method", ["tools/call", "tools/list", "ping"])
async def test_an_answer_that_is_none_becomes_an_error(status: int, method: str) -> None:
    async def no_answer(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=status)

    async with house() as gateway:
        gateway.upstream.answers[method] = no_answer
        reply = await gateway.post(call() if method == "tools/call" else request(method))
        kinds = [outcome.outcome for outcome in gateway.journal.outcomes]
    assert (reply.status, reply.json["id"], reply.json["error"]["code"]) == (200, 1, -32603)
    assert kinds == (["rpc_error"] if method == "tools/call" else [])


@pytest.mark.parametrize(
    "raw",
    [b"noise", b'{"jsonrpc":"2.0","id":1}', b'{"jsonrpc":"2.0","id":2,"result":{}}', b'{"jsonrpc":"2.0","result":{}}'],
)
async def test_an_answer_to_another_question_is_none(raw: bytes) -> None:
    async def other(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=raw, content_type="application/json")

    async with house() as gateway:
        gateway.upstream.answers["tools/call"] = other
        reply = await gateway.post(call())
    assert (reply.json["id"], reply.json["error"]["code"]) == (1, -32603)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nobody_past_the_gateway(status: int) -> None:
    async def elsewhere(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/past/the/gateway"})

    async with house() as gateway:
        gateway.upstream.answers["tools/call"] = elsewhere
        async with gateway.http.post(
            gateway.url, json=call(), headers=gateway.headers(), allow_redirects=False
        ) as response:
            assert response.status == status
            assert "location" not in response.headers
        assert [outcome.outcome for outcome in gateway.journal.outcomes] == ["transport_error"]
