"""What is a message and what is not."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.gateway.settings import Limits
from mcpwatch.gateway.wire import WireError, encode, encode_upstream, parse_message, parse_upstream
from tests.gateway.hostile import GOOD, HOSTILE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_message_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        parse_message(raw)


def test_the_good_message_of_the_hostile_ones_is_accepted() -> None:
    message = parse_message(GOOD.encode())
    assert (message.kind, message.id, message.method) == ("request", 1, "tools/call")


@pytest.mark.parametrize("depth", [3, 4, 63, 64])
def test_depth_up_to_the_limit_is_accepted(depth: int) -> None:
    raw = GOOD.replace('"arguments":{}', '"arguments":{"a":' + "[" * (depth - 3) + "]" * (depth - 3) + "}")
    if depth > 3:
        assert parse_message(raw.encode()).wire == raw.encode()
    with pytest.raises(WireError):
        parse_message(raw.encode(), Limits(depth=depth - 1))


def test_brackets_inside_text_are_no_depth() -> None:
    raw = GOOD.replace('"arguments":{}', '"arguments":{"a":"' + "[{" * 500 + '\\""}')
    assert parse_message(raw.encode()).wire == raw.encode()


def test_a_refused_request_keeps_its_id_where_it_has_one() -> None:
    with pytest.raises(WireError) as caught:
        parse_message(b'{"jsonrpc":"1.0","id":"seven","method":"ping"}')
    assert (caught.value.code, caught.value.id) == (-32600, "seven")


def test_a_limit_of_size_is_exact() -> None:
    raw = GOOD.encode()
    assert parse_message(raw, Limits(body_bytes=len(raw))).wire == raw
    with pytest.raises(WireError):
        parse_message(raw, Limits(body_bytes=len(raw) - 1))


@pytest.mark.parametrize("kind", ["result", "error"])
def test_an_answer_is_a_response(kind: str) -> None:
    message = parse_message(json.dumps({"jsonrpc": "2.0", "id": "a", kind: {}}).encode())
    assert (message.kind, message.id, message.method) == ("response", "a", "")


@pytest.mark.parametrize("raw", [b'{"jsonrpc":"2.0","result":{}}', b'{"jsonrpc":"2.0","id":1}', b"{}"])
def test_an_answer_to_nothing_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        parse_message(raw)


def test_an_unknown_key_and_an_unknown_method_are_the_upstreams_business() -> None:
    message = parse_message(b'{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"names":1},"trace":{"a":1}}')
    assert message.wire == b'{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"names":1},"trace":{"a":1}}'


@given(JSON)
def test_what_is_forwarded_means_what_was_judged(value: object) -> None:
    raw = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "arguments": {"v": value}}}
    )
    message = parse_message(raw.encode())
    assert json.loads(message.wire) == message.obj == json.loads(raw)
    assert parse_message(message.wire).wire == message.wire


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(raw: bytes) -> None:
    with contextlib.suppress(WireError):
        assert parse_message(raw).wire


@given(st.data())
def test_no_mutation_of_a_good_message_crashes_the_parser(data: st.DataObject) -> None:
    raw = bytearray(GOOD.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = parse_message(bytes(raw))
    except WireError:
        return
    assert parse_message(encode(message.obj)).obj == message.obj


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"[1]", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_what_an_upstream_garbles_is_nothing(raw: bytes) -> None:
    assert parse_upstream(raw) is None


def test_what_an_upstream_says_survives_rewriting() -> None:
    obj = parse_upstream(b'{"a":"\\ud800","n":1e400,"big":123456789012345678901234567890}')
    assert obj is not None
    assert parse_upstream(encode_upstream(obj)) == obj
