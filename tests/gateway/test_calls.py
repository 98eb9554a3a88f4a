"""Tool calls on their way: judged, recorded, forwarded, recorded, answered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.settings import Limits
from tests.gateway.house import House, call, house, modern, until

SEED = {
    "version": "1",
    "default": "deny",
    "hide": ["secret"],
    "tools": {"echo": {"limits": [{"counter": "echo_rate", "window": "minute", "max": 10}]}},
}


async def test_an_allowed_call_reaches_the_upstream_and_its_answer_comes_back() -> None:
    async with house(SEED) as h:
        reply = await h.post(call("echo", {"text": "hi"}))
        assert (reply.status, reply.text) == (200, "done")
        assert h.upstream.calls() == [call("echo", {"text": "hi"})]
        (row,), (outcome,) = h.journal.rows, h.journal.outcomes
        assert (row.decision, row.tool, row.args, row.grant) == ("allow", "echo", {"text": "hi"}, "local")
        assert (outcome.outcome, outcome.call_id) == ("ok", row.call_id)


async def test_a_denied_call_is_a_result_an_agent_can_act_on() -> None:
    async with house(SEED) as h:
        reply = await h.post(call("drop"))
        assert reply.status == 200
        assert reply.json == {
            "jsonrpc": "2.0",
            "id": 1,
            "result": {
                "content": [{"type": "text", "text": '[POLICY DENIED] Tool "drop" is not permitted by policy'}],
                "isError": True,
                "_meta": {"mcpwatch/decision": {"rule": "(default deny)", "policy": h.journal.rows[0].policy[:12]}},
            },
        }
        assert h.upstream.calls() == []
        assert h.journal.outcomes == []


async def test_a_spent_limit_says_how_long_to_wait() -> None:
    async with house(SEED) as h:
        for number in range(10):
            assert (await h.post(call(message_id=number))).text == "done"
        facts = (await h.post(call())).json["result"]["_meta"]["mcpwatch/decision"]
        assert facts["rule"] == "/tools/echo/limits/echo_rate"
        assert (facts["used"], facts["max"]) == (10, 10)
        assert 0 < facts["retry_after_s"] <= 60


async def test_a_refusal_in_the_modern_era_says_that_it_is_complete() -> None:
    async with house(SEED) as h:
        body, headers = modern(call("drop"))
        assert (await h.post(body, headers)).json["result"]["resultType"] == "complete"
        assert h.journal.rows[0].client == "modern"


async def test_a_thousand_concurrent_calls_against_a_limit_of_ten_admit_exactly_ten() -> None:
    async with house(SEED) as h:
        replies = await asyncio.gather(*(h.post(call(message_id=number)) for number in range(1000)))
        assert sum(not reply.json["result"]["isError"] for reply in replies) == 10
        assert len(h.upstream.calls()) == 10
        assert len(h.journal.rows) == 1000


async def test_the_row_is_written_before_the_call_is_forwarded_and_the_outcome_before_the_answer() -> None:
    async with house(SEED) as h:
        seen: list[tuple[int, int]] = []

        async def answer(heard: object, obj: dict[str, object]) -> None:
            seen.append((len(h.journal.rows), len(h.journal.outcomes)))

        h.upstream.answers["tools/call"] = answer
        await h.post({k: v for k, v in call().items() if k != "id"})
        assert seen == [(1, 0)]


async def test_a_call_is_refused_while_the_audit_cannot_be_written() -> None:
    async with house(SEED) as h:
        h.journal.broken = True
        reply = await h.post(call())
        assert reply.json["result"]["isError"]
        assert "audit" in reply.text
        assert h.upstream.calls() == []
        h.journal.broken = False
        for number in range(10):
            assert (await h.post(call(message_id=number))).text == "done"


async def test_an_answer_is_withheld_when_its_outcome_cannot_be_recorded() -> None:
    async with house(SEED) as h:
        h.journal.broken_settle = True
        reply = await h.post(call())
        assert "withheld" in reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"content": [], "isError": True}, "tool_error"),
        ({"content": [], "isError": False}, "ok"),
    ],
)
async def test_what_came_of_a_call_is_recorded(answer: dict[str, object], kind: str) -> None:
    async with house() as h:
        h.upstream.answers["tools/call"] = answer
        await h.post(call())
        assert h.journal.outcomes[0].outcome == kind


@pytest.mark.parametrize("sse", [False, True])
async def test_the_answer_goes_through_unchanged(sse: bool) -> None:
    async with house() as h:
        h.upstream.as_sse = sse
        result: dict[str, Any] = {
            "content": [],
            "structuredContent": {"n": 10**30, "s": "\u2028", "own": {"x": [1.5]}},
            "extra": 1,
        }
        h.upstream.answers["tools/call"] = result
        assert (await h.post(call())).json["result"] == result


async def test_a_denied_notification_gets_nothing_but_is_recorded() -> None:
    async with house(SEED) as h:
        message = call("drop")
        del message["id"]
        reply = await h.post(message)
        assert (reply.status, reply.body) == (202, b"")
        assert h.upstream.heard == []
        assert [row.decision for row in h.journal.rows] == ["deny"]


async def test_a_call_that_nobody_answers_ends_with_an_error() -> None:
    async with house(limits=Limits(call_timeout_ms=200)) as h:
        await _never_answered(h)
        reply = await h.post(call())
        assert reply.json["error"]["code"] == -32001
        assert h.journal.outcomes[0].outcome == "timeout"


async def test_an_unreachable_upstream_is_an_error_and_the_call_counts_nothing() -> None:
    async with house(SEED) as h:
        h.upstream.port = 1
        h.links["up"] = HttpLink("up", "http://127.0.0.1:1/mcp")
        reply = await h.post(call())
        assert reply.json["error"]["code"] == -32603
        assert h.journal.outcomes[0].outcome == "not_sent"
        assert h.engine.counters(h.journal.rows[0].at_ms) == []
        await h.links["up"].stop()


async def test_a_client_that_goes_away_is_recorded_and_in_the_modern_era_cancels() -> None:
    async with house() as h:
        await _never_answered(h)
        body, headers = modern(call())
        waiting = asyncio.create_task(h.post(body, headers))
        await until(lambda: h.upstream.calls())
        waiting.cancel()
        await until(lambda: h.journal.outcomes)
        assert h.journal.outcomes[0].outcome == "cancelled"
        await until(lambda: h.upstream.released.is_set(), "the upstream seeing the end")


async def _never_answered(h: House) -> None:
    async def wait(heard: object, obj: dict[str, object]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            h.upstream.released.set()

    h.upstream.answers["tools/call"] = wait


async def test_big_numbers_and_line_separators_arrive_as_they_were() -> None:
    async with house() as h:
        args = {"n": 123456789012345678901234567890, "s": "\u2028\u2029", "neg": -(2**64)}
        await h.post(json.dumps(call("echo", args), ensure_ascii=False).encode())
        assert h.upstream.calls()[0]["params"]["arguments"] == args
        assert b"\xe2\x80\xa8" in h.upstream.heard[-1].body
