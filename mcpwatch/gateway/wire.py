"""Strict parsing of what callers send. Only what this module accepts is judged, and only that is forwarded.

Two readers that disagree about one text are the way around every gateway, so what JSON leaves open is refused here:
keys given twice, keys that some readers take for another (`Name`), numbers and characters that do not survive a second
reading. Sources: RFC 8259, JSON-RPC 2.0, MCP 2025-11-25 and 2026-07-28 (basic protocol).
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from pydantic_core import from_json

from mcpwatch.gateway.names import fold
from mcpwatch.gateway.settings import Limits
from mcpwatch.policy.values import Json

MessageId = int | str | None

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REQUEST_TIMEOUT = -32001
HEADER_MISMATCH = -32020

_ENVELOPE = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_PARAM_NAMES = """
    name arguments _meta uri cursor task taskId requestState inputResponses ref argument requestId reason level
    protocolVersion capabilities clientInfo progressToken progress notifications
"""
_PARAMS = frozenset(_PARAM_NAMES.split())
_ENVELOPE_FOLDED = {fold(key) for key in _ENVELOPE}
_PARAMS_FOLDED = {fold(key) for key in _PARAMS}
_WANTED = frozenset({"toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions"})
_WANTED_FOLDED = {fold(key) for key in _WANTED}
_OWN_META = "mcpwatch/"
_TEXT_PARAM = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "resources/subscribe": "uri",
    "resources/unsubscribe": "uri",
}
_UNTIL_2026 = ("resources/subscribe", "resources/unsubscribe")
_META_VERSION = "io.modelcontextprotocol/protocolVersion"
_DEFAULT_LIMITS = Limits()


class WireError(Exception):
    """A message that is refused before policy. `code` is JSON-RPC's, `id` the message's own when it has a legal one."""

    def __init__(self, code: int, text: str, message_id: MessageId = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.id = message_id


@dataclass(frozen=True, slots=True)
class Message:
    """One JSON-RPC message. `obj` is the whole object, `wire` its re-serialised text: the only one to forward.

    `id` is None for notifications. `method` is "" for responses. Whoever changes `obj` forwards `encode(obj)`.
    """

    kind: Literal["request", "notification", "response"]
    id: MessageId
    method: str
    params: dict[str, Json]
    obj: dict[str, Json]
    wire: bytes = b""


def parse_message(raw: bytes, limits: Limits = _DEFAULT_LIMITS) -> Message:
    """Read one message of a caller. Raises WireError for everything that is not exactly one legal message."""
    if len(raw) > limits.body_bytes:
        raise WireError(INVALID_REQUEST, f"The message is larger than {limits.body_bytes} bytes")
    obj = _object(raw, limits.depth)
    return _message(obj, _reencoded(obj))


def encode(obj: Json) -> bytes:
    """The one text of a judged message, compact UTF-8. Big integers and U+2028 come out as they were."""
    return "".join(_chunks(obj, 0)).encode()


def parse_upstream(raw: bytes) -> dict[str, Json] | None:
    """Read a message of an upstream, leniently; None when it is not a JSON object that can be read at all."""
    try:
        value = from_json(raw)
    except ValueError:
        value = _lenient(raw)
    return cast("dict[str, Json]", value) if isinstance(value, dict) else None


def _lenient(raw: bytes) -> object:
    """Lone surrogates, deep nesting and byte order marks are read by the standard library, ten times slower."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def repeats_key(raw: bytes) -> bool:
    """Whether a message that `parse_upstream` read has a key twice in one object: then others may read another one."""
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except WireError:
        return True
    return False


def encode_upstream(obj: Json) -> bytes:
    """Re-serialise what `parse_upstream` read, whatever characters are in it (non-ASCII is escaped)."""
    return json.dumps(obj, separators=(",", ":")).encode()


