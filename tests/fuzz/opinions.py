"""One question for every fuzzer: do the gateway's parser and the strict reference agree about these bytes?"""

from __future__ import annotations

import json
import math
from typing import Any, cast

from pydantic_core import from_json

from mcpwatch.gateway.wire import Message, WireError, parse_message
from tests.gateway.reference_wire import message_of
from tests.gateway.strict_json import plain, read

_DEPTH = 64


def compare(raw: bytes) -> bool:
    """Whether `raw` is a message. Raises AssertionError when the opinions differ, or what is forwarded is not it."""
    wanted = message_of(raw)
    found = _found(raw)
    if isinstance(found, WireError):
        assert wanted is None, f"refused although legal: {found.text}"
        assert found.text
        assert found.id is None or isinstance(found.id, str) or type(found.id) is int
        return False
    assert wanted is not None, "accepted although the reference refuses it"
    assert (found.kind, found.id, found.method) == (wanted.kind, wanted.id, wanted.method)
    assert same(found.params, wanted.params)
    assert same(found.obj, wanted.obj)
    _forwarded(found.wire, wanted.obj)
    return True


def _found(raw: bytes) -> Message | WireError:
    try:
        return parse_message(raw)
    except WireError as fault:
        return fault


def _forwarded(wire: bytes, obj: dict[str, Any]) -> None:
    """Every reader takes the forwarded text for what was judged, and the parser takes it for itself."""
    assert b"\n" not in wire
    assert b"\r" not in wire
    assert same(plain(read(wire, _DEPTH)), obj)
    assert same(json.loads(wire), obj)
    assert same(from_json(wire), obj)
    assert parse_message(wire).wire == wire


def same(one: Any, other: Any) -> bool:
    """Equal in value and kind: 1 is not 1.0, 0.0 is not -0.0, True is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        here, there = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return list(here) == list(there) and all(same(here[key], there[key]) for key in here)
    if isinstance(one, list):
        values, others = cast("list[Any]", one), cast("list[Any]", other)
        return len(values) == len(others) and all(map(same, values, others))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)
