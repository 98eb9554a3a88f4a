"""The same bytes mean the same however the network cuts them, whole requests and damaged ones alike."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mcpwatch.gateway.http_server.connection import Connection
from mcpwatch.gateway.http_server.exchange import Exchange, TooLarge, Unreadable

_TURNS = 40
"""More turns of the loop than any answer below takes."""

_REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
    b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    b"POST /u HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, x\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nxyz",
    b"GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    b"GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
]
_DAMAGE = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"\xff", b"\x0b", b"-1", b"\r\n\r\n", b" \r\n x"),
    *(b"0\r\n\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"Connection: upgrade\r\nUpgrade: q\r\n", b"Host: z\r\n", b"HTTP/1.0", b"ffffffffffffffff\r\n"),
]


class Wire(asyncio.Transport):
    """The side of the system: what is written stays here."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self.written = b""
        self.paused = self.closed = self.ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class App:
    """Writes down what was asked. As the owner of the connection it keeps nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def unreadable(self, path: str) -> None: ...

    def began(self, connection: Connection) -> None: ...

    def ended(self, connection: Connection) -> None: ...

    def rests(self, connection: Connection, resting: bool) -> None: ...

    async def __call__(self, ex: Exchange) -> None:
        body: object = None
        try:
            body = await ex.body(100_000, 5.0, lambda size: True)
        except (TooLarge, Unreadable) as fault:
            body = type(fault)
        if body is None:
            return
        self.asked.append((ex.verb, ex.path, tuple(ex.headers), body))
        if ex.path == "/slow":
            await asyncio.sleep(0)
        if ex.path == "/stream":
            await ex.begin()
            await ex.end()
        else:
            await ex.reply(400 if isinstance(body, type) else 200, [], b"ok")


async def talk(pieces: list[bytes]) -> tuple[list[tuple[object, ...]], list[bytes]]:
    """What was asked, and the status of each answer."""
    app = App()
    connection = Connection(app, 15.0, app)
    wire = Wire(connection)
    connection.connection_made(wire)
    for piece in pieces:
        for _ in range(_TURNS):
            if not wire.paused:
                break
            await asyncio.sleep(0)
        if wire.closed:
            break
        assert not wire.paused
        connection.data_received(piece)
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    wire.close()
    await asyncio.sleep(0)
    return app.asked, re.findall(rb"HTTP/1\.1 (?!100)(\d+)", wire.written)


async def test_after_a_large_piece_it_is_the_turn_of_others_before_more_is_read() -> None:
    app = App()
    connection = Connection(app, 15.0, app)
    wire = Wire(connection)
    connection.connection_made(wire)
    connection.data_received(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 90_000)
    assert wire.paused
    await asyncio.sleep(0)
    assert not wire.paused
    connection.data_received(b"x" * 10_000)
    await asyncio.sleep(0)
    assert not wire.paused
    assert len(app.asked) == 1
    wire.close()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    text = b"".join(draw(st.lists(st.sampled_from(_REQUESTS), min_size=1, max_size=4)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(_DAMAGE)) + text[at + draw(st.integers(0, 3)) :]
    return text


@given(damaged(), st.data())
@settings(max_examples=300)
def test_a_cut_changes_neither_what_is_asked_nor_the_answers(text: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(text) - 1, 1)), max_size=6)))
    some = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    asked, answers = asyncio.run(talk([text]))
    assert len(asked) <= len(answers) <= len(asked) + 1
    assert answers[len(asked) :] in ([], [b"400"])
    for pieces in ([text[at : at + 1] for at in range(len(text))], some):
        assert asyncio.run(talk(pieces)) == (asked, answers)
