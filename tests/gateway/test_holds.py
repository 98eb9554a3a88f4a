"""Calls that wait for an operator, and calls the operator stopped."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.gateway.settings import Limits
from tests.gateway.house import DEADLINE_S, House, Reply, call, house, modern, request, until


def ask(timeout: str = "30s", **more: Any) -> dict[str, Any]:
    rule: dict[str, Any] = {"conditions": [], "name": "ask", "timeout": timeout}
    return {"version": "1", "default": "allow", "tools": {"drop": {"approve_if": [rule], **more}}}


async def held(h: House, body: Any = None, headers: dict[str, str] | None = None) -> asyncio.Task[Reply]:
    """A call that is waiting now."""
    before = len(h.gateway.holds.waiting())
    waiting = asyncio.create_task(h.post(body or call("drop"), headers))
    await until(lambda: len(h.gateway.holds.waiting()) > before)
    return waiting


def only(h: House) -> str:
    (hold,) = h.gateway.holds.waiting()
    return hold.record.call_id


async def test_an_approved_call_goes_on_and_others_do_not_wait_for_it() -> None:
    async with house(ask()) as h:
        waiting = await held(h)
        assert (await h.post(call("other", message_id=2))).text == "done"
        assert [obj["params"]["name"] for obj in h.upstream.calls()] == ["other"]
        await h.gateway.holds.decide(only(h), approve=True, by="ann")
        assert (await waiting).text == "done"
        rows = [row for row in h.journal.rows if row.tool == "drop"]
        assert [(row.decision, row.approved_by) for row in rows] == [("hold", ""), ("allow", "ann")]
        assert rows[0].call_id == rows[1].call_id
        assert rows[1].held_ms is not None
        assert [type(event).__name__ for event in h.events if "Hold" in type(event).__name__] == [
            "HoldOpened",
            "HoldClosed",
        ]


async def test_a_refused_call_says_so_with_the_operators_reason() -> None:
    async with house(ask()) as h:
        waiting = await held(h)
        await h.gateway.holds.decide(only(h), approve=False, by="ann", reason="not on a Friday")
        assert (await waiting).text == "[POLICY DENIED] An operator refused this call: not on a Friday"
        assert h.upstream.calls() == []
        assert h.journal.rows[-1].reason == "refused by ann: not on a Friday"


async def test_the_first_of_two_operators_decides() -> None:
    async with house(ask()) as h:
        waiting = await held(h)
        call_id = only(h)
        await h.gateway.holds.decide(call_id, approve=False, by="ann")
        with pytest.raises(ConfigError):
            await h.gateway.holds.decide(call_id, approve=True, by="bob")
        assert (await waiting).json["result"]["isError"]


async def test_a_late_approval_is_good_for_one_identical_call_of_the_same_caller() -> None:
    async with house(ask("1s")) as h:
        waiting = await held(h, call("drop", {"a": 1, "b": 2}))
        call_id = only(h)
        assert "within 10 min" in (await waiting).text
        assert h.gateway.holds.waiting() == []
        assert [hold.record.call_id for hold in h.gateway.holds.late()] == [call_id]
        await h.gateway.holds.decide(call_id, approve=True, by="ann")
        other = await held(h, call("drop", {"a": 1, "b": 3}))
        assert (await h.post(call("drop", {"b": 2, "a": 1}, message_id=2))).text == "done"
        assert h.journal.rows[-1].approved_by == "ann"
        again = await held(h, call("drop", {"a": 1, "b": 2}, message_id=3))
        assert len(h.upstream.calls()) == 1
        for task in (other, again):
            task.cancel()


async def test_a_remembered_approval_lets_the_same_caller_use_the_tool() -> None:
    async with house(ask()) as h:
        waiting = await held(h)
        await h.gateway.holds.decide(only(h), approve=True, by="ann", remember=True)
        await waiting
        assert (await h.post(call("drop", {"x": 9}))).text == "done"
        stranger = h.grants.add_ephemeral("stranger")
        waiting = await held(h, call("drop"), {"authorization": f"Bearer {stranger}"})
        waiting.cancel()


async def test_limits_still_hold_after_approval() -> None:
    async with house(ask(limits=[{"counter": "c", "window": "day", "max": 1}])) as h:
        first, second = await held(h, call("drop", message_id=1)), await held(h, call("drop", message_id=2))
        for hold in h.gateway.holds.waiting():
            await h.gateway.holds.decide(hold.record.call_id, approve=True, by="ann")
        texts = sorted([(await first).text, (await second).text])
        assert texts[0].startswith("[POLICY DENIED] Rate limit of 1 per day")
        assert texts[1] == "done"


async def test_a_stricter_policy_ends_a_hold_and_a_laxer_one_does_not() -> None:
    async with house(ask()) as h:
        waiting = await held(h)
        h.install({"version": "1", "default": "allow"})
        assert len(h.gateway.holds.waiting()) == 1
        h.install({"version": "1", "default": "deny"})
        assert (await waiting).text == '[POLICY DENIED] Tool "drop" is not permitted by policy'
        assert h.upstream.calls() == []


async def test_a_caller_that_goes_away_ends_its_hold() -> None:
    async with house(ask()) as h:
        waiting = await held(h)
        waiting.cancel()
        await until(lambda: len(h.journal.rows) == 2)
        assert (h.journal.rows[1].decision, h.journal.rows[1].reason[:10]) == ("deny", "the caller")


async def test_a_cancelled_call_ends_its_hold() -> None:
    async with house(ask()) as h:
        session = {"mcp-session-id": await h.open_session()}
        waiting = await held(h, call("drop"), session)
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        await h.post(note, session)
        assert (await waiting).json["error"]["code"] == -32800
        assert h.gateway.holds.waiting() == []
        assert h.upstream.calls() == []


async def test_a_session_that_ends_takes_its_held_calls_with_it() -> None:
    async with house(ask()) as h:
        session = {"mcp-session-id": await h.open_session()}
        waiting = await held(h, call("drop"), session)
        async with h.http.delete(h.url, headers=h.headers(session)) as response:
            assert response.status == 200
        assert (await waiting).json["error"]["message"] == "The request was cancelled"
        assert h.upstream.calls() == []


async def test_a_held_call_is_kept_alive_and_its_answer_comes_on_the_same_stream() -> None:
    async with house(ask(), limits=Limits(hold_notice_ms=30)) as h:
        body = call("drop", _meta={"progressToken": "t"})
        async with h.http.post(h.url, json=body, headers=h.headers()) as response:
            assert response.headers["content-type"] == "text/event-stream"
            lines = response.content
            progress = await _data(lines)
            assert (progress["method"], progress["params"]["progressToken"]) == ("notifications/progress", "t")
            await h.gateway.holds.decide(only(h), approve=True, by="ann")
            answer = progress
            while "id" not in answer:
                answer = await _data(lines)
            assert answer["result"]["content"][0]["text"] == "done"


async def test_no_more_calls_wait_than_allowed() -> None:
    async with house(ask(), limits=Limits(holds=1)) as h:
        waiting = await held(h)
        assert "too many" in (await h.post(call("drop", message_id=2))).text
        waiting.cancel()


async def test_an_approved_call_that_asks_for_input_is_the_same_call_when_it_comes_back() -> None:
    limits = [{"counter": "c", "window": "day", "max": 1}]
    async with house({"version": "1", "default": "allow", "tools": {"t": {"limits": limits}}}) as h:
        h.upstream.answers["tools/call"] = {"resultType": "input_required", "requestState": "s1", "inputRequests": {}}
        body, headers = modern(call("t"))
        await h.post(body, headers)
        h.upstream.answers.clear()
        retry, headers = modern(call("t", requestState="s1", inputResponses={}, message_id=2))
        assert (await h.post(retry, headers)).text == "done"
        assert [len(row.charges) for row in h.journal.rows] == [1, 0]
        assert (await h.post(retry, headers)).json["result"]["isError"]
        forged, headers = modern(call("t", requestState="made up", message_id=3))
        assert (await h.post(forged, headers)).json["result"]["isError"]
        assert h.engine.counters(h.journal.rows[0].at_ms)[0].used == 1


@pytest.mark.parametrize(
    ("scope", "stopped"), [("*", True), ("grant:local", True), ("tool:drop", True), ("tool:x", False)]
)
async def test_what_is_frozen_is_refused_until_it_is_thawed(scope: str, stopped: bool) -> None:
    async with house() as h:
        await h.gateway.freeze.set(scope, on=True, by="ann")
        reply = await h.post(call("drop"))
        assert reply.json["result"]["isError"] is stopped
        assert h.journal.rows[0].rule == ("(frozen)" if stopped else "")
        await h.gateway.freeze.set(scope, on=False, by="ann")
        assert (await h.post(call("drop"))).text == "done"
        assert len(h.journal.notes) == 2


async def test_a_freeze_ends_holds_and_on_request_calls_under_way() -> None:
    async with house(ask()) as h:

        async def wait(heard: object, obj: dict[str, object]) -> None:
            await h.upstream.released.wait()

        h.upstream.answers["tools/call"] = wait
        waiting = await held(h)
        running = asyncio.create_task(h.post(call("slow", message_id=2)))
        await until(lambda: h.upstream.calls())
        await h.gateway.freeze.set("*", on=True, by="ann", cancel=True)
        assert "operator" in (await waiting).text
        assert "operator" in (await running).text
        assert [outcome.outcome for outcome in h.journal.outcomes] == ["cancelled"]


async def test_a_freeze_outlives_the_gateway_and_may_be_written_by_hand(tmp_path: Path) -> None:
    async with house(state_dir=tmp_path) as h:
        await h.gateway.freeze.set("tool:drop", on=True, by="ann")
    async with house(state_dir=tmp_path) as h:
        assert h.gateway.freeze.scopes == ["tool:drop"]
        (tmp_path / "freeze.json").write_text(json.dumps({"version": 1, "scopes": ["*"]}))
        assert h.gateway.freeze.scopes == ["*"]
        (tmp_path / "freeze.json").write_text("{")
        assert h.gateway.freeze.scopes == ["*"]
        (tmp_path / "freeze.json").unlink()
        assert h.gateway.freeze.scopes == []
        await until(lambda: len(h.journal.notes) == 3)


async def test_a_freeze_that_cannot_be_kept_holds_all_the_same(tmp_path: Path) -> None:
    async with house(state_dir=tmp_path / "gone") as h:
        with pytest.raises(ConfigError, match="not after a restart"):
            await h.gateway.freeze.set("*", on=True, by="ann")
        assert (await h.post(call())).json["result"]["isError"]


async def test_a_frozen_grant_reads_nothing_either() -> None:
    async with house() as h:
        await h.gateway.freeze.set("grant:local", on=True)
        assert "error" in (await h.post(request("resources/read", {"uri": "a://b"}))).json
        assert h.upstream.heard == []


async def _data(lines: Any) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            line: bytes = await lines.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                return json.loads(line[6:])
