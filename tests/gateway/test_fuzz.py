"""Many broken messages at once: none passes that the policy refuses, every one is answered, each attempt has its row.

The long run: `python -m pytest -m slow tests/gateway/test_fuzz.py`.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from mcpwatch.gateway.names import CLIENT_METHODS
from tests.gateway.hostile import GOOD, HOSTILE, LOOKALIKES, lookalike
from tests.gateway.house import House, call, house
from tests.gateway.reference_wire import message_of

POLICY: dict[str, Any] = {"version": "1", "default": "deny", "tools": {"safe": {}}}
RECORDED = {"tools/call", "resources/read", "resources/subscribe", "prompts/get"}
SEEDS = [
    GOOD.encode(),
    json.dumps(call("forbidden", {"a": [1, {"b": "c"}]})).encode(),
    json.dumps(call("safe", {"text": "\u2028 \U0001f600"}, "id-1")).encode(),
    *(raw for raw in HOSTILE.values() if len(raw) < 4096),
    *(lookalike(method) for method in LOOKALIKES),
]
PIECES = [
    *(b'"name":"forbidden"', b'"Name":"forbidden"', b'"n\\u0061me":"forbidden"', b'"method":"tools/call"'),
    *(b'"params":{"name":"forbidden"}', b'"id":null', b"\\ud800", b"1e999", b"NaN", b"null", b"\\u", b"//"),
    *(
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xe2\x80\x8b",
        b"\0",
        b"\r",
        b"\n",
        b" ",
        b"\\",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
    ),
]


def mutated(source: random.Random) -> bytes:
    """A seed, cut, doubled, spliced and peppered."""
    raw = bytearray(source.choice(SEEDS))
    for _ in range(source.randint(0, 4)):
        at = source.randint(0, len(raw))
        match source.randint(0, 4):
            case 0:
                raw[at:at] = source.choice(PIECES)
            case 1:
                del raw[at : at + source.randint(1, 8)]
            case 2:
                raw[at : at + 1] = bytes([source.randint(0, 255)])
            case 3:
                other = source.choice(SEEDS)
                raw[at:] = other[source.randint(0, len(other)) :]
            case _:
                end = min(len(raw), at + source.randint(1, 30))
                raw[at:at] = raw[at:end]
    return bytes(raw)


def readings(raw: bytes) -> list[Any]:
    """What readers of several minds take as the tool's name: the first of a key, the last, any spelling of it."""

    def first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs))

    def folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key.casefold(): value for key, value in pairs}

    hooks: list[Any] = [first, dict, folded]
    return [json.loads(raw, object_pairs_hook=hook)["params"]["name"] for hook in hooks]


def is_recorded(raw: bytes) -> bool:
    """Whether an attempt has its row: what is refused, what is judged, and what no method of MCP is."""
    message = message_of(raw)
    if message is None or message.method in RECORDED or message.method not in CLIENT_METHODS:
        return True
    return message.method == "subscriptions/listen" and bool(
        message.params.get("notifications", {}).get("resourceSubscriptions")
    )


async def campaign(h: House, seed: int, count: int) -> None:
    source = random.Random(seed)
    for number in range(count):
        raw, rows = mutated(source), len(h.journal.rows)
        reply = await h.post(raw)
        where = f"seed {seed}, message {number}: {raw!r}"
        assert reply.status in (200, 202, 400, 413), where
        assert reply.status == 202 or reply.messages, where
        assert len(h.journal.rows) == rows + is_recorded(raw), where
    for heard in h.upstream.heard:
        if heard.obj["method"] == "tools/call":
            assert set(readings(heard.body)) == {"safe"}, heard.body
    assert (await h.post(GOOD.encode())).text == "done"


async def test_a_thousand_broken_messages_find_no_way_through() -> None:
    async with house(POLICY) as h:
        await campaign(h, 1, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
async def test_ten_thousand_broken_messages_find_no_way_through(seed: int) -> None:
    async with house(POLICY) as h:
        await campaign(h, seed, 1_000)
