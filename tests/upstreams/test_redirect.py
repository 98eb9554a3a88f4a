"""The way back of a login: what browsers and web pages may send to it, and that nothing of it outlives the login."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.logins.redirect import Redirect, Refused, way_back
from tests.gateway.house import DEADLINE_S


def ignore(text: str) -> None:
    """Nobody reads it."""


def port_of(redirect: Redirect) -> int:
    return int(redirect.uri.split(":")[2].split("/")[0])


async def say(redirect: Redirect, data: bytes) -> bytes:
    """Send bytes as a browser would; what comes back until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(redirect))
    try:
        writer.write(data)
        async with asyncio.timeout(DEADLINE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode("latin-1")


async def test_only_the_state_of_this_login_counts() -> None:
    async with way_back(0, ignore) as redirect:
        assert b" 400 " in await say(redirect, get("/callback?code=c&state="))
        redirect.begin("right")
        for target in ("/callback", "/callback?code=c&state=wrong", "/callback?code=c&state=right&state=right"):
            assert b" 400 " in await say(redirect, get(target))
        assert b" 200 " in await say(redirect, get("/callback?code=c&state=right"))
        assert b" 200 " in await say(redirect, get("/callback?code=other&state=right"))
        assert (await redirect.answer())["code"] == "c"


@pytest.mark.parametrize(
    "data",
    [
        get("http://[::1"),
        get("/other?code=c&state=right"),
        b"POST /callback?code=c&state=right HTTP/1.1\r\n\r\n",
        b"\xff\xfe\x00\r\n\r\n",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /" + b"a" * 100_000,
    ],
)
async def test_whatever_is_sent_nothing_is_taken_and_nothing_is_raised(
    data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async with way_back(0, ignore) as redirect:
        redirect.begin("right")
        answer = await say(redirect, data)
        assert b" 404 " in answer or answer == b""
        assert b" 200 " in await say(redirect, get("/callback?code=c&state=right"))
    assert capfd.readouterr() == ("", "")


async def test_a_connection_held_open_does_not_keep_the_login_from_ending() -> None:
    async with way_back(0, ignore) as redirect:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(redirect))
        redirect.begin("right")
        assert b" 200 " in await say(redirect, get("/callback?code=c&state=right"))
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()


async def test_a_refusal_is_told_by_its_code_alone() -> None:
    async with way_back(0, ignore) as redirect:
        redirect.begin("right")
        await say(redirect, get("/callback?error=access_denied&error_description=%1b[31m&state=right"))
        with pytest.raises(Refused, match=r"\Aaccess_denied\Z"):
            await redirect.answer()


async def test_a_taken_port_is_a_sentence() -> None:
    async with way_back(0, ignore) as redirect:
        with pytest.raises(ConfigError, match="cannot listen on port"):
            async with way_back(port_of(redirect), ignore):
                pass


@pytest.mark.parametrize(
    "line", ["http://127.0.0.1:1/callback?code=c&state=right", "code=c&state=right", "  ?code=c&state=right  "]
)
async def test_a_pasted_address_counts_whole_or_in_part(line: str) -> None:
    strays: list[str] = []
    tell: Callable[[str], None] = strays.append
    out, into = os.pipe()
    try:
        async with way_back(0, tell, out) as redirect:
            redirect.begin("right")
            os.write(into, f"\n?code=c&state=wrong\n{line}\n".encode())
            async with asyncio.timeout(DEADLINE_S):
                assert (await redirect.answer())["code"] == "c"
            assert len(strays) == 1
    finally:
        os.close(out)
        os.close(into)


async def test_the_end_of_the_input_ends_only_the_pasting() -> None:
    out, into = os.pipe()
    os.close(into)
    try:
        async with way_back(0, ignore, out) as redirect:
            redirect.begin("right")
            assert b" 200 " in await say(redirect, get("/callback?code=c&state=right"))
    finally:
        os.close(out)
