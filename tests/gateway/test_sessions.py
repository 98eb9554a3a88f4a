"""Sessions, streams and everything an upstream says by itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from aiohttp import web

from mcpwatch.gateway.settings import Limits
from tests.gateway.house import DEADLINE_S, House, call, house, modern, request, until
from tests.gateway.recording_upstream import Heard, event

HIDE = {"version": "1", "default": "allow", "hide": ["secret"]}
TOOLS: list[dict[str, Any]] = [
    {"name": "a", "inputSchema": {}, "x": 1},
    {"name": "secret", "inputSchema": {}},
    {"name": "b"},
]


async def test_a_session_is_known_to_agents_by_an_id_of_our_own() -> None:
    async with house() as h:
        session = await h.open_session()
        assert (len(session), session != "upstream-session") == (32, True)
        reply = await h.post(call(), {"mcp-session-id": session})
        assert reply.text == "done"
        assert h.upstream.heard[-1].headers["mcp-session-id"] == "upstream-session"
        row = h.journal.rows[-1]
        assert (row.client, row.client_version, row.session) == ("tester", "9", session)


async def test_a_second_initialize_in_a_session_keeps_it() -> None:
    async with house() as h:
        session = await h.open_session()
        reply = await h.post(request("initialize", {"capabilities": {}}, 5), {"mcp-session-id": session})
        assert reply.headers["mcp-session-id"] == session


async def test_an_ended_session_is_unknown() -> None:
    async with house() as h:
        headers = {"mcp-session-id": await h.open_session()}
        async with h.http.delete(h.url, headers=h.headers(headers)) as response:
            assert response.status == 200
        assert h.upstream.heard[-1].headers["mcp-session-id"] == "upstream-session"
        assert (await h.post(call(), headers)).status == 404


async def test_a_session_the_upstream_forgot_is_forgotten() -> None:
    async with house() as h:
        headers = {"mcp-session-id": await h.open_session()}

        async def gone(heard: Heard, obj: dict[str, Any]) -> web.Response:
            return web.Response(status=404)

        h.upstream.answers["tools/call"] = gone
        assert (await h.post(call(), headers)).status == 404
        assert h.journal.outcomes[0].outcome == "transport_error"
        heard = len(h.upstream.heard)
        assert (await h.post(call(), headers)).status == 404
        assert len(h.upstream.heard) == heard


async def test_there_are_not_more_sessions_than_allowed_and_idle_ones_make_room() -> None:
    clock = [1_000_000_000]
    async with house(limits=Limits(sessions=2, session_idle_ms=1000), now_ms=lambda: clock[0]) as h:
        await h.open_session()
        await h.open_session()
        assert (await h.post(request("initialize", {}))).status == 503
        clock[0] += 20_000
        await h.open_session()
        await until(lambda: [heard.verb for heard in h.upstream.heard].count("DELETE") == 2)


async def test_hidden_tools_are_gone_from_every_list_and_nothing_else_is() -> None:
    async with house(HIDE) as h:
        result: dict[str, Any] = {
            "tools": TOOLS,
            "nextCursor": "next",
            "ttlMs": 5000,
            "cacheScope": "public",
            "_meta": {"k": 1},
        }
        h.upstream.answers["tools/list"] = result
        for h.upstream.as_sse in (False, True):
            assert (await h.post(request("tools/list"))).json["result"] == {
                **result,
                "tools": [TOOLS[0], TOOLS[2]],
                "ttlMs": 0,
                "cacheScope": "private",
            }


async def test_an_unfiltered_list_passes_byte_by_byte() -> None:
    async with house() as h:
        raw = b'{ "jsonrpc":"2.0", "id":1, "result":{"tools":[{"name":"\\u0061", "n":1.0e2}]} }'

        async def answer(heard: Heard, obj: dict[str, Any]) -> web.Response:
            return web.Response(body=raw, content_type="application/json")

        h.upstream.answers["tools/list"] = answer
        assert (await h.post(request("tools/list"))).body == raw


async def shown(h: House, session: dict[str, str], event_id: str) -> None:
    """Have the upstream send an event with this id on the listening stream of a session."""

    async def listened(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
        response = await h.upstream.stream(heard)
        await response.write(event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}, event_id))
        await response.write_eof()
        return response

    h.upstream.answers["GET"] = listened
    async with h.http.get(h.url, headers=h.headers(session)) as response:
        assert f"id: {event_id}\n" in await response.text()


async def test_hidden_tools_are_gone_from_a_resumed_stream() -> None:
    async with house(HIDE) as h:
        session = {"mcp-session-id": await h.open_session()}
        await shown(h, session, "4")
        headers = {**session, "last-event-id": "4"}

        async def resumed(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            assert heard.headers["last-event-id"] == "4"
            response = await h.upstream.stream(heard)
            await response.write(event({"jsonrpc": "2.0", "id": 9, "result": {"tools": TOOLS}}, "5"))
            await response.write_eof()
            return response

        h.upstream.answers["GET"] = resumed
        async with h.http.get(h.url, headers=h.headers(headers)) as response:
            text = await response.text()
        assert "id: 5\n" in text
        assert [tool["name"] for tool in json.loads(text.split("data: ")[1])["result"]["tools"]] == ["a", "b"]


async def test_resources_and_prompts_need_the_policys_word_under_default_deny() -> None:
    policy = {
        "version": "1",
        "default": "deny",
        "resources": {"default": "deny", "allow": ["test://*"]},
        "prompts": {"default": "deny", "allow": ["greet"]},
    }
    async with house(policy) as h:
        h.upstream.answers |= {
            "resources/list": {"resources": [{"uri": "test://a"}, {"uri": "file:///etc/passwd"}]},
            "prompts/list": {"prompts": [{"name": "greet"}, {"name": "leak"}]},
        }
        assert (await h.post(request("resources/list"))).json["result"] == {"resources": [{"uri": "test://a"}]}
        assert (await h.post(request("prompts/list"))).json["result"] == {"prompts": [{"name": "greet"}]}
        assert "result" in (await h.post(request("resources/read", {"uri": "test://a"}))).json
        heard = len(h.upstream.heard)
        for method, params in (
            ("resources/read", {"uri": "file:///etc/passwd"}),
            ("resources/subscribe", {"uri": "file:///etc/passwd"}),
            ("prompts/get", {"name": "leak"}),
        ):
            reply = await h.post(request(method, params))
            assert (reply.status, reply.json["error"]["message"][:16]) == (200, "[POLICY DENIED] ")
        assert len(h.upstream.heard) == heard
        assert [row.decision for row in h.journal.rows] == ["allow", "deny", "deny", "deny"]
        assert h.journal.rows[1].args == {"uri": "file:///etc/passwd"}


async def test_what_an_upstream_asks_reaches_a_client_that_can_and_its_answer_goes_back() -> None:
    async with house() as h:
        headers = {"mcp-session-id": await h.open_session({"sampling": {}})}
        answered = asyncio.Event()

        async def ask(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await response.write(event(request("sampling/createMessage", {}, "q1")))
            await answered.wait()
            await response.write(event({"jsonrpc": "2.0", "id": obj["id"], "result": {"content": []}}))
            await response.write_eof()
            return response

        h.upstream.answers["tools/call"] = ask
        async with h.http.post(h.url, json=call(), headers=h.headers(headers)) as response:
            question = await _next(response)
            assert (question["method"], question["id"]) == ("sampling/createMessage", "q1")
            answer = {"jsonrpc": "2.0", "id": "q1", "result": {"role": "assistant"}}
            assert (await h.post(answer, headers)).status == 202
            assert h.upstream.messages()[-1] == answer
            assert (await h.post(answer, headers)).status == 400
            answered.set()
            assert (await _next(response))["id"] == 1


async def test_what_a_client_cannot_do_is_refused_in_its_place() -> None:
    async with house() as h:
        headers = {"mcp-session-id": await h.open_session({"roots": {}})}

        async def ask(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            for number, method in enumerate(("sampling/createMessage", "tools/call", "initialize", "roots/list")):
                await response.write(event(request(method, {}, f"q{number}")))
            await response.write(event({"jsonrpc": "2.0", "id": obj["id"], "result": {"content": []}}))
            await response.write_eof()
            return response

        h.upstream.answers["tools/call"] = ask
        reply = await h.post(call(), headers)
        assert [message.get("method") for message in reply.messages] == ["roots/list", None]
        await until(lambda: sum("error" in message for message in h.upstream.messages()) == 3)


async def test_progress_and_other_notifications_pass_as_they_come() -> None:
    async with house() as h:
        go_on = asyncio.Event()
        progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 7, "progress": 1}}

        async def work(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await response.write(b": hello\n\nretry: 50\nid: 1\ndata:\n\n" + event(progress))
            await go_on.wait()
            await response.write(event({"jsonrpc": "2.0", "id": obj["id"], "result": {"content": []}}))
            await response.write_eof()
            return response

        h.upstream.answers["tools/call"] = work
        async with h.http.post(h.url, json=call(), headers=h.headers()) as response:
            assert response.headers["X-Accel-Buffering"] == "no"
            assert await _next(response) == progress
            assert h.journal.outcomes == []
            go_on.set()
            assert (await _next(response))["id"] == 1
            assert h.journal.outcomes[0].outcome == "ok"


async def test_events_of_many_megabytes_pass() -> None:
    async with house() as h:
        h.upstream.as_sse = True
        h.upstream.answers["tools/call"] = {"content": [{"type": "text", "text": "x" * (17 * 2**20)}]}
        assert len((await h.post(call())).text) == 17 * 2**20


async def test_an_idle_stream_is_kept_alive() -> None:
    async with house(limits=Limits(keepalive_ms=50)) as h:
        headers = {"mcp-session-id": await h.open_session()}

        async def listen(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await h.upstream.released.wait()
            return response

        h.upstream.answers["GET"] = listen
        async with h.http.get(h.url, headers=h.headers(headers)) as response:
            assert await asyncio.wait_for(response.content.readline(), DEADLINE_S) == b": keepalive\n"


async def test_a_policy_that_shows_other_tools_tells_those_who_listen() -> None:
    async with house() as h:
        headers = {"mcp-session-id": await h.open_session()}
        h.upstream.answers |= {
            "tools/list": {"tools": TOOLS},
            "GET": _listening(h),
            "subscriptions/listen": _listening(h),
        }
        await h.post(request("tools/list"), headers)
        body, own = modern(request("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, "sub"))
        async with (
            h.http.get(h.url, headers=h.headers(headers)) as legacy,
            h.http.post(h.url, json=body, headers=h.headers(own)) as new,
        ):
            h.install({"version": "1", "default": "allow", "tools": {"a": {}}})
            h.install(HIDE)
            assert (await _next(legacy))["method"] == "notifications/tools/list_changed"
            told = await _next(new)
            assert told["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "sub"}


async def test_a_cancelled_call_is_forwarded_as_such_and_ends() -> None:
    async with house() as h:
        headers = {"mcp-session-id": await h.open_session()}
        cancelled = asyncio.Event()

        async def work(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await cancelled.wait()
            await response.write(event({"jsonrpc": "2.0", "id": obj["id"], "error": {"code": -32800, "message": "c"}}))
            await response.write_eof()
            return response

        async def cancel(heard: Heard, obj: dict[str, Any]) -> None:
            cancelled.set()

        h.upstream.answers |= {"tools/call": work, "notifications/cancelled": cancel}
        waiting = asyncio.create_task(h.post(call(), headers))
        await until(lambda: h.upstream.calls())
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert (await h.post(note, headers)).status == 202
        assert (await waiting).json["error"]["code"] == -32800
        assert h.journal.outcomes[0].outcome == "cancelled"


async def test_an_upstream_that_dies_in_an_answer_is_told_at_once() -> None:
    async with house() as h:

        async def die(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await response.write(b": started\n\n")
            assert heard.request.transport is not None
            heard.request.transport.abort()
            return response

        h.upstream.answers["tools/call"] = die
        reply = await h.post(call())
        assert reply.json["error"]["code"] == -32603
        assert h.journal.outcomes[0].outcome == "unknown"


async def test_a_stream_that_ends_early_but_can_be_resumed_just_ends() -> None:
    async with house() as h:

        async def pause(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await response.write(b"id: 3\nretry: 10\ndata:\n\n")
            await response.write_eof()
            return response

        h.upstream.answers["tools/call"] = pause
        reply = await h.post(call(), {"mcp-session-id": await h.open_session()})
        assert reply.body == b"id: 3\nretry: 10\ndata:\n\n"


async def test_a_call_whose_answer_comes_on_a_resumed_stream_is_settled_there() -> None:
    async with house() as h:

        async def pause(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await response.write(b"id: 3\nretry: 10\ndata:\n\n")
            await response.write_eof()
            return response

        async def resumed(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
            response = await h.upstream.stream(heard)
            await response.write(event({"jsonrpc": "2.0", "id": 1, "result": {"content": [], "isError": True}}, "4"))
            await response.write_eof()
            return response

        h.upstream.answers |= {"tools/call": pause, "GET": resumed}
        headers = {"mcp-session-id": await h.open_session()}
        await h.post(call(), headers)
        assert h.journal.outcomes == []
        async with h.http.get(h.url, headers=h.headers({**headers, "last-event-id": "3"})) as response:
            assert (await _next(response))["id"] == 1
        assert h.journal.outcomes[0].outcome == "tool_error"


async def test_a_call_that_becomes_a_task_is_counted_once_and_settled_when_the_task_ends() -> None:
    async with house() as h:
        h.upstream.answers |= {
            "tools/call": {"task": {"taskId": "t1", "status": "working"}},
            "tasks/get": {"taskId": "t1", "status": "working"},
            "tasks/result": {"content": [], "isError": True},
        }
        await h.post(call("work", task={"ttl": 1000}))
        await h.post(request("tasks/get", {"taskId": "t1"}, 2))
        work, get = h.journal.rows
        assert [outcome.call_id for outcome in h.journal.outcomes] == [get.call_id]
        await h.post(request("tasks/result", {"taskId": "t1"}, 3))
        assert [(o.call_id, o.outcome) for o in h.journal.outcomes if o.call_id == work.call_id] == [
            (work.call_id, "tool_error")
        ]
        assert [(row.method, row.args) for row in h.journal.rows[1:]] == [
            ("tasks/get", {"taskId": "t1"}),
            ("tasks/result", {"taskId": "t1"}),
        ]


async def test_an_upstream_cannot_slip_a_batch_or_a_question_in_as_an_answer() -> None:
    async with house(HIDE) as h:
        listed = {"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS}}
        for body in ([listed], request("sampling/createMessage", {}, "q")):

            async def answer(heard: Heard, obj: dict[str, Any], body: Any = body) -> web.Response:
                return web.json_response(body)

            async def stream(heard: Heard, obj: dict[str, Any], body: Any = body) -> web.StreamResponse:
                response = await h.upstream.stream(heard)
                await response.write(event(body) + event({"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}))
                await response.write_eof()
                return response

            h.upstream.answers["tools/list"] = answer
            assert "error" in (await h.post(request("tools/list"))).json
            h.upstream.answers["tools/list"] = stream
            assert (await h.post(request("tools/list"))).messages == [
                {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}
            ]


async def test_listening_to_resources_needs_the_policys_word() -> None:
    policy = {"version": "1", "default": "deny", "resources": {"default": "deny", "allow": ["test://*"]}}
    async with house(policy) as h:
        for uris, heard in ((["test://a", "file:///x"], 0), (["test://a"], 1)):
            wanted = {"notifications": {"resourceSubscriptions": uris}}
            body, headers = modern(request("subscriptions/listen", wanted, "s"))
            reply = await h.post(body, headers)
            assert ("error" in reply.json, len(h.upstream.heard)) == (heard == 0, heard)


async def test_what_an_upstream_says_about_authorization_passes() -> None:
    async with house() as h:

        async def closed(heard: Heard, obj: dict[str, Any]) -> web.Response:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="x"', "Set-Cookie": "a=b"})

        h.upstream.answers["initialize"] = closed
        reply = await h.post(request("initialize", {}))
        assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="x"')
        assert "set-cookie" not in reply.headers


async def test_a_redirect_is_not_followed() -> None:
    async with house() as h:

        async def elsewhere(heard: Heard, obj: dict[str, Any]) -> web.Response:
            return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

        h.upstream.answers["tools/call"] = elsewhere
        async with h.http.post(h.url, json=call(), headers=h.headers(), allow_redirects=False) as response:
            assert response.status == 307
        assert len(h.upstream.heard) == 1


async def test_stopping_answers_everybody() -> None:
    async with house() as h:

        async def wait(heard: Heard, obj: dict[str, Any]) -> None:
            await h.upstream.released.wait()

        h.upstream.answers["tools/call"] = wait
        waiting = asyncio.create_task(h.post(call()))
        await until(lambda: h.upstream.calls())
        await h.gateway.drain(0.05)
        assert "stopping" in (await waiting).json["error"]["message"]
        assert (await h.post(call(message_id=2))).json["id"] == 2
        assert len(h.upstream.calls()) == 1
        assert [outcome.outcome for outcome in h.journal.outcomes] == ["unknown"]


def _listening(h: House) -> Any:
    async def listen(heard: Heard, obj: dict[str, Any]) -> web.StreamResponse:
        response = await h.upstream.stream(heard)
        await response.write(b": open\n\n")
        await h.upstream.released.wait()
        return response

    return listen


async def _next(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next message on a stream."""
    async with asyncio.timeout(DEADLINE_S):
        async for line in response.content:
            if line.startswith(b"data: "):
                return json.loads(line[6:])
    raise AssertionError("the stream ended")
