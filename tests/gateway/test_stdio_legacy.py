"""Legacy clients in front of a stdio server: a process each, behind HTTP that behaves as MCP 2025-11-25 says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from typing import Any

import pytest

from mcpwatch.gateway.link import Answer, UpstreamError
from mcpwatch.gateway.stdio_link import session
from mcpwatch.gateway.stdio_link.pool import PoolLimits
from tests.gateway.stdio_talk import Client, Watched, header, running, said, scripted, started, until


async def opened(watched: Watched, **offers: Any) -> Client:
    client = Client(watched.link)
    client.capabilities = offers
    await client.open()
    return client


async def next_said(answer: Answer) -> dict[str, Any]:
    assert answer.events is not None
    async with asyncio.timeout(10):
        event = await anext(answer.events)
    return json.loads(event.data or b"null")


async def test_initialize_opens_a_session_with_an_unguessable_name() -> None:
    async with started("--era", "legacy") as watched:
        answer = await Client(watched.link).open()
        assert answer.status == 200
        assert len(header(answer, b"mcp-session-id")) == 32
        assert json.loads(answer.body or b"")["result"]["serverInfo"]["name"] == "scripted"


async def test_an_answer_with_nothing_before_it_is_plain_json_with_its_bytes_as_they_came() -> None:
    async with started() as watched:
        client = await opened(watched)
        line = '{"result":{"n": 123456789012345678901234567890, "t":1.10},  "jsonrpc": "2.0","id":$ID}'
        answer = await client.call("raw", {"line": line}, id=7)
        assert header(answer, b"content-type") == "application/json"
        assert answer.body == line.replace("$ID", "7").encode()


async def test_each_session_has_a_process_of_its_own() -> None:
    async with started() as watched:
        first, second = await opened(watched), await opened(watched)
        assert await first.say("pid") != await second.say("pid")
        assert await first.say("pid") == await first.say("pid", id=2)


async def test_the_spare_is_untouched_so_that_it_serves_either_era() -> None:
    async with started("--era", "both") as watched:
        clients = [await opened(watched) for _ in range(3)]
        assert len({await client.say("pid") for client in clients}) == 3


async def test_what_comes_before_the_answer_streams_with_ids_and_progress_finds_its_request() -> None:
    async with started() as watched:
        client = await opened(watched)
        waiting = asyncio.create_task(client.call("never", id="other"))
        answer = await client.call("progress", {"steps": 2}, id=5, progressToken="mine")
        assert header(answer, b"content-type") == "text/event-stream"
        assert answer.events is not None
        events = [event async for event in answer.events]
        assert events[0].raw.startswith(b"id: ")
        assert events[0].raw.split(b"\n", 1)[1].startswith(b"event: message\ndata: {")
        messages = [json.loads(event.data or b"") for event in events]
        assert [m["params"]["progress"] for m in messages[:-1]] == [0, 1]
        assert messages[-1]["id"] == 5
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_client_that_takes_only_json_gets_the_answer_and_its_messages_wait_for_a_listener() -> None:
    async with started() as watched:
        client = await opened(watched)
        client.accept = b"application/json"
        answer = await client.call("log", {"count": 2})
        assert header(answer, b"content-type") == "application/json"
        client.accept = b"text/event-stream"
        stream = await client.get()
        assert [(await next_said(stream))["params"]["data"] for _ in range(2)] == ["0", "1"]
        await stream.aclose()


async def test_a_client_that_takes_neither_is_told_so() -> None:
    async with started() as watched:
        client = await opened(watched)
        client.accept = b"text/html"
        assert (await client.call("echo")).status == 406
        assert (await client.get()).status == 406


async def test_a_question_of_the_server_reaches_the_client_that_offers_it_and_the_answer_goes_back() -> None:
    async with started() as watched:
        client = await opened(watched, roots={})
        stream = await client.call("ask", {"method": "roots/list"}, id=3)
        question = await next_said(stream)
        assert question["method"] == "roots/list"
        reply = await client.post({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": [{"uri": "file:///x"}]}})
        assert reply.status == 202
        assert "file:///x" in (await said(stream))[-1]["result"]["content"][0]["text"]


@pytest.mark.parametrize("method", ["sampling/createMessage", "tools/call", "Roots/List"])
async def test_a_question_the_client_does_not_offer_is_refused_to_the_server(method: str) -> None:
    async with started() as watched:
        client = await opened(watched, roots={})
        assert json.loads(await client.say("ask", {"method": method}))["code"] == -32601


async def test_an_answer_to_nothing_the_server_asked_is_not_forwarded() -> None:
    async with started() as watched:
        client = await opened(watched)
        assert (await client.post({"jsonrpc": "2.0", "id": "ask-1", "result": {}})).status == 202
        assert await client.say("echo", {"text": "alive"}) == "alive"


async def test_a_listener_gets_what_belongs_to_no_request_and_can_resume_where_it_stopped() -> None:
    async with started() as watched:
        client = await opened(watched)
        stream = await client.get()
        assert (await client.get()).status == 409
        client.accept = b"application/json"
        await client.call("log", {"count": 3})
        client.accept = b"text/event-stream"
        assert stream.events is not None
        first = await anext(stream.events)
        await stream.aclose()
        resumed = await client.get(last_event_id=first.raw.split(b"\n")[0].removeprefix(b"id: "))
        assert [(await next_said(resumed))["params"]["data"] for _ in range(2)] == ["1", "2"]
        await resumed.aclose()


async def test_a_broken_off_answer_is_resumed_by_its_last_event_and_not_cancelled() -> None:
    async with started() as watched:
        client = await opened(watched)
        stream = await client.call("ask", {"method": "ping"}, id=9)
        assert stream.events is not None
        question = await anext(stream.events)
        await stream.aclose()
        asked = json.loads(question.data or b"")
        await client.post({"jsonrpc": "2.0", "id": asked["id"], "result": {}})
        resumed = await client.get(last_event_id=question.raw.split(b"\n")[0].removeprefix(b"id: "))
        assert (await said(resumed))[-1]["id"] == 9
        assert json.loads(await client.say("cancelled")) == []
        assert (await client.get(last_event_id=b"99-1")).status == 400


async def test_a_silent_request_becomes_a_stream_that_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "COMMIT_MS", 50)
    async with started() as watched:
        client = await opened(watched)
        stream = await client.call("slow", {"ms": 300}, id=4)
        assert stream.events is not None
        assert (await anext(stream.events)).raw.endswith(b"-0\ndata: \n\n")
        assert (await said(stream))[-1]["id"] == 4


async def test_cancelling_reaches_the_server_and_ends_the_request() -> None:
    async with started() as watched:
        client = await opened(watched)
        call = asyncio.create_task(client.call("never", id=11))
        await asyncio.sleep(0)
        await client.say("echo", id=12)
        assert (await client.tell("notifications/cancelled", {"requestId": 11})).status == 202
        assert (await said(await call))[-1] == {
            "jsonrpc": "2.0",
            "id": 11,
            "error": {"code": -32800, "message": "Request cancelled"},
        }
        assert json.loads(await client.say("cancelled")) == [11]


async def test_an_id_that_is_still_in_flight_is_refused() -> None:
    async with started() as watched:
        client = await opened(watched)
        call = asyncio.create_task(client.call("slow", {"ms": 200}, id=1))
        await asyncio.sleep(0)
        assert (await client.call("echo", id=1)).status == 400
        assert (await said(await call))[-1]["result"]["content"][0]["text"] == "slept"


async def test_requests_without_or_with_an_unknown_session_are_told_apart() -> None:
    async with started() as watched:
        client = Client(watched.link)
        assert (await client.call("echo")).status == 400
        assert (await client.get()).status == 400
        client.session = "0" * 32
        assert (await client.call("echo")).status == 404
        assert (await client.get()).status == 404
        assert (await client.delete()).status == 404


async def test_delete_ends_the_session_and_its_process() -> None:
    async with started() as watched:
        client = await opened(watched)
        pid = int(await client.say("pid"))
        stream = await client.get()
        call = asyncio.create_task(client.call("never"))
        await asyncio.sleep(0)
        assert (await client.delete()).status == 200
        assert await said(stream) == []
        with pytest.raises(UpstreamError):
            await call
        assert (await client.call("echo")).status == 404
        await until(lambda: not running(pid))


async def test_an_idle_session_ends_and_one_with_a_listener_does_not() -> None:
    async with started(limits=PoolLimits(idle_ms=400)) as watched:
        idle, listening = await opened(watched), await opened(watched)
        stream = await listening.get()
        pid = int(await idle.say("pid"))
        watched.clock_ms += 401
        await until(lambda: not running(pid))
        assert (await idle.call("echo")).status == 404
        assert await listening.say("echo", {"text": "here"}) == "here"
        await stream.aclose()


async def test_the_cap_on_sessions_refuses_the_next_one_until_one_is_long_unused() -> None:
    async with started(limits=PoolLimits(sessions=2, evict_ms=1000)) as watched:
        first = await opened(watched)
        await opened(watched)
        assert (await Client(watched.link).ask("initialize", {"capabilities": {}})).status == 503
        watched.clock_ms += 1000
        assert (await Client(watched.link).open()).status == 200
        assert (await first.call("echo")).status == 404


async def test_at_the_cap_a_client_that_stopped_to_listen_makes_room_early() -> None:
    async with started(limits=PoolLimits(sessions=1, gone_ms=100)) as watched:
        first = await opened(watched)
        stream = await first.get()
        watched.clock_ms += 200
        assert (await Client(watched.link).ask("initialize", {"capabilities": {}})).status == 503
        await stream.aclose()
        watched.clock_ms += 100
        assert (await Client(watched.link).open()).status == 200


async def test_when_the_process_of_a_session_dies_its_calls_end_within_a_second_and_the_session_is_gone() -> None:
    async with started() as watched:
        client = await opened(watched)
        slow = asyncio.create_task(client.call("never", id="waiting"))
        stream = await client.get()
        begun = time.monotonic()
        with pytest.raises(UpstreamError) as caught:
            await client.call("die", id=2)
        with pytest.raises(UpstreamError):
            await slow
        assert time.monotonic() - begun < 1
        assert caught.value.sent
        assert caught.value.error == "RuntimeError: asked to die (ended with code 3)"
        assert await said(stream) == []
        assert (await client.call("echo")).status == 404
        assert ("restarting", "RuntimeError: asked to die (ended with code 3)", "") in watched.changes
        assert watched.states[-1] == "ready"
        again = await opened(watched)
        assert await again.say("echo", {"text": "back"}) == "back"


async def test_a_stream_that_has_begun_raises_when_the_process_dies() -> None:
    async with started() as watched:
        client = await opened(watched)
        stream = await client.call("ask", {"method": "ping"})
        assert (await next_said(stream))["method"] == "ping"
        with pytest.raises(UpstreamError):
            await client.call("die", id=2)
        with pytest.raises(UpstreamError) as caught:
            await said(stream)
        assert caught.value.sent


async def test_a_spare_that_was_killed_is_not_handed_out() -> None:
    async with started() as watched:
        spare = watched.link._pool._spare  # pyright: ignore[reportPrivateUsage]
        await until(lambda: watched.link._pool._spare is not None)  # pyright: ignore[reportPrivateUsage]
        spare = watched.link._pool._spare  # pyright: ignore[reportPrivateUsage]
        assert spare is not None
        os.kill(spare.pid, signal.SIGKILL)
        await until(lambda: watched.link._pool._spare is not spare)  # pyright: ignore[reportPrivateUsage]
        client = await opened(watched)
        assert await client.say("echo", {"text": "fine"}) == "fine"


async def test_garbage_on_stdout_is_ignored() -> None:
    async with started("--garbage") as watched:
        client = await opened(watched)
        assert await client.say("echo", {"text": "ok"}) == "ok"
        assert len(await watched.link.tools()) > 10


async def test_a_flood_on_stderr_harms_nobody() -> None:
    async with started("--flood") as watched:
        client = await opened(watched)
        assert await client.say("echo", {"text": "ok"}) == "ok"


async def test_answers_of_fifteen_mebibytes_and_requests_of_three_pass() -> None:
    async with started() as watched:
        client = await opened(watched)
        assert len(await client.say("big", {"size": 15_000_000})) == 15_000_000
        assert len(await client.say("echo", {"text": "y" * 3_000_000})) == 3_000_000


async def test_an_answer_that_is_too_long_is_left_out_and_the_next_one_arrives() -> None:
    async with started() as watched:
        client = await opened(watched)
        call = asyncio.create_task(client.call("big", {"size": 17 * 1024 * 1024}, id="long"))
        await asyncio.sleep(0)
        assert await client.say("echo", {"text": "next"}) == "next"
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def test_a_client_that_reads_slowly_slows_its_own_server_and_loses_nothing() -> None:
    async with started() as watched:
        client = await opened(watched)
        stream = await client.call("log", {"count": 3_000, "size": 1_000})
        await client.tell("notifications/initialized")
        messages = await said(stream)
        assert len(messages) == 3_001
        assert messages[-1]["result"]["content"][0]["text"] == "logged"


async def test_a_listener_that_does_not_read_holds_up_nobody_and_gets_the_newest() -> None:
    async with started() as watched:
        client = await opened(watched)
        stream = await client.get()
        client.accept = b"application/json"
        assert await client.say("log", {"count": 1_200, "size": 10_000}) == "logged"
        first = await next_said(stream)
        assert int(first["params"]["data"].rstrip("x")) > 100
        await stream.aclose()


async def test_a_server_that_refuses_initialize_opens_no_session() -> None:
    async with started("--era", "modern") as watched:
        answer = await Client(watched.link).ask("initialize", {"capabilities": {}})
        assert answer.status == 200
        assert header(answer, b"mcp-session-id") == ""
        assert json.loads(answer.body or b"")["error"]["code"] == -32022


async def test_stopping_answers_whoever_waits_and_leaves_no_process() -> None:
    watched = Watched(scripted())
    await watched.link.start()
    clients = [await opened(watched) for _ in range(2)]
    pids = [int(await client.say("pid")) for client in clients]
    calls = [asyncio.create_task(client.call("never")) for client in clients]
    await asyncio.sleep(0)
    await watched.link.stop()
    assert all(isinstance(end, UpstreamError) for end in await asyncio.gather(*calls, return_exceptions=True))
    assert not any(running(pid) for pid in pids)
    assert watched.states == ["starting", "ready", "stopped"]
    with pytest.raises(UpstreamError):
        await clients[0].call("echo")
