"""What belongs to one session or one grant is not there for another, though the server behind knows one client only."""

from __future__ import annotations

import pytest

from tests.gateway.house import call, house, request
from tests.gateway.test_sessions import shown


async def test_a_stream_is_resumed_only_behind_an_event_that_the_session_saw() -> None:
    async with house() as h:
        one, other = [{"mcp-session-id": await h.open_session()} for _ in range(2)]
        await shown(h, one, "4")
        heard = len(h.upstream.heard)
        for last in ("4", "5"):
            headers = h.headers({**other, "last-event-id": last})
            async with h.http.get(h.url, headers=headers) as response:
                assert response.status == 400
        assert len(h.upstream.heard) == heard
        assert [row.rule for row in h.journal.rows] == ["(unknown event)"] * 2


@pytest.mark.parametrize("method", ["tasks/get", "tasks/result", "tasks/cancel"])
async def test_a_task_of_another_grant_is_unknown(method: str) -> None:
    async with house() as h:
        h.upstream.answers |= {
            "tools/call": {"task": {"taskId": "t1", "status": "working"}},
            method: {"taskId": "t1", "status": "working"},
        }
        await h.post(call("work", task={"ttl": 1000}))
        heard = len(h.upstream.heard)
        other = {"authorization": f"Bearer {h.grants.add_ephemeral('other')}"}
        assert (await h.post(request(method, {"taskId": "t1"}, 2), other)).json["error"]["message"] == "Task not found"
        assert len(h.upstream.heard) == heard
        assert h.journal.rows[-1].rule == "(unknown task)"
        assert "result" in (await h.post(request(method, {"taskId": "t1"}, 3))).json
