"""One hostile client, over HTTP or on the pipes of `mcpwatch stdio`: sends raw bytes, tells what it was answered."""

from __future__ import annotations

import http.client
import json
import queue
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from tests.campaigns.place import Place
from tests.cli.running import command

WITHIN_S = 30.0
OPENING = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "hostile", "version": "1"}}

Object = dict[str, Any]


class Unanswered(Exception):
    """A request that got nothing."""


class Front(Protocol):
    """`attempt` sends one message and returns what it was answered; raises Unanswered."""

    def attempt(self, raw: bytes) -> list[Object]: ...


class Http:
    """A client of the handshake era on one connection."""

    def __init__(self, place: Place, name: str) -> None:
        self._path = place.path(name)
        self._line = http.client.HTTPConnection("127.0.0.1", place.port, timeout=WITHIN_S)
        self._headers = place.headers()
        self.attempt(json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": OPENING}).encode())
        self.attempt(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def attempt(self, raw: bytes) -> list[Object]:
        try:
            self._line.request("POST", self._path, raw, self._headers)
            answer = self._line.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as fault:
            self._line.close()
            raise Unanswered(repr(fault)) from fault
        if session := answer.headers.get("Mcp-Session-Id"):
            self._headers["Mcp-Session-Id"] = session
        if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            parts = [line[6:] for line in text.split(b"\n") if line.startswith(b"data: ")]
            return [json.loads(part) for part in parts if part]
        if answer.status not in (200, 202, 400, 404, 413):
            raise Unanswered(f"HTTP status {answer.status}")
        return [json.loads(text)] if text else []

    def close(self) -> None:
        self._line.close()


class Pipe:
    """The same on stdin and stdout. Blank lines and line feeds are no messages there, and are not sent."""

    def __init__(self, place: Place, name: str) -> None:
        self._process = subprocess.Popen(
            command("stdio", "--upstream", name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=place.home.env,
            cwd=place.home.root,
        )
        self._said: queue.Queue[Object] = queue.Queue()
        self._count = 0
        threading.Thread(target=self._read, daemon=True).start()
        self.attempt(json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": OPENING}).encode())
        self.attempt(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def attempt(self, raw: bytes) -> list[Object]:
        """A ping behind it shows that the line was read; a request is waited for beyond that."""
        self._count += 1
        mark = f"mark-{self._count}"
        self._write(raw)
        self._write(json.dumps({"jsonrpc": "2.0", "id": mark, "method": "ping"}).encode())
        heard: list[Object] = []
        marked = False
        while not (marked and (heard or not _is_answered(raw))):
            message = self._next(raw)
            if message.get("id") == mark:
                marked = True
            elif "method" not in message:
                heard.append(message)
        return heard

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(WITHIN_S)
        assert self._process.stdout
        self._process.stdout.close()

    def _next(self, raw: bytes) -> Object:
        try:
            return self._said.get(timeout=WITHIN_S)
        except queue.Empty:
            raise Unanswered(f"nothing within {WITHIN_S:g} s") from None

    def _write(self, line: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._said.put(json.loads(line))


def _is_answered(raw: bytes) -> bool:
    """Whether a line asks for an answer: a request to the most careless reader, or no message to anybody."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return True
    if not isinstance(value, dict):
        return True
    message = cast("Object", value)
    return "id" in message and isinstance(message.get("method"), str)


@contextmanager
def front(kind: str, place: Place, name: str) -> Generator[Front]:
    """A client that is closed on the way out; `kind` is `http` or `stdio`."""
    client = Http(place, name) if kind == "http" else Pipe(place, name)
    try:
        yield client
    finally:
        client.close()
