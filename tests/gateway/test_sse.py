"""Streams of events: where one ends, whatever the line ends and wherever the bytes are cut."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.gateway.link import SseEvent, UpstreamError
from mcpwatch.gateway.sse import split

LIMIT = 1000
_LINE_ENDS = re.compile(rb"\r\n|\n|\r")
_PIECES = st.sampled_from([b"\n", b"\r", b"\r\n", b"data: a", b"id: 1", b": x", b"data", b"\xef\xbb\xbf"])


async def events(parts: list[bytes], limit: int = LIMIT) -> list[SseEvent]:
    async def chunks() -> AsyncGenerator[bytes]:
        for part in parts:
            yield part

    return [event async for event in split(chunks(), limit)]


def by_lines(text: bytes) -> list[bytes]:
    """The data of each event as WHATWG HTML 9.2.6 reads a whole text; None data left out."""
    found: list[bytes] = []
    data: list[bytes] = []
    *lines, _ = _LINE_ENDS.split(text.removeprefix(b"\xef\xbb\xbf"))
    for line in lines:
        name, _, value = line.partition(b":")
        if line == b"":
            found += [b"\n".join(data)] if data else []
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return found


@given(st.lists(_PIECES, max_size=14), st.integers(0, 60))
async def test_events_are_what_the_standard_says_wherever_the_stream_is_cut(pieces: list[bytes], cut: int) -> None:
    text = b"".join(pieces)
    found = await events([text[:cut], text[cut:]])
    # Between a CR and its LF a reader cannot know yet: the LF then begins the next event, and means nothing there.
    assert [event.data for event in found if event.data is not None] == by_lines(text)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"])
async def test_a_blank_line_ends_an_event_whatever_its_line_ends(end: bytes) -> None:
    first, second = await events([b"data: 1" + end + b"data: 2" + end])
    assert (first.raw, first.data, second.data) == (b"data: 1" + end, b"1", b"2")


async def test_what_is_unfinished_is_dropped() -> None:
    assert await events([b"data: 1\n", b"data: 2"]) == []


async def test_an_event_without_end_is_given_up_at_the_limit() -> None:
    with pytest.raises(UpstreamError):
        await events([b"data: " + b"x" * 400] * 3)
