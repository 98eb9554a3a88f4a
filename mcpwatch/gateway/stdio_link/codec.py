"""Lines of a stdio server as messages, with their bytes kept: an answer goes on as it came, only its id may change."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic_core import from_json

from mcpwatch.gateway.wire import Message, MessageId, encode, encode_upstream
from mcpwatch.policy.values import Json

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"

# In both forms the id stands where only a member of the outermost object can stand, so that it can be exchanged in the
# text. Every other order of the envelope is re-serialised.
_ID_FIRST = re.compile(rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(-?\d+|"[^"\\]*")\s*,')
_ID_LAST = re.compile(rb',\s*"id"\s*:\s*(-?\d+|"[^"\\]*")\s*\}\s*$')
_TAIL_BYTES = 200


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a server. `raw` is its line without line breaks, `obj` what it means."""

    kind: Literal["request", "notification", "response"]
    id: Json
    method: str
    params: dict[str, Any]
    obj: dict[str, Any]
    raw: bytes

    @property
    def error_code(self) -> int | None:
        """The code of a JSON-RPC error, None for everything else."""
        error = self.obj.get("error")
        code = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
        return code if isinstance(code, int) else None


def read(line: bytes) -> Said | None:
    """The message in a line of stdout; None when it is none (servers print banners and tracebacks there too)."""
    if not line.lstrip().startswith(b"{"):  # a hundred times faster than an attempt, and servers may print anything
        return None
    raw = line.replace(b"\r", b" ") if b"\r" in line else line
    obj = _object(raw)
    if obj is None:
        raw = raw.decode("utf-8", "replace").encode()
        obj = _object(raw)
    if obj is None or obj.get("jsonrpc") != "2.0":
        return None
    method, params = obj.get("method"), obj.get("params")
    kept = cast("dict[str, Any]", params) if isinstance(params, dict) else {}
    if isinstance(method, str):
        return Said("request" if "id" in obj else "notification", obj.get("id"), method, kept, obj, raw)
    if "id" in obj and ("result" in obj or "error" in obj):
        return Said("response", obj["id"], "", {}, obj, raw)
    return None


def answer_with_id(said: Said, own: MessageId) -> bytes:
    """The same answer under the caller's id."""
    text = encode(own)
    if found := _ID_FIRST.match(said.raw):
        return said.raw[: found.start(1)] + text + said.raw[found.end(1) :]
    cut = max(0, len(said.raw) - _TAIL_BYTES)
    if found := _ID_LAST.search(said.raw, cut):
        return said.raw[: found.start(1)] + text + said.raw[found.end(1) :]
    return encode_upstream({**said.obj, "id": own})


def answer_of_listen(said: Said, own: MessageId) -> bytes:
    """The end of a subscription: its id stands in the result's `_meta` as well."""
    result = said.obj.get("result")
    if not isinstance(result, dict):
        return answer_with_id(said, own)
    body = cast("dict[str, Any]", result)
    return encode_upstream({**said.obj, "id": own, "result": {**body, **_meta_with(body, SUBSCRIPTION, own)}})


def notification_with_token(said: Said, token: Json) -> bytes:
    """A progress notification under the caller's token."""
    return encode_upstream({**said.obj, "params": {**said.params, "progressToken": token}})


def notification_of_listen(said: Said, own: MessageId) -> bytes:
    """A notification of a subscription under the caller's id."""
    return encode_upstream({**said.obj, "params": {**said.params, **_meta_with(said.params, SUBSCRIPTION, own)}})


def request_with_number(message: Message, number: int) -> bytes:
    """The caller's request under an id, and a progress token, that no other caller of the process has."""
    obj: dict[str, Json] = {**message.obj, "id": number}
    meta = message.params.get("_meta")
    if isinstance(meta, dict) and "progressToken" in meta:
        obj["params"] = {**message.params, "_meta": {**meta, "progressToken": number}}
    return encode(obj)


def token_of(params: dict[str, Any]) -> Json:
    """The progress token of a request, None without one."""
    meta = params.get("_meta")
    return cast("dict[str, Json]", meta).get("progressToken") if isinstance(meta, dict) else None


def subscription_of(params: dict[str, Any]) -> Json:
    """The subscription a notification belongs to, None without one."""
    meta = params.get("_meta")
    return cast("dict[str, Json]", meta).get(SUBSCRIPTION) if isinstance(meta, dict) else None


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = from_json(raw, cache_strings="keys")
    except ValueError:
        value = _lenient(raw)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _lenient(raw: bytes) -> object:
    """Lone surrogates and deep nesting are read by the standard library."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _meta_with(holder: dict[str, Any], key: str, value: Json) -> dict[str, Any]:
    meta = holder.get("_meta")
    kept = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
    return {"_meta": {**kept, key: value}}
