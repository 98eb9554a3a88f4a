"""Where the eras differ, the upstream decides what its client hears: the gateway refuses nothing in its place."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from tests.gateway.house import MODERN, call, house, modern, request
from tests.gateway.recording_upstream import Heard

DENY: dict[str, Any] = {"version": "1", "default": "deny", "tools": {}}


async def no_such_method(heard: Heard, obj: dict[str, Any]) -> web.Response:
    error = {"code": -32601, "message": "Method not found"}
    return web.json_response({"jsonrpc": "2.0", "id": obj["id"], "error": error}, status=404)


@pytest.mark.parametrize("method", ["initialize", "resources/subscribe", "resources/unsubscribe", "ping"])
async def test_a_method_that_the_era_no_longer_has_is_refused_by_the_upstream(method: str) -> None:
    async with house() as h:
        h.upstream.answers[method] = no_such_method
        reply = await h.post(*modern(request(method)))
        assert (reply.status, reply.json["error"]["code"]) == (404, -32601)
        assert h.upstream.heard[0].headers["mcp-method"] == method


@pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
async def test_where_it_is_a_method_it_needs_its_uri(method: str) -> None:
    async with house() as h:
        reply = await h.post(request(method, {"_meta": {}}))
        assert (reply.status, reply.json["error"]["code"]) == (400, -32602)
        assert not h.upstream.heard


async def test_a_subscription_to_nothing_needs_the_word_of_a_policy_that_denies() -> None:
    async with house(DENY) as h:
        reply = await h.post(*modern(request("resources/subscribe")))
        assert reply.json["error"]["code"] == -32602
        assert not h.upstream.heard


async def test_initialize_keeps_its_routing_headers_under_a_later_version_only() -> None:
    routing = {"mcp-method": "initialize"}
    async with house() as h:
        await h.post(request("initialize", {}), {**routing, "mcp-protocol-version": MODERN})
        await h.post(request("initialize", {}), {**routing, "mcp-protocol-version": "2025-11-25"})
        assert [heard.headers.get("mcp-method") for heard in h.upstream.heard] == ["initialize", None]
        reply = await h.post(request("initialize", {}), {"mcp-method": "ping", "mcp-protocol-version": MODERN})
        assert (reply.status, reply.json["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_the_name_header_of_a_task_is_its_id(method: str) -> None:
    async with house() as h:
        message, headers = modern(request(method, {"taskId": "t1"}))
        assert (await h.post(message, {**headers, "mcp-name": "t1"})).status == 200
        assert h.upstream.heard[0].headers["mcp-name"] == "t1"
        reply = await h.post(message, {**headers, "mcp-name": "t2"})
        assert (reply.status, reply.json["error"]["code"]) == (400, -32020)
        assert len(h.upstream.heard) == 1
        assert (h.journal.rows[0].method, h.journal.rows[0].args) == (method, {"taskId": "t1"})


@pytest.mark.parametrize(
    ("method", "told", "outcome"),
    [
        ("tasks/get", {"status": "completed", "result": {"content": []}}, "ok"),
        ("tasks/get", {"status": "completed", "result": {"content": [], "isError": True}}, "tool_error"),
        ("tasks/get", {"status": "failed", "error": {"code": -32603, "message": "broken"}}, "rpc_error"),
        ("tasks/get", {"status": "cancelled"}, "cancelled"),
        ("tasks/cancel", {"resultType": "complete"}, "cancelled"),
    ],
)
async def test_a_modern_call_that_becomes_a_task_is_settled_when_the_task_ends(
    method: str, told: dict[str, Any], outcome: str
) -> None:
    async with house() as h:
        h.upstream.answers = {"tools/call": {"resultType": "task", "taskId": "t1", "status": "working"}}
        h.upstream.answers |= {"tasks/get": {"taskId": "t1", "status": "working"}}
        await h.post(*modern(call("work")))
        await h.post(*modern(request("tasks/get", {"taskId": "t1"}, 2)))
        work = h.journal.rows[0].call_id
        assert work not in [settled.call_id for settled in h.journal.outcomes]
        h.upstream.answers[method] = told
        await h.post(*modern(request(method, {"taskId": "t1"}, 3)))
        assert [s.outcome for s in h.journal.outcomes if s.call_id == work] == [outcome]
