"""The parser against another opinion: a strict reader and rules written a second time, on a corpus and on mutations.

This is the short version. The long one: `python -m tests.fuzz.wire --seconds 600` (atheris, see there).
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.opinions import compare
from tests.fuzz.seeds import KEYS, NUMBERS, STRINGS, all_seeds, legal, spelled
from tests.gateway.hostile import HOSTILE

EXAMPLES = int(os.environ.get("MCPWATCH_WIRE_EXAMPLES", "2000"))
SEEDS = all_seeds()
PIECES = (*NUMBERS[:40], *STRINGS, *(b'"%b":1,' % key for key in KEYS), *b'{}[]:,"\\ \t\n\r\x00\xff'.split(b"|"))
_INNER = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_NAMES = st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "Id", "METHOD", "x", "param\u017f"])
_PARTS = st.sampled_from(["name", "arguments", "_meta", "uri", "Name", "taskID", "notifications", "x", "na\u200bme"])
_METHODS = st.sampled_from(["tools/call", "prompts/get", "resources/read", "resources/subscribe", "ping", ""])


@pytest.mark.parametrize("raw", legal())
def test_a_legal_message_is_one_to_both(raw: bytes) -> None:
    assert compare(raw)


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_message_is_none_to_both(raw: bytes) -> None:
    assert not compare(raw)


@pytest.mark.parametrize("raw", spelled(), ids=range(len(spelled())))
def test_odd_spellings_mean_the_same_to_both(raw: bytes) -> None:
    compare(raw)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_mutations_mean_the_same_to_both(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(0, 5))):
        _mutate(raw, data)
    compare(bytes(raw))


@settings(max_examples=EXAMPLES)
@given(
    st.lists(st.tuples(_NAMES, _INNER | _METHODS), max_size=6),
    st.lists(st.tuples(_PARTS, _INNER), max_size=4),
    _METHODS,
)
def test_assembled_envelopes_mean_the_same_to_both(
    members: list[tuple[str, Any]], params: list[tuple[str, Any]], method: str
) -> None:
    inner = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in params)
    outer = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members]
    for whole in (outer, ['"jsonrpc":"2.0"', f'"method":{json.dumps(method)}', f'"params":{{{inner}}}', *outer[:2]]):
        compare(f"{{{','.join(whole)}}}".encode())


def _mutate(raw: bytearray, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(raw)))
    match data.draw(st.integers(0, 4)):
        case 0:
            raw[at:at] = data.draw(st.sampled_from(PIECES))
        case 1:
            del raw[at : at + data.draw(st.integers(1, 10))]
        case 2:
            raw[at : at + 1] = data.draw(st.binary(min_size=1, max_size=4))
        case 3:
            other = data.draw(st.sampled_from(SEEDS))
            raw[at:] = other[data.draw(st.integers(0, len(other))) :]
        case _:
            raw[at:at] = raw[at : at + data.draw(st.integers(1, 40))]
