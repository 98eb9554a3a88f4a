"""What one legal message is, said a second time: from JSON-RPC 2.0, MCP and `protocol.md`, sharing no code.

Opinions that must agree: whether bytes are a message at all, and then its kind, id, method and params.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from tests.gateway.strict_json import Members, NotJson, Value, plain, read

ENVELOPE = ("jsonrpc", "id", "method", "params", "result", "error")
PARAMS = (
    *("name", "arguments", "_meta", "uri", "cursor", "task", "taskId", "requestState", "inputResponses", "ref"),
    *("argument", "requestId", "reason", "level", "protocolVersion", "capabilities", "clientInfo", "progressToken"),
    *("progress", "notifications"),
)
WANTED = ("toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions")
HANDSHAKES = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
NEEDS = {
    **dict.fromkeys(("tools/call", "prompts/get"), "name"),
    **dict.fromkeys(("resources/read", "resources/subscribe", "resources/unsubscribe"), "uri"),
}
# Default_Ignorable_Code_Point of Unicode 15, DerivedCoreProperties.txt, and the blank Braille pattern.
_IGNORED = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF), (0x2800, 0x2800)),
)


@dataclass(frozen=True)
class Reference:
    """A message that may be judged."""

    kind: str
    id: int | str | None
    method: str
    params: dict[str, Any]
    obj: dict[str, Any]


def message_of(raw: bytes, depth: int = 64, most: int = 4 * 1024 * 1024) -> Reference | None:
    """The message in `raw`, None when it is to be refused."""
    if len(raw) > most:
        return None
    try:
        value = read(raw, depth)
    except NotJson:
        return None
    return _message(value) if isinstance(value, Members) and _is_envelope(value) else None


def _is_envelope(obj: Members) -> bool:
    legal_id = "id" not in obj.keys or isinstance(obj.get("id"), str) or type(obj.get("id")) is int
    return obj.get("jsonrpc") == "2.0" and legal_id and not _has_twins(obj, ENVELOPE)


def _message(obj: Members) -> Reference | None:
    keys, own_id = obj.keys, obj.get("id")
    assert own_id is None or isinstance(own_id, int | str)
    whole: Any = plain(obj)
    if "method" not in keys:
        answers = ("result" in keys) + ("error" in keys)
        good = answers == 1 and "id" in keys and "params" not in keys
        return Reference("response", own_id, "", {}, whole) if good else None
    method, params = obj.get("method"), obj.get("params") if "params" in keys else Members(())
    if not isinstance(method, str) or not isinstance(params, Members) or "result" in keys or "error" in keys:
        return None
    if _has_twins(params, PARAMS) or not _has_target(method, params) or not _has_good_meta(params):
        return None
    if (
        method == "subscriptions/listen"
        and "notifications" in params.keys
        and not _is_wish(params.get("notifications"))
    ):
        return None
    kind = "request" if "id" in keys else "notification"
    given: Any = plain(params)
    return Reference(kind, own_id, method, given, whole)


def _has_target(method: str, params: Members) -> bool:
    if method not in NEEDS:
        return True
    key = NEEDS[method]
    if key == "name" and "arguments" in params.keys and not isinstance(params.get("arguments"), Members):
        return False
    if isinstance(params.get(key), str):
        return True
    meta = params.get("_meta")
    # 2026-07-28 has no such method: whoever speaks it hears so from its server.
    removed = method in ("resources/subscribe", "resources/unsubscribe") and key not in params.keys
    return removed and isinstance(meta, Members) and "io.modelcontextprotocol/protocolVersion" in meta.keys


def _is_wish(wanted: Value) -> bool:
    if not isinstance(wanted, Members) or _has_twins(wanted, WANTED):
        return False
    uris = wanted.get("resourceSubscriptions") if "resourceSubscriptions" in wanted.keys else []
    return isinstance(uris, list) and all(isinstance(uri, str) for uri in uris)


def _has_good_meta(params: Members) -> bool:
    if "_meta" not in params.keys:
        return True
    meta: Value = params.get("_meta")
    return isinstance(meta, Members) and not any(seen(key).startswith("mcpwatch/") for key in meta.keys)


def _has_twins(obj: Members, names: tuple[str, ...]) -> bool:
    known = {seen(name) for name in names}
    return any(key not in names and seen(key) in known for key in obj.keys)


def seen(name: str) -> str:
    """What a careless reader sees of a name: neither case, nor forms, nor what draws nothing."""
    text = unicodedata.normalize("NFKC", name).replace("\u0130", "i").replace("\u0131", "i").casefold()
    return "".join(char for char in unicodedata.normalize("NFKC", text) if _is_seen(char))


def _is_seen(char: str) -> bool:
    code = ord(char)
    ignored = any(first <= code <= last for first, last in _IGNORED)
    return not ignored and not char.isspace() and unicodedata.category(char) not in ("Cc", "Cf")
