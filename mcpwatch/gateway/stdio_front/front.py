"""MCP on stdin and stdout, for clients that only start commands: carries each line to the HTTP front and back.

Every line is judged by the front like any other message, also what is none: this is a courier and decides nothing. It
keeps the session of a handshake client and opens it anew when the gateway lost it, opens the stream for what a server
says by itself, and in the modern era closes the response of a request that the client takes back.
Sources: MCP 2025-11-25 and 2026-07-28, transports.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

import aiohttp

from mcpwatch.gateway.sse import split
from mcpwatch.gateway.stdio_front import words
from mcpwatch.gateway.stdio_front.lines import Source, lines_of
from mcpwatch.gateway.stdio_front.words import Words

_ANSWER_BYTES = 64 * 1024 * 1024
_IN_FLIGHT = 512
_PLACE_BYTES = 2**16
_STREAM_AGAIN_S = 1.0
_GOODBYE_S = 2.0
_LISTEN = "subscriptions/listen"
_CANCELLED = "notifications/cancelled"


async def run_stdio(url: str, token: str, stdin: Source, stdout: BinaryIO) -> None:
    """Carry lines between these files and `url` until stdin ends and every request is answered.

    `token` "" sends none. stdin is read by a thread of its own, so that it may be a file.
    """

    def write(line: bytes) -> None:
        stdout.write(line + b"\n")
        stdout.flush()

    await Courier(url, token, write).run(lines_of(stdin))


class Courier:
    """Between one client's lines and `url`. `write` gets each message for the client, one line without its newline."""

    def __init__(self, url: str, token: str, write: Callable[[bytes], None]) -> None:
        self._url = url
        self._write = write
        self._base = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if token:
            self._base["Authorization"] = f"Bearer {token}"
        self._session = ""
        self._version = ""
        self._opening: Words | None = None
        self._reopening = asyncio.Lock()
        self._room = asyncio.Semaphore(_IN_FLIGHT)
        self._http: aiohttp.ClientSession | None = None
        self._posts: dict[asyncio.Task[None], Words] = {}
        self._stream: asyncio.Task[None] | None = None

    async def run(self, lines: AsyncIterator[bytes]) -> None:
        """Carry lines until there are no more, and wait for the answers that are under way."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**18) as http:
            self._http = http
            try:
                async for line in lines:
                    await self._carry(words.read(line))
                await self._answered()
            finally:
                await self._close(http)

    async def _carry(self, said: Words) -> None:
        """Requests go out side by side; what others may rest on is waited for."""
        if said.method == _CANCELLED and self._opening is None:
            self._take_back(said)
            return
        # A long line takes as many places as it is long, so that 32 MiB are under way at most. Only this waits for one.
        places = min(_IN_FLIGHT, 1 + len(said.line) // _PLACE_BYTES)
        for _ in range(places):
            await self._room.acquire()
        task = asyncio.create_task(self._post(said))
        self._posts[task] = said
        task.add_done_callback(lambda done: self._gone(done, places))
        if not said.is_request or said.method == "initialize":
            await asyncio.wait([task])
        else:
            await asyncio.sleep(0)

    def _gone(self, task: asyncio.Task[None], places: int) -> None:
        del self._posts[task]
        for _ in range(places):
            self._room.release()

    def _take_back(self, cancel: Words) -> None:
        """Closing the response is how a modern request is cancelled; nothing more is said about it."""
        for task, said in self._posts.items():
            if said.is_request and said.id == cancel.target and type(said.id) is type(cancel.target):
                task.cancel()

    async def _post(self, said: Words) -> None:
        try:
            session = self._session
            if await self._sent(said) or said.method == "initialize":
                return
            if not await self._opened_anew(session) or not await self._sent(said):
                self._fail(said, "The gateway does not know this session any more")
        except (aiohttp.ClientError, OSError) as fault:
            self._fail(said, f"The gateway cannot be reached: {fault}")

    async def _sent(self, said: Words) -> bool:
        """Send a message and write what it is answered. False when the gateway has lost the session."""
        async with self._request("POST", said) as answer:
            if answer.status == 404 and self._session and not said.modern and not words.no_method(await answer.read()):
                return False
            if said.method == "initialize" and answer.status == 200:
                self._opening, self._session = said, answer.headers.get("Mcp-Session-Id", "")
            if not await self._deliver(answer, said):
                self._unanswered(answer.status, said)
        if said.method == "notifications/initialized":
            self._listen_anew()
        return True

    async def _deliver(self, answer: aiohttp.ClientResponse, said: Words) -> bool:
        """Write what an answer carries. False when a request still has no answer."""
        if answer.content_type == "text/event-stream":
            answered = False
            async for event in split(answer.content.iter_any(), _ANSWER_BYTES):
                if event.data:
                    answered = words.answers(event.data, said.id) or answered
                    self._say(event.data)
            return answered
        body = await answer.read()
        if answer.status >= 400:
            body = words.error_for(said, body)
        elif said.method == "initialize":
            self._version = words.agreed_version(body)
        if body and (said.is_request or not said.whole):
            self._say(body)
            return True
        return False

    def _unanswered(self, status: int, said: Words) -> None:
        if said.method == _LISTEN and status == 200:
            self._write(words.torn_down(said))
        else:
            self._fail(said, f"The gateway answered HTTP status {status} and no message")

    async def _opened_anew(self, lost: str) -> bool:
        """Repeat the client's own `initialize`, once for all requests that found the session gone."""
        async with self._reopening:
            if self._session != lost:
                return True
            if self._opening is None:
                return False
            async with self._request("POST", self._opening) as answer:
                body = await answer.read()
                if answer.status != 200 or "Mcp-Session-Id" not in answer.headers:
                    return False
                self._session, self._version = answer.headers["Mcp-Session-Id"], words.agreed_version(body)
            async with self._request("POST", words.INITIALIZED):
                self._listen_anew()
            return True

    def _listen_anew(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        self._stream = asyncio.create_task(self._listen()) if self._session else None

    async def _listen(self) -> None:
        """What a server of the handshake era says by itself, until it says that it has no such stream."""
        while True:
            try:
                async with self._request("GET", words.NOTHING) as answer:
                    if answer.status != 200:
                        return
                    await self._deliver(answer, words.NOTHING)
            except (aiohttp.ClientError, OSError):
                pass  # the next request of the client says what is wrong
            await asyncio.sleep(_STREAM_AGAIN_S)

    def _request(self, verb: str, said: Words) -> aiohttp.client._RequestContextManager:  # pyright: ignore[reportPrivateUsage]
        assert self._http is not None
        headers = {**self._base, **words.headers_of(said, self._version)}
        if self._session and not said.modern and said.method != "initialize":
            headers["Mcp-Session-Id"] = self._session
        return self._http.request(verb, self._url, data=said.line or None, headers=headers)

    def _say(self, text: bytes) -> None:
        # Line breaks between the tokens of JSON mean nothing, and inside texts they are always escaped.
        self._write(text.replace(b"\r", b" ").replace(b"\n", b" ").strip())

    def _fail(self, said: Words, text: str) -> None:
        if said.is_request:
            self._write(words.failure(said.id, text))

    async def _answered(self) -> None:
        """Return when every request has its answer; subscriptions have none to wait for."""
        while waiting := [task for task, said in self._posts.items() if said.method != _LISTEN]:
            await asyncio.wait(waiting)

    async def _close(self, http: aiohttp.ClientSession) -> None:
        tasks = [*self._posts, *([self._stream] if self._stream else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session:
            headers = {**self._base, "Mcp-Session-Id": self._session, "MCP-Protocol-Version": self._version}
            try:
                async with http.delete(self._url, headers=headers, timeout=aiohttp.ClientTimeout(_GOODBYE_S)):
                    pass
            except (aiohttp.ClientError, OSError, TimeoutError):
                return
