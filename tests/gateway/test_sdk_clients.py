"""Real clients and a real server of the SDK, both eras: with a gateway between them nothing is different."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.gateway.house import until
from tests.gateway.sdk_house import client, real_house

ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
HIDE = {"version": "1", "default": "allow", "hide": ["secret"], "tools": {"echo": {"deny_if": [{"conditions": [
    {"path": "args.text", "op": "eq", "value": "bad"}]}]}}}  # fmt: skip


async def choose(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"colour": "blue"})


async def speak(context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="hm")
    return types.CreateMessageResult(role="assistant", content=content, model="muse-1")


def text(result: types.CallToolResult) -> str:
    assert isinstance(result.content[0], types.TextContent)
    return result.content[0].text


@ERAS
@pytest.mark.parametrize("json_response", [False, True])
async def test_tools_are_listed_and_called(mode: str, json_response: bool) -> None:
    async with real_house(HIDE, json_response=json_response) as h, client(h, mode) as c:
        names = [tool.name for tool in (await c.list_tools()).tools]
        assert ("secret" in names, "echo" in names) == (False, True)
        assert text(await c.call_tool("echo", {"text": "hello"})) == "hello"
        refused = await c.call_tool("echo", {"text": "bad"})
        assert refused.is_error
        assert text(refused).startswith("[POLICY DENIED] ")
        hidden = await c.call_tool("secret", {})
        assert text(hidden) == '[POLICY DENIED] Tool "secret" is not permitted by policy'
        assert [row.decision for row in h.journal.rows] == ["allow", "deny", "deny"]
        assert h.journal.rows[0].client == "sdk"


@ERAS
async def test_progress_is_seen_as_it_comes(mode: str) -> None:
    seen: list[float] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with real_house() as h, client(h, mode) as c:
        assert text(await c.call_tool("steps", {"count": 3}, progress_callback=progress)) == "3 steps"
        await until(lambda: seen == [0, 1, 2])


@ERAS
async def test_a_server_asks_the_user_through_the_gateway(mode: str) -> None:
    async with real_house() as h, client(h, mode, elicitation_callback=choose) as c:
        assert text(await c.call_tool("paint", {})) == "painted blue"


@ERAS
async def test_a_server_asks_the_model_through_the_gateway(mode: str) -> None:
    async with real_house() as h, client(h, mode, sampling_callback=speak) as c:
        assert text(await c.call_tool("muse", {})) == "muse-1 spoke"


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_call_that_asks_is_counted_once(mode: str) -> None:
    limits = [{"counter": "paint_rate", "window": "day", "max": 2}]
    policy = {"version": "1", "default": "allow", "tools": {"paint": {"limits": limits}}}
    async with real_house(policy) as h, client(h, mode, elicitation_callback=choose) as c:
        assert text(await c.call_tool("paint", {})) == "painted blue"
        assert text(await c.call_tool("paint", {})) == "painted blue"
        assert (await c.call_tool("paint", {})).is_error


@ERAS
async def test_structured_results_resources_and_prompts_are_the_same(mode: str) -> None:
    async with real_house() as h, client(h, mode) as c:
        result = await c.call_tool("forecast", {"city": "Oslo"})
        assert result.structured_content == {"city": "Oslo", "degrees": 21.5}
        assert [str(r.uri) for r in (await c.list_resources()).resources] == ["note://one"]
        note = (await c.read_resource("note://one")).contents[0]
        assert isinstance(note, types.TextResourceContents)
        assert note.text == "a note"
        assert [p.name for p in (await c.list_prompts()).prompts] == ["greet"]
        assert (await c.get_prompt("greet", {"name": "Ann"})).messages[0].role == "user"


@ERAS
async def test_errors_are_the_servers_own(mode: str) -> None:
    async with real_house() as h, client(h, mode) as c:
        assert (await c.call_tool("fail", {})).is_error
        with pytest.raises(MCPError):
            await c.read_resource("note://none")
        assert [outcome.outcome for outcome in h.journal.outcomes] == ["tool_error", "rpc_error"]


@pytest.mark.parametrize(("mode", "kind"), [("legacy", "cancelled"), ("2026-07-28", "cancelled")])
async def test_a_client_that_stops_waiting_ends_its_call(mode: str, kind: str) -> None:
    async with real_house() as h, client(h, mode) as c:
        call = asyncio.create_task(c.call_tool("forever", {}))
        await until(lambda: h.journal.rows)
        call.cancel()
        await until(lambda: h.journal.outcomes)
        assert h.journal.outcomes[0].outcome == kind
        assert text(await c.call_tool("echo", {"text": "still here"})) == "still here"


async def test_thirty_clients_with_equal_ids_get_their_own_answers() -> None:
    async with real_house() as h:

        async def one(number: int) -> list[str]:
            async with client(h, "2026-07-28" if number % 2 else "legacy") as c:
                return [text(await c.call_tool("echo", {"text": f"{number}-{n}"})) for n in range(5)]

        answers = await asyncio.gather(*(one(number) for number in range(30)))
        assert answers == [[f"{number}-{n}" for n in range(5)] for number in range(30)]


async def test_the_gateway_lists_the_tools_on_a_session_of_its_own() -> None:
    async with real_house() as h:
        await h.links["up"].start()
        names = {str(tool["name"]) for tool in await h.links["up"].tools()}
        assert {"echo", "secret", "paint", "muse"} <= names
