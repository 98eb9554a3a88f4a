"""The fixture's tools."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import mcp_types as types
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from tests.conformance.offer import AUDIO, IMAGE, Json, embedded, form, words
from tests.conformance.talk import (
    MODERN,
    ROOTS,
    Ctx,
    answers,
    ask_model,
    ask_roots,
    ask_user,
    log,
    need,
    offers,
    progress,
    question,
    sampling,
    state,
    text,
    wants,
)

Run = Callable[[Ctx, Json], Awaitable[Json]]
_PAUSE_S = 0.05
_NAME: Json = {"type": "string"}
_OK: Json = {"type": "boolean"}
_PREFIX = "test_input_required_result_"
_ASKING = """
    elicitation sampling list_roots request_state multiple_inputs multi_round tampered_state capabilities
"""
_NAMES = """
    test_tool_with_logging test_tool_with_progress test_sampling test_elicitation test_reconnection
    test_elicitation_sep1034_defaults test_elicitation_sep1330_enums test_region test_missing_capability
    test_streaming_elicitation test_logging_tool test_trigger_tool_change test_trigger_prompt_change
    forecast echo roots forever touch
"""
_FIXED: dict[str, Json] = {
    "test_simple_text": text("This is a simple text response for testing."),
    "test_image_content": {"content": [IMAGE]},
    "test_audio_content": {"content": [AUDIO]},
    "test_embedded_resource": {
        "content": [embedded("test://embedded-resource", "This is an embedded resource content.")]
    },
    "test_multiple_content_types": {
        "content": [
            words("Multiple content types test:"),
            IMAGE,
            embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
        ]
    },
    "test_error_handling": {**text("This tool intentionally returns an error for testing"), "isError": True},
    "json_schema_2020_12_tool": text("valid"),
}
_DEFAULTS = form(
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)


def _titled(kind: str) -> list[Json]:
    return [{"const": f"value{n}", "title": f"{word} {kind}"} for n, word in enumerate(("First", "Second", "Third"), 1)]


_ENUMS = form(
    untitledSingle={"type": "string", "enum": ["option1", "option2", "option3"]},
    titledSingle={"type": "string", "oneOf": _titled("Option")},
    legacyEnum={
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti={"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    titledMulti={"type": "array", "items": {"anyOf": _titled("Choice")}},
)


class Tools:
    """Calls tools by name. Raises MCPError for a name that is none."""

    def __init__(self, bus: InMemorySubscriptionBus) -> None:
        self._bus = bus
        self._run: dict[str, Run] = {
            **{name: getattr(self, "_" + name.removeprefix("test_")) for name in _NAMES.split()},
            **{_PREFIX + name: getattr(self, "_asks_" + name) for name in _ASKING.split()},
        }

    async def __call__(self, ctx: Ctx, name: str, args: Json) -> Json:
        if name in _FIXED:
            return _FIXED[name]
        run = self._run.get(name)
        if run is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {name[:80]}")
        return await run(ctx, args)

    async def _tool_with_logging(self, ctx: Ctx, args: Json) -> Json:
        for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await log(ctx, said)
            await asyncio.sleep(_PAUSE_S)
        return text("logged")

    async def _tool_with_progress(self, ctx: Ctx, args: Json) -> Json:
        for done in (0, 50, 100):
            await progress(ctx, done)
            await asyncio.sleep(_PAUSE_S)
        return text("progressed")

    async def _sampling(self, ctx: Ctx, args: Json) -> Json:
        return text(f"LLM response: {await ask_model(ctx, str(args.get('prompt')))}")

    async def _elicitation(self, ctx: Ctx, args: Json) -> Json:
        fields = form(
            username={"type": "string", "description": "User's response"},
            email={"type": "string", "description": "User's email address"},
        )
        return text(f"User response: {await ask_user(ctx, str(args.get('message')), fields)}")

    async def _elicitation_sep1034_defaults(self, ctx: Ctx, args: Json) -> Json:
        return text(f"Elicitation completed: {await ask_user(ctx, 'Defaults', _DEFAULTS)}")

    async def _elicitation_sep1330_enums(self, ctx: Ctx, args: Json) -> Json:
        return text(f"Elicitation completed: {await ask_user(ctx, 'Enums', _ENUMS)}")

    async def _reconnection(self, ctx: Ctx, args: Json) -> Json:
        if ctx.close_sse_stream is not None:
            await ctx.close_sse_stream()
        await asyncio.sleep(2 * _PAUSE_S)
        return text("reconnected")

    async def _region(self, ctx: Ctx, args: Json) -> Json:
        return text(str(args.get("region")))

    async def _missing_capability(self, ctx: Ctx, args: Json) -> Json:
        need(ctx, "sampling")
        return text("it was declared")

    async def _streaming_elicitation(self, ctx: Ctx, args: Json) -> Json:
        need(ctx, "elicitation")
        return text("streamed") if "go_on" in answers(ctx) else wants({"go_on": question("Go on?", ok=_OK)})

    async def _logging_tool(self, ctx: Ctx, args: Json) -> Json:
        await log(ctx, "one")
        return text("done")

    async def _trigger_tool_change(self, ctx: Ctx, args: Json) -> Json:
        return await self._change(ctx, ToolsListChanged(), types.ToolListChangedNotification())

    async def _trigger_prompt_change(self, ctx: Ctx, args: Json) -> Json:
        return await self._change(ctx, PromptsListChanged(), types.PromptListChangedNotification())

    async def _touch(self, ctx: Ctx, args: Json) -> Json:
        uri = str(args.get("uri", "test://watched-resource"))
        note = types.ResourceUpdatedNotification(params=types.ResourceUpdatedNotificationParams(uri=uri))
        return await self._change(ctx, ResourceUpdated(uri=uri), note)

    async def _change(self, ctx: Ctx, event: ServerEvent, note: Any) -> Json:
        """Tell it on the bus to modern listeners, or to the caller's own session."""
        if ctx.protocol_version == MODERN:
            await self._bus.publish(event)
        else:
            await ctx.session.send_notification(note)
        return text("changed")

    async def _forecast(self, ctx: Ctx, args: Json) -> Json:
        weather = {"city": args.get("city"), "degrees": 21.5}
        return {**text(json.dumps(weather)), "structuredContent": weather, "_meta": {"fixture/station": 7}}

    async def _echo(self, ctx: Ctx, args: Json) -> Json:
        return text(json.dumps(args, ensure_ascii=False, sort_keys=True))

    async def _roots(self, ctx: Ctx, args: Json) -> Json:
        return text(await ask_roots(ctx))

    async def _forever(self, ctx: Ctx, args: Json) -> Json:
        await progress(ctx, 1)
        await asyncio.Event().wait()
        return text("never")

    async def _asks_elicitation(self, ctx: Ctx, args: Json) -> Json:
        name = _filled(ctx, "user_name").get("name")
        if name is None:
            return wants({"user_name": question("What is your name?", name=_NAME)})
        return text(f"Hello, {name}!")

    async def _asks_sampling(self, ctx: Ctx, args: Json) -> Json:
        said = answers(ctx).get("capital_question")
        if said is None:
            return wants({"capital_question": sampling("What is the capital of France?")})
        return text(f"The model said: {said['content']['text']}")

    async def _asks_list_roots(self, ctx: Ctx, args: Json) -> Json:
        given = answers(ctx).get("client_roots")
        if given is None:
            return wants({"client_roots": ROOTS})
        return text(", ".join(root["uri"] for root in given["roots"]))

    async def _asks_request_state(self, ctx: Ctx, args: Json) -> Json:
        if "confirm" in answers(ctx) and state(ctx) == "asked":
            return text("state-ok")
        return wants({"confirm": question("Please confirm", ok=_OK)}, "asked")

    async def _asks_multiple_inputs(self, ctx: Ctx, args: Json) -> Json:
        requests = {
            "user_name": question("What is your name?", name=_NAME),
            "greeting": sampling("Generate a greeting", 50),
            "client_roots": ROOTS,
        }
        whole = requests.keys() <= answers(ctx).keys() and state(ctx) == "all"
        return text("all answered") if whole else wants(requests, "all")

    async def _asks_multi_round(self, ctx: Ctx, args: Json) -> Json:
        if state(ctx) == "second" and "step2" in answers(ctx):
            return text(f"The colour is {_filled(ctx, 'step2').get('color')}")
        if state(ctx) == "first" and "step1" in answers(ctx):
            return wants({"step2": question("Step 2: What is your favorite color?", color=_NAME)}, "second")
        return wants({"step1": question("Step 1: What is your name?", name=_NAME)}, "first")

    async def _asks_tampered_state(self, ctx: Ctx, args: Json) -> Json:
        if state(ctx) == "sealed":
            return text("the seal is whole")
        return wants({"confirm": question("Please confirm", ok=_OK)}, "sealed")

    async def _asks_capabilities(self, ctx: Ctx, args: Json) -> Json:
        able: Json = {"sampling": sampling("Say something"), "elicitation": question("Say something", name=_NAME)}
        return wants({name: request for name, request in able.items() if name in offers(ctx)} or {"roots": ROOTS})


def _filled(ctx: Ctx, key: str) -> Json:
    """The accepted form of an answer."""
    answer = answers(ctx).get(key)
    content: object = cast("Json", answer).get("content") if isinstance(answer, dict) else None
    return cast("Json", content) if isinstance(content, dict) else {}