def _object(raw: bytes, depth: int) -> dict[str, Json]:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise WireError(PARSE_ERROR, "The message is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise WireError(PARSE_ERROR, "The message begins with a byte order mark")
    value = _decode(text)
    if isinstance(value, list):
        raise WireError(INVALID_REQUEST, "Batches are not accepted: send one message a request")
    if not isinstance(value, dict):
        raise WireError(INVALID_REQUEST, "The message is not a JSON object")
    if raw.count(b"{") + raw.count(b"[") > depth and _depth_exceeds(value, depth):
        raise WireError(PARSE_ERROR, f"The message is nested deeper than {depth} levels")
    return value


def _decode(text: str) -> Json:
    try:
        return cast("Json", _DECODER.decode(text))
    except json.JSONDecodeError as fault:
        raise WireError(PARSE_ERROR, f"The message is not JSON: {fault.msg} at character {fault.pos}") from None
    except RecursionError:
        raise WireError(PARSE_ERROR, "The message is nested too deeply") from None
    except ValueError:  # Python converts no integer beyond sys.get_int_max_str_digits()
        raise WireError(PARSE_ERROR, "The message has an integer of too many digits") from None


def _depth_exceeds(value: dict[str, Json], depth: int) -> bool:
    level: list[dict[str, Any] | list[Any]] = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _reencoded(obj: dict[str, Json]) -> bytes:
    try:
        return encode(obj)
    except UnicodeEncodeError:
        raise WireError(PARSE_ERROR, "The message has a surrogate without its pair") from None
    except ValueError:
        raise WireError(PARSE_ERROR, "The message has a number that is too large", _legal_id(obj)) from None


def _message(obj: dict[str, Json], wire: bytes) -> Message:
    own_id = _legal_id(obj)
    _refuse_twins(obj, _ENVELOPE, _ENVELOPE_FOLDED, own_id)
    if obj.get("jsonrpc") != "2.0":
        raise WireError(INVALID_REQUEST, 'jsonrpc must be the string "2.0"', own_id)
    if "id" in obj and own_id is None:
        raise WireError(INVALID_REQUEST, "id must be a string or an integer")
    if "method" not in obj:
        return _response(obj, wire, own_id)
    method = obj["method"]
    if not isinstance(method, str):
        raise WireError(INVALID_REQUEST, "method must be a string", own_id)
    if "result" in obj or "error" in obj:
        raise WireError(INVALID_REQUEST, "A message is either a request or a response", own_id)
    params = _params(obj, method, own_id) if "params" in obj else {}
    if method in _TEXT_PARAM and not params:
        raise WireError(INVALID_PARAMS, f"{method} needs params", own_id)
    return Message("request" if "id" in obj else "notification", own_id, method, params, obj, wire)


def _response(obj: dict[str, Json], wire: bytes, own_id: MessageId) -> Message:
    if ("result" in obj) == ("error" in obj):
        raise WireError(INVALID_REQUEST, "A message needs a method, a result or an error", own_id)
    if own_id is None:
        raise WireError(INVALID_REQUEST, "A response needs the id of its request")
    if "params" in obj:
        raise WireError(INVALID_REQUEST, "A response has no params", own_id)
    return Message("response", own_id, "", {}, obj, wire)


def _params(obj: dict[str, Json], method: str, own_id: MessageId) -> dict[str, Json]:
    params = obj["params"]
    if not isinstance(params, dict):
        raise WireError(INVALID_REQUEST, "params must be an object", own_id)
    _refuse_twins(params, _PARAMS, _PARAMS_FOLDED, own_id)
    name = _TEXT_PARAM.get(method)
    if name is not None and not isinstance(params.get(name), str) and not _is_removed(method, params, name):
        raise WireError(INVALID_PARAMS, f"params.{name} must be a string", own_id)
    if name == "name" and not isinstance(params.get("arguments", {}), dict):
        raise WireError(INVALID_PARAMS, "params.arguments must be an object", own_id)
    if "_meta" in params:
        _check_meta(params["_meta"], own_id)
    if method == "subscriptions/listen" and "notifications" in params:
        _check_wanted(params["notifications"], own_id)
    return params


def _is_removed(method: str, params: dict[str, Json], name: str) -> bool:
    """Whether the method is none of the revision that the envelope names: then its server says so, not its params."""
    meta = params.get("_meta")
    return method in _UNTIL_2026 and name not in params and isinstance(meta, dict) and _META_VERSION in meta


def _check_wanted(wanted: Json, own_id: MessageId) -> None:
    """The resources that a client wants to hear of are judged, so that there is one way to name them."""
    if not isinstance(wanted, dict):
        raise WireError(INVALID_PARAMS, "params.notifications must be an object", own_id)
    _refuse_twins(wanted, _WANTED, _WANTED_FOLDED, own_id)
    uris = wanted.get("resourceSubscriptions", [])
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
        raise WireError(INVALID_PARAMS, "resourceSubscriptions must be a list of strings", own_id)


def _check_meta(meta: Json, own_id: MessageId) -> None:
    if not isinstance(meta, dict):
        raise WireError(INVALID_PARAMS, "params._meta must be an object", own_id)
    if any(fold(key).startswith(_OWN_META) for key in meta):
        raise WireError(INVALID_PARAMS, "params._meta keys that begin with mcpwatch/ are the gateway's own", own_id)


def _refuse_twins(obj: dict[str, Json], exact: frozenset[str], folded: set[str], own_id: MessageId) -> None:
    for key in obj:
        if key not in exact and fold(key) in folded:
            shown = key.encode("ascii", "backslashreplace").decode()[:40]
            raise WireError(INVALID_REQUEST, f'The key "{shown}" can be taken for another one', own_id)


def _legal_id(obj: dict[str, Json]) -> MessageId:
    value = obj.get("id")
    return value if isinstance(value, str) or type(value) is int else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    obj = dict(pairs)
    if len(obj) != len(pairs):
        raise WireError(PARSE_ERROR, "The message has a key twice in one object")
    return obj


def _no_constant(text: str) -> NoReturn:
    raise WireError(PARSE_ERROR, f"The message has {text}, which is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))


def _encoder() -> Callable[[Json, int], Iterable[str]]:
    """What `_ENCODER` makes anew for every text, which takes half of its time; made once where it is in C."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    quote: Any = getattr(json.encoder, "c_encode_basestring", None)
    if make is None or quote is None:
        return lambda obj, _: (_ENCODER.encode(obj),)
    return make(None, _ENCODER.default, quote, None, ":", ",", False, False, False)


_chunks = _encoder()
