"""What the fixture's tools say to a client and hear from it, in both eras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

from tests.conformance.offer import Json, form, words

Ctx = ServerRequestContext[Any, Any]
MODERN = "2026-07-28"
_META = "io.modelcontextprotocol/"
_MISSING_CAPABILITY = -32021


def text(said: str) -> Json:
    """A result of one text."""
    return {"content": [words(said)]}


def meta(ctx: Ctx) -> Json:
    """The request's `_meta` as it came."""
    given = (ctx.params or {}).get("_meta")
    return dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else {}


def offers(ctx: Ctx) -> Json:
    """The capabilities the client declared."""
    if ctx.protocol_version == MODERN:
        declared = meta(ctx).get(_META + "clientCapabilities")
        return cast("Json", declared) if isinstance(declared, dict) else {}
    known = ctx.session.client_capabilities
    return {} if known is None else known.model_dump(by_alias=True, mode="json", exclude_none=True)


def missing(**capabilities: Json) -> MCPError:
    """The refusal of a client that has not declared these."""
    return MCPError(_MISSING_CAPABILITY, "A client capability is missing", {"requiredCapabilities": capabilities})


def need(ctx: Ctx, capability: str) -> None:
    """Raises MCPError when the client has not declared it."""
    if capability not in offers(ctx):
        raise missing(**{capability: Json()})


async def log(ctx: Ctx, said: str) -> None:
    """A log message, in the modern era only to those who asked for it."""
    if ctx.protocol_version == MODERN and _META + "logLevel" not in meta(ctx):
        return
    params = types.LoggingMessageNotificationParams(level="info", data=said, logger="fixture")
    await ctx.session.send_notification(types.LoggingMessageNotification(params=params), ctx.request_id)


async def progress(ctx: Ctx, done: float) -> None:
    """Progress in percent, to those who gave a token."""
    token = meta(ctx).get("progressToken")
    if token is not None:
        params = types.ProgressNotificationParams(progress_token=token, progress=done, total=100)
        await ctx.session.send_notification(types.ProgressNotification(params=params), ctx.request_id)


async def ask_model(ctx: Ctx, prompt: str) -> str:
    """Sampling of the handshake era: what the client's model says."""
    need(ctx, "sampling")
    said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    params = types.CreateMessageRequestParams(messages=[said], max_tokens=100)
    request = types.CreateMessageRequest(params=params)
    result = await ctx.session.send_request(request, types.CreateMessageResult, metadata=_belongs_to(ctx))
    return result.content.text if isinstance(result.content, types.TextContent) else result.content.type


async def ask_user(ctx: Ctx, message: str, schema: Json) -> str:
    """Elicitation of the handshake era: what the user did, and the form."""
    need(ctx, "elicitation")
    params = types.ElicitRequestFormParams(message=message, requested_schema=schema)
    request = types.ElicitRequest(params=params)
    result = await ctx.session.send_request(request, types.ElicitResult, metadata=_belongs_to(ctx))
    return f"action={result.action}, content={result.content}"


async def ask_roots(ctx: Ctx) -> str:
    """The roots of the handshake era."""
    need(ctx, "roots")
    result = await ctx.session.send_request(types.ListRootsRequest(), types.ListRootsResult, metadata=_belongs_to(ctx))
    return ", ".join(str(root.uri) for root in result.roots)


def answers(ctx: Ctx) -> Json:
    """The modern era's answers to what was asked before."""
    given = (ctx.params or {}).get("inputResponses")
    return dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else {}


def state(ctx: Ctx) -> str | None:
    """What the server kept with the client, its seal broken by the middleware already."""
    given = (ctx.params or {}).get("requestState")
    return given if isinstance(given, str) else None


def wants(requests: Json, kept: str | None = None) -> Json:
    """The modern era's result that asks."""
    result: Json = {"resultType": "input_required", "inputRequests": requests}
    return result if kept is None else {**result, "requestState": kept}


def question(message: str, **fields: Json) -> Json:
    """An elicitation to embed."""
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": form(**fields)}}


def sampling(prompt: str, most: int = 100) -> Json:
    """A sampling to embed."""
    messages = [{"role": "user", "content": words(prompt)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": most}}


ROOTS: Json = {"method": "roots/list", "params": {}}


def _belongs_to(ctx: Ctx) -> ServerMessageMetadata:
    return ServerMessageMetadata(related_request_id=ctx.request_id)
