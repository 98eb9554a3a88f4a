"""The official SDK on both ends, the gateway and a stdio server between: nobody sees a difference."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequestParams, ElicitResult, TextContent

from mcpwatch.gateway.stdio_link.link import StdioLink
from tests.gateway.house import house
from tests.gateway.stdio_talk import ENV, scripted

SDK_SERVER = str(Path(__file__).parent / "fixtures" / "sdk_server.py")
ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


async def in_blue(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"colour": "blue"})


@dataclass(frozen=True)
class Front:
    """A gateway in a thread of its own, so that the tests share the processes behind it."""

    url: str
    headers: dict[str, str]


async def serve(command: tuple[str, ...], started: Queue[Front], over: Event) -> None:
    link = StdioLink("up", command, ENV)
    await link.start()
    async with house(links={"up": link}) as h:
        started.put(Front(h.url, h.headers()))
        await asyncio.to_thread(over.wait)
    await link.stop()


@contextmanager
def front(*command: str) -> Generator[Front]:
    started, over = Queue[Front](), Event()
    thread = Thread(target=lambda: asyncio.run(serve(command, started, over)))
    thread.start()
    try:
        yield started.get(timeout=60)
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def sdk() -> Generator[Front]:
    with front(sys.executable, SDK_SERVER) as running:
        yield running


@asynccontextmanager
async def clients(at: Front, mode: Any, count: int = 1) -> AsyncGenerator[list[Client]]:
    async with create_mcp_http_client(at.headers) as http, AsyncExitStack() as stack:
        made = [
            Client(streamable_http_client(at.url, http_client=http), mode=mode, elicitation_callback=in_blue)
            for _ in range(count)
        ]
        yield [await stack.enter_async_context(client) for client in made]


def text(result: Any) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@ERAS
async def test_a_client_of_either_era_lists_calls_reads_and_prompts(sdk: Front, mode: str) -> None:
    async with clients(sdk, mode) as (client,):
        assert client.protocol_version == ("2026-07-28" if mode == "auto" else "2025-11-25")
        assert {tool.name for tool in (await client.list_tools()).tools} == {
            "paint", "steps", "add", "wait", "region", "touch",
        }  # fmt: skip
        assert text(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
        assert (await client.call_tool("add", {"a": 2, "b": 3})).structured_content == {"result": 5}
        assert (await client.read_resource("note://one")).contents[0].model_dump()["text"] == "note"
        assert "Greet Ann" in str(await client.get_prompt("greet", {"name": "Ann"}))


@ERAS
async def test_a_question_to_the_user_is_asked_and_its_answer_used(sdk: Front, mode: str) -> None:
    async with clients(sdk, mode) as (client,):
        assert text(await client.call_tool("paint")) == "painted blue"


@ERAS
async def test_progress_arrives_while_the_tool_runs(sdk: Front, mode: str) -> None:
    async with clients(sdk, mode) as (client,):
        seen: list[float] = []

        async def saw(progress: float, total: float | None, message: str | None) -> None:
            seen.append(progress)

        assert text(await client.call_tool("steps", {"count": 4}, progress_callback=saw)) == "4 steps"
        assert seen == [0, 1, 2, 3]


async def test_subscriptions_hear_of_changes(sdk: Front) -> None:
    async with (
        clients(sdk, "auto", 2) as (listener, other),
        listener.listen(tools_list_changed=True, resource_subscriptions=["note://one"]) as changes,
    ):
        await other.call_tool("touch")
        async with asyncio.timeout(10):
            found = {type(await anext(changes)).__name__ for _ in range(2)}
        assert found == {"ToolsListChanged", "ResourceUpdated"}


async def test_arguments_mirrored_in_headers_are_checked_and_pass(sdk: Front) -> None:
    async with clients(sdk, "auto") as (client,):
        assert text(await client.call_tool("region", {"where": "eu-north-1"})) == "eu-north-1"


@ERAS
async def test_thirty_clients_at_once_get_their_own_answers(sdk: Front, mode: str) -> None:
    count = 30 if mode == "auto" else 3
    async with clients(sdk, mode, count) as many:
        results = await asyncio.gather(*(c.call_tool("add", {"a": n, "b": 1000}) for n, c in enumerate(many)))
        assert [text(result) for result in results] == [str(n + 1000) for n in range(count)]


async def test_a_client_that_cancels_frees_the_server(sdk: Front) -> None:
    async with clients(sdk, "auto") as (client,):
        with pytest.raises(MCPError):
            await client.call_tool("wait", {"seconds": 600}, read_timeout_seconds=0.3)
        assert text(await client.call_tool("add", {"a": 1, "b": 1})) == "2"


async def test_a_client_falls_back_in_front_of_a_legacy_server() -> None:
    with front(*scripted("--era", "legacy")) as legacy:
        async with clients(legacy, "auto") as (client,):
            assert client.protocol_version == "2025-11-25"
            assert text(await client.call_tool("echo", {"text": "fell back"})) == "fell back"
