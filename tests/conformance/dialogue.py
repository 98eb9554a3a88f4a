"""One long conversation of the SDK's client with the fixture, as JSON: it must be the same whatever lies between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

import mcp_types as types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, FileUrl

from tests.conformance.offer import Json
from tests.gateway.house import until

LEGACY, MODERN = "legacy", "auto"
WATCHED = "test://watched-resource"
_PLAIN = """
    test_simple_text test_image_content test_audio_content test_embedded_resource test_multiple_content_types
    test_error_handling test_tool_with_logging test_reconnection test_missing_capability nothing_of_this_name
"""
_ASKING = {
    LEGACY: "test_sampling test_elicitation test_elicitation_sep1034_defaults test_elicitation_sep1330_enums roots",
    MODERN: """
        test_input_required_result_elicitation test_input_required_result_sampling
        test_input_required_result_list_roots test_input_required_result_request_state
        test_input_required_result_multiple_inputs test_input_required_result_multi_round
    """,
}
_ODD: Json = {"big": 123456789012345678901234567890, "text": "é\u2028 ☃", "deep": [[{"a": None}]], "": False, "f": 1e-9}


class Dialogue:
    """`said` is what the client got to hear."""

    def __init__(self, url: str, token: str, mode: str) -> None:
        self._url = url
        self._token = token
        self._mode = mode
        self.said: dict[str, Any] = {}
        self._notes: list[Json] = []
        self._logs: list[Any] = []
        self._asked: list[str] = []

    async def hold(self) -> dict[str, Any]:
        """Say everything, in turn; what was heard."""
        async with AsyncExitStack() as stack:
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            http = await stack.enter_async_context(create_mcp_http_client(headers))
            client = Client(
                streamable_http_client(self._url, http_client=http),
                mode=self._mode,
                sampling_callback=self._speak,
                elicitation_callback=self._fill,
                list_roots_callback=self._roots,
                logging_callback=self._log,
                log_level="debug",
                message_handler=self._note,
                cache=None,
            )
            c = await stack.enter_async_context(client)
            await self._lists(c)
            await self._reads(c)
            await self._calls(c)
            await self._changes(c)
            await self._cancels(c)
        self.said |= {"asked": self._asked, "logs": self._logs}
        return self.said

    async def _lists(self, c: Client) -> None:
        self.said["server"] = [_json(c.server_capabilities), _json(c.server_info), c.instructions, c.protocol_version]
        await self._hear("tools", c.list_tools())
        await self._hear("prompts", c.list_prompts())
        await self._hear("templates", c.list_resource_templates())
        pages: list[types.ListResourcesResult] = [await c.list_resources()]
        while (cursor := pages[-1].next_cursor) is not None:
            pages.append(await c.list_resources(cursor=cursor))
        assert len(pages) > 1
        self.said["resources"] = [_json(page) for page in pages]

    async def _reads(self, c: Client) -> None:
        for uri in ("test://static-text", "test://static-binary", "test://big", "test://template/7/data", "test://no"):
            await self._hear(uri, c.read_resource(uri))
        await self._hear("prompt", c.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"}))
        await self._hear("resource prompt", c.get_prompt("test_prompt_with_embedded_resource", {"resourceUri": "x:y"}))
        await self._hear("image prompt", c.get_prompt("test_prompt_with_image"))
        await self._hear("no prompt", c.get_prompt("nothing_of_this_name"))
        prompt = types.PromptReference(name="test_prompt_with_arguments")
        await self._hear("completion", c.complete(prompt, {"name": "arg1", "value": "par"}))
        if self._mode == LEGACY:
            await self._hear("ping", c.session.send_request(types.PingRequest(), types.EmptyResult))
            level = types.SetLevelRequest(params=types.SetLevelRequestParams(level="debug"))
            await self._hear("level", c.session.send_request(level, types.EmptyResult))
        else:
            await self._hear("asking prompt", c.get_prompt("test_input_required_result_prompt"))

    async def _calls(self, c: Client) -> None:
        for name in _PLAIN.split():
            await self._hear(name, c.call_tool(name))
        for name in _ASKING[self._mode].split():
            await self._hear(name, c.call_tool(name, {"prompt": "Speak", "message": "Fill this in"}))
        await self._hear("odd", c.call_tool("echo", _ODD))
        await self._hear("forecast", c.call_tool("forecast", {"city": "Oslo"}))
        await self._hear("region", c.call_tool("test_region", {"region": "eu west é"}))
        steps: list[Any] = []

        async def step(progress: float, total: float | None, message: str | None) -> None:
            steps.append([progress, total, message])

        await self._hear("progress", c.call_tool("test_tool_with_progress", progress_callback=step))
        await until(lambda: len(steps) == 3, "progress")
        self.said["steps"] = steps

    async def _changes(self, c: Client) -> None:
        if self._mode == LEGACY:
            request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=WATCHED))
            await self._hear("subscribe", c.session.send_request(request, types.EmptyResult))
            for name in ("touch", "test_trigger_tool_change", "test_trigger_prompt_change"):
                seen = len(self._notes)
                await self._hear(name, c.call_tool(name))
                await until(lambda seen=seen: len(self._notes) > seen, name)
            self.said["notes"] = self._notes
            return
        async with c.listen(tools_list_changed=True, resource_subscriptions=[WATCHED]) as events:
            self.said["honored"] = _json(events.honored)
            heard: list[str] = []
            for name in ("test_trigger_prompt_change", "test_trigger_tool_change", "touch"):
                await self._hear(name, c.call_tool(name))
                if name != "test_trigger_prompt_change":
                    heard.append(repr(await asyncio.wait_for(anext(events), 10)))
            self.said["notes"] = heard

    async def _cancels(self, c: Client) -> None:
        begun = asyncio.Event()

        async def step(progress: float, total: float | None, message: str | None) -> None:
            begun.set()

        call = asyncio.create_task(c.call_tool("forever", progress_callback=step))
        await asyncio.wait_for(begun.wait(), 10)
        call.cancel()
        await asyncio.wait((call,))
        assert call.cancelled()
        await self._hear("after cancelling", c.call_tool("test_simple_text"))

    async def _hear(self, name: str, answer: Awaitable[BaseModel]) -> None:
        assert name not in self.said
        try:
            self.said[name] = _json(await answer)
        except MCPError as fault:
            self.said[name] = {"error": _json(fault.error)}

    async def _speak(self, context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        self._asked.append(params.model_dump_json(by_alias=True, exclude={"meta"}))
        content = types.TextContent(type="text", text="hm")
        return types.CreateMessageResult(role="assistant", content=content, model="muse-1")

    async def _fill(self, context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        self._asked.append(params.model_dump_json(by_alias=True, exclude={"meta"}))
        return types.ElicitResult(action="accept", content={"name": "Ann", "color": "blue", "ok": True, "context": "c"})

    async def _roots(self, context: Any) -> types.ListRootsResult:
        self._asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri=FileUrl("file:///home/ann"))])

    async def _log(self, params: types.LoggingMessageNotificationParams) -> None:
        self._logs.append(_json(params))

    async def _note(self, message: object) -> None:
        if isinstance(message, BaseModel) and not isinstance(message, types.LoggingMessageNotification):
            self._notes.append(_json(message))


def _json(model: BaseModel | None) -> Any:
    return None if model is None else model.model_dump(mode="json", by_alias=True, exclude_none=True)
