"""The operator's API, from the client's side to the desk and back, over a real Unix socket."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcpwatch.control import server
from mcpwatch.control.client import ControlClient
from mcpwatch.control.feed import KEPT, Feed
from mcpwatch.control.operations import HoldAnswer
from mcpwatch.control.server import ControlServer
from mcpwatch.errors import ConfigError
from mcpwatch.events import Frozen, HoldClosed
from mcpwatch.records import event_from_json
from tests.control.desk import MemoryDesk

WITHIN_S = 5.0


@dataclass
class Room:
    """Both sides of one socket."""

    path: Path
    desk: MemoryDesk
    feed: Feed
    server: ControlServer
    client: ControlClient


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    desk, feed, path = MemoryDesk(), Feed(), tmp_path / "s" / "default.sock"
    server = ControlServer(desk, feed, path)
    await server.start()
    async with ControlClient(path) as client:
        yield Room(path, desk, feed, server, client)
    await server.stop()


async def test_the_socket_belongs_to_its_owner_alone(room: Room) -> None:
    assert stat.S_IMODE(room.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(room.path.parent.stat().st_mode) == 0o700


async def test_a_leftover_socket_is_replaced_and_gone_after_the_stop(tmp_path: Path) -> None:
    path = tmp_path / "default.sock"
    leftover = socket.socket(socket.AF_UNIX)
    leftover.bind(str(path))
    leftover.close()
    server = ControlServer(MemoryDesk(), Feed(), path)
    await server.start()
    async with ControlClient(path) as client:
        assert (await client.status())["pid"] == 1
    await server.stop()
    assert not path.exists()


async def test_without_a_gateway_every_question_is_one_sentence(tmp_path: Path) -> None:
    async with ControlClient(tmp_path / "none.sock") as client:
        with pytest.raises(ConfigError, match="no gateway is running"):
            await client.status()
        with pytest.raises(ConfigError, match="no gateway is running"):
            await anext(client.events())


async def test_questions_are_answered_by_the_desk(room: Room) -> None:
    client = room.client
    assert (await client.status())["instance"] == "default"
    assert (await client.policy("demo"))["digest"] == "d0"
    assert await client.history("demo") == {"policies": ["demo"]}
    assert await client.search("tool:a dec:deny", 5, 7, 9) == {"rows": [["tool:a dec:deny", 5, 7, 9]]}
    assert await client.show(4) == {"seq": 4}
    assert (await client.connect())["token"] == "t"


async def test_orders_reach_the_desk_with_who_gave_them(room: Room) -> None:
    await room.client.hold("c1", "approve", "fine", True, by="anna")
    await room.client.freeze(grant="g", by="anna")
    await room.client.thaw(tool="t", by="ben")
    await room.client.stop()
    assert room.desk.done == [
        HoldAnswer("c1", "approve", "fine", True, "anna"),
        (True, "g", "", "anna"),
        (False, "", "t", "ben"),
        "stopped",
    ]


async def test_a_hold_is_approved_or_refused_and_nothing_else(room: Room) -> None:
    with pytest.raises(ConfigError, match="approve"):
        await room.client.hold("c1", "maybe")


async def test_a_save_answers_saved_changed_or_invalid(room: Room) -> None:
    saved = await room.client.save_policy("demo", '{"a": "\u00e4"}', "d0", "anna")
    assert saved == {"status": 200, "digest": "d1"}
    changed = await room.client.save_policy("demo", "{}", "d0", "anna")
    assert changed == {"status": 409, "digest": "d1", "text": '{"a": "\u00e4"}'}
    invalid = await room.client.save_policy("demo", "bad", "d1", "anna")
    assert invalid["status"] == 422
    assert invalid["problems"][0]["pointer"] == "/x"


async def test_what_does_not_exist_is_said_with_its_remedy(room: Room) -> None:
    with pytest.raises(ConfigError, match="no upstream") as caught:
        await room.client.policy("nope")
    assert caught.value.remedy == "look again"


async def test_an_audit_that_cannot_be_read_is_said(room: Room) -> None:
    room.desk.audit_fails = True
    with pytest.raises(ConfigError, match="disk I/O error"):
        await room.client.search()


async def test_a_console_gets_the_hello_and_then_what_happens(room: Room) -> None:
    events = room.client.events()
    hello = await asyncio.wait_for(anext(events), WITHIN_S)
    assert hello["type"] == "hello"
    assert hello["status"]["pid"] == 1
    frozen = Frozen(1, "*", True, "anna")
    room.feed.publish(frozen)
    assert event_from_json(await asyncio.wait_for(anext(events), WITHIN_S)) == frozen
    assert len(room.feed) == 1


async def test_counters_are_told_when_they_changed(room: Room) -> None:
    tick = asyncio.create_task(room.server.tick())
    events = room.client.events()
    await asyncio.wait_for(anext(events), WITHIN_S)
    room.desk.now = [{"name": "rate", "used": 1}]
    told = await asyncio.wait_for(anext(events), WITHIN_S)
    while not told["counters"]:
        told = await asyncio.wait_for(anext(events), WITHIN_S)
    assert told == {"type": "counters", "counters": [{"name": "rate", "used": 1}]}
    tick.cancel()


async def test_the_stream_just_ends_when_the_gateway_does(room: Room) -> None:
    events = room.client.events()
    await asyncio.wait_for(anext(events), WITHIN_S)
    await asyncio.wait_for(room.server.stop(), WITHIN_S)
    rest = [event async for event in events]
    assert rest == []


async def test_a_console_that_does_not_read_loses_events_is_told_and_delays_nobody(room: Room) -> None:
    reader, writer = await asyncio.open_unix_connection(str(room.path), limit=1024)
    writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b'"hello"'), WITHIN_S)
    busy = room.client.events()
    await asyncio.wait_for(anext(busy), WITHIN_S)
    text = "x" * 1000
    sent = 0
    seen = 0
    for _ in range(20):
        for _ in range(KEPT // 10):
            sent += 1
            room.feed.publish(HoldClosed(sent, text, "timeout"))
        while seen < sent:
            event = await asyncio.wait_for(anext(busy), WITHIN_S)
            assert event["type"] == "hold_closed"
            seen += 1
    assert seen == sent == 2 * KEPT
    dropped = await asyncio.wait_for(_first_dropped(reader), 20)
    assert 0 < dropped < sent
    writer.close()


async def _first_dropped(reader: asyncio.StreamReader) -> int:
    kept = b""
    while True:
        kept += await reader.read(65536)
        at = kept.find(b'{"type":"dropped"')
        if at >= 0 and b"}" in kept[at:]:
            return int(json.loads(kept[at : kept.index(b"}", at) + 1])["count"])
        kept = kept[-200:] if at < 0 else kept[at:]


@pytest.mark.parametrize("body", ["[]", "{", '{"grant": 1}'])
async def test_a_body_that_makes_no_sense_is_refused(room: Room, body: str) -> None:
    reader, writer = await asyncio.open_unix_connection(str(room.path))
    head = f"POST /freeze HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body.encode())
    answer = await asyncio.wait_for(reader.read(), WITHIN_S)
    assert answer.startswith(b"HTTP/1.1 400")
    assert room.desk.done == []
    writer.close()


async def test_a_console_that_went_away_while_nothing_happened_is_not_counted(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LOOK_S", 0.01)
    async with ControlClient(room.path) as console:
        events = console.events()
        await anext(events)
        assert len(room.feed) == 1
    async with asyncio.timeout(WITHIN_S):
        while len(room.feed):
            await asyncio.sleep(0)
