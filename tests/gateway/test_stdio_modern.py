"""Modern clients in front of a stdio server: one process for all of them, and nobody's messages cross."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from mcpwatch.gateway.link import Answer, UpstreamError
from mcpwatch.gateway.stdio_link import shared
from tests.gateway.stdio_talk import META, Client, Watched, header, said, scripted, started, until

LOGS: dict[str, Any] = {META + "logLevel": "info"}


def modern(watched: Watched, caller: str = "agent") -> Client:
    return Client(watched.link, modern=True, caller=caller)


async def next_said(answer: Answer) -> dict[str, Any]:
    assert answer.events is not None
    async with asyncio.timeout(10):
        event = await anext(answer.events)
    return json.loads(event.data or b"null")


async def test_modern_callers_share_one_process_and_have_no_session() -> None:
    async with started() as watched:
        one, two = modern(watched, "one"), modern(watched, "two")
        assert await one.say("pid") == await two.say("pid")
        assert header(await one.call("echo"), b"mcp-session-id") == ""


async def test_thirty_clients_with_equal_ids_and_tokens_get_their_own_answers_only() -> None:
    async with started() as watched:
        clients = [modern(watched, f"caller {number}") for number in range(30)]
        calls = [client.call("shuffle", {"of": 30, "text": client.caller}, id=1) for client in clients]
        for client, answer in zip(clients, await asyncio.gather(*calls), strict=True):
            message = (await said(answer))[-1]
            assert message["id"] == 1
            assert message["result"]["content"][0]["text"] == client.caller
        streams = await asyncio.gather(*(c.call("progress", {"steps": 3}, id="x", progressToken="t") for c in clients))
        for answer in streams:
            *steps, last = await said(answer)
            assert [(m["params"]["progressToken"], m["params"]["progress"]) for m in steps] == [
                ("t", n) for n in range(3)
            ]
            assert last["id"] == "x"


async def test_the_id_is_exchanged_and_every_other_byte_of_an_answer_is_kept() -> None:
    async with started() as watched:
        client = modern(watched)
        rest = '"result": {"n": 123456789012345678901234567890, "t":1.10, "u":"\u2028é"}'
        for line in ('{"jsonrpc": "2.0", "id": $ID, ' + rest + "}", "{" + rest + ', "jsonrpc": "2.0", "id": $ID}'):
            answer = await client.call("raw", {"line": line}, id='mi"ne')
            assert answer.body == line.replace("$ID", '"mi\\"ne"').encode()
        odd = '{"id": $ID, "jsonrpc": "2.0", ' + rest + "}"
        answer = await client.call("raw", {"line": odd}, id=2)
        assert json.loads(answer.body or b"") == json.loads(odd.replace("$ID", "2"))


async def test_big_integers_and_strange_characters_reach_the_server_exactly() -> None:
    async with started() as watched:
        args = {"n": 123456789012345678901234567890, "s": "\u2028\r\n\x00é"}
        assert json.loads(await modern(watched).say("number", args)) == args


@pytest.mark.parametrize(("code", "status"), [(-32601, 404), (-32602, 400), (-32603, 200), (-32021, 400), (7, 200)])
async def test_an_error_has_the_http_status_the_sdk_gives_it(code: int, status: int) -> None:
    async with started() as watched:
        answer = await modern(watched).call("fail", {"code": code})
        assert answer.status == status
        assert (await said(answer))[-1]["error"]["code"] == code


async def test_get_and_delete_do_not_exist() -> None:
    async with started() as watched:
        for answer in (await modern(watched).get(), await modern(watched).delete()):
            assert answer.status == 405
            assert header(answer, b"allow") == "POST"


CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "echo",
        "arguments": {},
        "_meta": {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {}},
    },
}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({b"mcp-method": b"tools/list"}, -32020),
        ({b"mcp-name": b"other"}, -32020),
        ({b"mcp-protocol-version": b"2025-11-25"}, -32020),
        ({b"mcp-name": b"=?base64?broken"}, -32020),
    ],
)
async def test_headers_that_contradict_the_body_are_refused(headers: dict[bytes, bytes], code: int) -> None:
    async with started() as watched:
        answer = await modern(watched).post(CALL, headers=headers)
        assert answer.status == 400
        assert (await said(answer))[-1]["error"]["code"] == code


async def test_a_base64_name_that_agrees_is_accepted() -> None:
    async with started() as watched:
        answer = await modern(watched).post(CALL, headers={b"mcp-name": b"=?base64?ZWNobw==?="})
        assert answer.status == 200


async def test_a_revision_the_server_does_not_speak_is_refused_with_those_it_does() -> None:
    async with started() as watched:
        body = json.loads(json.dumps(CALL).replace("2026-07-28", "2027-01-01"))
        answer = await modern(watched).post(body, headers={b"mcp-protocol-version": b"2027-01-01"})
        error = (await said(answer))[-1]["error"]
        assert (answer.status, error["code"]) == (400, -32022)
        assert error["data"]["supported"] == ["2026-07-28"]


async def test_closing_the_stream_cancels_the_request_at_the_server() -> None:
    async with started() as watched:
        client = modern(watched)
        stream = await client.ask("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
        await next_said(stream)
        await stream.aclose()
        assert len(json.loads(await client.say("cancelled"))) == 1


async def test_a_client_that_goes_before_the_answer_cancels_the_request() -> None:
    async with started() as watched:
        client = modern(watched)
        call = asyncio.create_task(client.call("never"))
        await asyncio.sleep(0)
        await client.say("echo")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert len(json.loads(await client.say("cancelled"))) == 1


async def test_a_cancel_notification_reaches_only_the_callers_own_request() -> None:
    async with started() as watched:
        mine, other = modern(watched, "mine"), modern(watched, "other")
        my_call = asyncio.create_task(mine.call("never", id=5))
        other_call = asyncio.create_task(other.call("never", id=5))
        await asyncio.sleep(0)
        await mine.say("echo")
        assert (await mine.tell("notifications/cancelled", {"requestId": 5})).status == 202
        assert (await said(await my_call))[-1]["error"]["code"] == -32800
        assert len(json.loads(await mine.say("cancelled"))) == 1
        assert not other_call.done()
        other_call.cancel()
        await asyncio.gather(other_call, return_exceptions=True)


async def test_subscriptions_of_two_callers_with_one_id_do_not_cross() -> None:
    async with started() as watched:
        clients = [modern(watched, "a"), modern(watched, "b")]
        streams = [await c.ask("subscriptions/listen", {"notifications": {"toolsListChanged": True}}) for c in clients]
        for stream in streams:
            acknowledged = await next_said(stream)
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            assert acknowledged["params"]["_meta"][META + "subscriptionId"] == 1
        await clients[0].say("poke")
        for stream in streams:
            changed = await next_said(stream)
            assert changed["method"] == "notifications/tools/list_changed"
            assert changed["params"]["_meta"][META + "subscriptionId"] == 1
            await stream.aclose()


async def test_log_messages_go_to_the_one_caller_who_wants_them_and_never_to_another() -> None:
    async with started() as watched:
        quiet, loud, louder = modern(watched, "quiet"), modern(watched, "loud"), modern(watched, "louder")
        waiting = asyncio.create_task(quiet.call("never"))
        await asyncio.sleep(0)
        messages = await said(await loud.call("log", {"count": 2}, **LOGS))
        assert [m.get("params", {}).get("data") for m in messages] == ["0", "1", None]
        other = asyncio.create_task(louder.call("never", id=2, **LOGS))
        await asyncio.sleep(0)
        assert len(await said(await loud.call("log", {"count": 2}, **LOGS))) == 1
        for task in (waiting, other):
            task.cancel()
        await asyncio.gather(waiting, other, return_exceptions=True)


async def test_a_silent_request_becomes_a_stream_and_its_error_keeps_status_200(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "COMMIT_MS", 50)
    async with started() as watched:
        answer = await modern(watched).call("slow", {"ms": 200})
        assert header(answer, b"content-type") == "text/event-stream"
        assert (await said(answer))[-1]["result"]["resultType"] == "complete"


async def test_a_listener_that_takes_no_streams_is_refused() -> None:
    async with started() as watched:
        client = modern(watched)
        client.accept = b"application/json"
        assert (await client.ask("subscriptions/listen")).status == 406
        assert await client.say("echo", {"text": "json is enough"}) == "json is enough"


async def test_a_legacy_server_answers_modern_requests_so_that_clients_fall_back() -> None:
    async with started("--era", "legacy") as watched:
        answer = await modern(watched).ask("server/discover")
        assert answer.status == 400
        assert (await said(answer))[-1]["error"]["code"] == -32600
        assert len(await watched.link.tools()) > 10


async def test_when_the_shared_process_dies_calls_end_within_a_second_and_it_comes_back() -> None:
    async with started() as watched:
        client = modern(watched)
        before = await client.say("pid")
        waiting = asyncio.create_task(client.call("never", id=2))
        stream = await client.ask("subscriptions/listen", {"notifications": {}}, id=3)
        await next_said(stream)
        begun = time.monotonic()
        with pytest.raises(UpstreamError) as caught:
            await client.call("die")
        with pytest.raises(UpstreamError):
            await waiting
        with pytest.raises(UpstreamError):
            await said(stream)
        assert time.monotonic() - begun < 1
        assert caught.value.sent
        assert await client.say("pid") != before
        assert watched.changes[2] == ("restarting", "RuntimeError: asked to die (ended with code 3)", "")
        assert watched.states[-1] == "ready"


async def test_the_tool_list_is_whole_and_exact() -> None:
    async with started() as watched:
        tools = await watched.link.tools()
        assert {"echo", "shuffle"} <= {str(tool["name"]) for tool in tools}
        assert tools[0]["x-kept"] == 12345678901234567890123


@pytest.mark.parametrize("flags", [("--die-on-discover", "--era", "legacy"), ("--era", "legacy"), ("--era", "modern")])
async def test_servers_of_either_era_are_recognised(flags: tuple[str, ...]) -> None:
    async with started(*flags) as watched:
        assert len(await watched.link.tools()) > 10


async def test_a_server_that_ignores_what_comes_before_initialize_is_recognised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mcpwatch.gateway.stdio_link.probe.SILENCE_MS", 100)
    async with started("--ignore-discover") as watched:
        assert len(await watched.link.tools()) > 10
        assert (await modern(watched).call("echo")).status == 400


async def test_a_server_that_dies_at_start_is_an_error_with_its_last_line_and_a_remedy() -> None:
    watched = Watched(scripted("--die", "botocore.exceptions.NoRegionError: You must specify a region."))
    with pytest.raises(UpstreamError) as caught:
        await watched.link.start()
    assert caught.value.error.startswith("botocore.exceptions.NoRegionError: You must specify a region.")
    assert "AWS_REGION" in caught.value.remedy
    assert watched.states == ["starting", "failed"]


async def test_a_server_that_says_nothing_at_start_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcpwatch.gateway.stdio_link.link.START_TIMEOUT_MS", 1000)
    monkeypatch.setattr("mcpwatch.gateway.stdio_link.probe.SILENCE_MS", 100)
    watched = Watched(scripted("--mute", "--say", "INFO waiting for something"))
    with pytest.raises(UpstreamError) as caught:
        await watched.link.start()
    assert caught.value.error == "the server did not answer within 1 s: INFO waiting for something"


async def test_a_server_that_keeps_dying_is_tried_again_and_callers_are_told_why() -> None:
    async with started() as watched:
        client = modern(watched)
        watched.link._command = type(watched.link._command)(scripted("--die", "Error: gone for good"), {})  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(UpstreamError):
            await client.call("die")
        await until(lambda: watched.states.count("restarting") >= 3)
        with pytest.raises(UpstreamError) as caught:
            await client.call("echo")
        assert caught.value.error == "Error: gone for good (ended with code 1)"
        assert not caught.value.sent


async def test_messages_that_are_no_requests_are_accepted_or_refused_as_the_sdk_does() -> None:
    async with started() as watched:
        client = modern(watched)
        assert (await client.tell("notifications/whatever")).status == 202
        assert (await client.post({"jsonrpc": "2.0", "id": 1, "result": {}})).status == 400


async def test_the_gateway_itself_hears_of_changed_tools() -> None:
    async with started() as watched:
        await modern(watched).say("poke")
        await until(lambda: watched.tools_changed == 1)


async def test_initialize_under_a_modern_header_is_no_method_of_that_era() -> None:
    async with started() as watched:
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2026-07-28"}}
        answer = await Client(watched.link).post(body, headers={b"mcp-protocol-version": b"2026-07-28"})
        assert (answer.status, (await said(answer))[-1]["error"]["code"]) == (404, -32601)
