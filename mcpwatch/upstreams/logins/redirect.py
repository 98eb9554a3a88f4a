"""Where the browser comes back to after a login: a listener on the loopback, or the address pasted into the terminal.

Only what carries the state of this very login counts; anything else is refused and waiting goes on, so that neither a
web page nor an old address can end a login or slip another account in. Source: RFC 8252, 7.3 and 8.9; RFC 6749, 10.12.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import parse_qs

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.logins.renewal import error_code

PATH = "/callback"
_HEAD_S = 10.0
_HEAD_BYTES = 32 * 1024
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>mcpwatch</title>"
    "<body style='font:16px sans-serif;margin:3em'><p>{text}</p>"
)


class Refused(Exception):
    """The person, or the authorization server, said no. The text is its error code."""


class Redirect:
    """One login's way back. `begin` says which state is awaited, `answer` waits for it."""

    def __init__(self, port: int, on_stray: Callable[[str], None]) -> None:
        self.uri = f"http://127.0.0.1:{port}{PATH}"
        self._state = ""
        self._on_stray = on_stray
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    def begin(self, state: str) -> None:
        self._state = state

    async def answer(self) -> dict[str, str]:
        """The parameters of the redirect, with `code`. Raises Refused."""
        given = await self._answer
        if "code" not in given:
            raise Refused(error_code(given.get("error", "")) or "no code")
        return given

    def pasted(self, text: str) -> None:
        """A line that was typed or pasted: the whole address, or what follows its question mark."""
        text = text.strip()
        if text and not self._take(text.partition("?")[2] or text):
            self._on_stray("That address is not this login's (wrong or missing state). Paste the newest one:")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a browser, whatever it sends."""
        self._open[writer] = asyncio.current_task()
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._page(head))
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            del self._open[writer]

    async def close(self) -> None:
        """End the connections that browsers keep open in advance."""
        tasks = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.close()
        await asyncio.gather(*tasks)

    def _page(self, head: bytes) -> bytes:
        verb, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        path, _, query = rest.partition(" ")[0].partition("?")
        if verb != "GET" or path != PATH:
            return _page(404, "There is nothing here.")
        if self._answer.done():
            return _page(200, "This login is done. You can close this page.")
        if not self._take(query):
            return _page(400, "This does not belong to the login that mcpwatch waits for. Nothing was changed.")
        return _page(200, "mcpwatch has your answer. Go back to the terminal; you can close this page.")

    def _take(self, query: str) -> bool:
        given = {key: values[0] for key, values in parse_qs(query).items() if len(values) == 1}
        if not self._state or not hmac.compare_digest(given.get("state", "").encode(), self._state.encode()):
            return False
        if not self._answer.done():
            self._answer.set_result(given)
        return True


@asynccontextmanager
async def way_back(port: int, on_stray: Callable[[str], None], stdin: int | None = None) -> AsyncGenerator[Redirect]:
    """A listener on `port` of the loopback (0: any), which also reads lines from the descriptor `stdin`.

    Raises ConfigError when the port is taken.
    """
    redirects: list[Redirect] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await redirects[0].serve(reader, writer)

    try:
        server = await asyncio.start_server(serve, "127.0.0.1", port, limit=_HEAD_BYTES)
    except OSError as fault:
        raise ConfigError(
            f"cannot listen on port {port}: {os.strerror(fault.errno or 0)}", "Try another --port."
        ) from None
    redirect = Redirect(server.sockets[0].getsockname()[1], on_stray)
    redirects.append(redirect)
    try:
        with _lines_of(stdin, redirect.pasted):
            yield redirect
    finally:
        server.close()
        await redirect.close()


@contextmanager
def _lines_of(handle: int | None, on_line: Callable[[str], None]) -> Generator[None]:
    """Call `on_line` with each line, until the end of the input; nothing is read when there is no `handle`."""
    if handle is None:
        yield
        return
    loop, rest = asyncio.get_running_loop(), bytearray()

    def read() -> None:
        try:
            data = os.read(handle, 65536)
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(handle)
        rest.extend(data)
        while (end := rest.find(b"\n")) >= 0:
            line = rest[:end].decode("utf-8", "replace")
            del rest[: end + 1]
            on_line(line)

    loop.add_reader(handle, read)
    try:
        yield
    finally:
        loop.remove_reader(handle)


def _page(status: int, text: str) -> bytes:
    body = _PAGE.format(text=text).encode()
    reason = {200: "OK", 400: "Bad Request", 404: "Not Found"}[status]
    head = (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
        "cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
