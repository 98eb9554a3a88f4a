"""Runs the command line as a black box: subprocesses, their output and exit codes, and a plain HTTP client."""

from __future__ import annotations

import copy
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("echo_server.py")
PROGRAM = [sys.executable, "-m", "mcpwatch"]
WITHIN_S = 30.0
ALLOW: dict[str, Any] = {"version": "1", "default": "allow", "tools": {}}

Object = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Home:
    """A machine's worth of folders: nothing of one test is seen by another."""

    root: Path
    extra: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.root),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "XDG_STATE_HOME": str(self.root / "state"),
            **self.extra,
        }

    @property
    def state(self) -> Path:
        return self.root / "state" / "mcpwatch"

    def write(self, name: str, value: object) -> Path:
        path = self.root / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    def run(self, *arguments: str | Path, stdin: str = "", timeout: float = WITHIN_S) -> Done:
        """Run one command to its end."""
        done = subprocess.run(
            command(*arguments), input=stdin, capture_output=True, text=True, env=self.env, cwd=self.root,
            timeout=timeout, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def serve(self, *arguments: str | Path, policy: object = None) -> Serving:
        """Start `serve` in front of the echo server and wait until it is ready."""
        path = self.write("policy.json", ALLOW if policy is None else policy)
        more = ("--listen", "127.0.0.1:0", "--policy", path, *arguments)
        upstream = () if "--upstream" in arguments else ("--upstream", echo())
        return Serving(self, path, *upstream, *more)


class Serving:
    """A running `mcpwatch serve`; use as a context manager, so that nothing is left behind."""

    def __init__(self, home: Home, policy: Path, *arguments: str | Path) -> None:
        self.home = home
        self.policy = policy
        self._errors = home.root / f"serve-{time.monotonic_ns()}.err"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                command("serve", *arguments), stdout=subprocess.PIPE, stderr=errors, text=True, env=home.env,
                cwd=home.root, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.ready: Object = json.loads(self._line())
        self.url: str = next(iter(self.ready["endpoints"].values()))

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(WITHIN_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    @property
    def token(self) -> str:
        return (self.home.state / "local.token").read_text().strip()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)

    def rest_of_stdout(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def client(self, token: str | None = None) -> Client:
        return Client(self.url, self.token if token is None else token)

    def _line(self) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(WITHIN_S), self.errors
        line = self.process.stdout.readline()
        assert line, self.errors
        return line


class Client:
    """A handshake-era client of one connection's worth, on nothing but urllib."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        self._id = 0
        info = {"name": "tester", "version": "1"}
        opening = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
        self.greeting = self.ask("initialize", opening)
        self.headers["MCP-Protocol-Version"] = "2025-06-18"
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def twin(self, first_id: int) -> Client:
        """Another caller on the same session, whose ids begin elsewhere."""
        other = copy.copy(self)
        other.headers, other._id = dict(self.headers), first_id
        return other

    def ask(self, method: str, params: Object) -> Object:
        """One request; returns the whole answer."""
        self._id += 1
        answer = self.post({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        assert answer is not None
        assert answer["id"] == self._id
        return answer

    def call(self, tool: str, **arguments: Any) -> Object:
        """Call a tool; returns the result."""
        result: Object = self.ask("tools/call", {"name": tool, "arguments": arguments})["result"]
        return result

    def text(self, tool: str, **arguments: Any) -> str:
        """Call a tool; returns the text of its answer."""
        text: str = self.call(tool, **arguments)["content"][0]["text"]
        return text

    def post(self, message: Object) -> Object | None:
        request = urllib.request.Request(self.url, json.dumps(message).encode(), self.headers)
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
            session = answer.headers.get("Mcp-Session-Id")
            if session:
                self.headers["Mcp-Session-Id"] = session
            return _message(answer.headers, answer.read())


def _message(headers: Mapping[str, str], body: bytes) -> Object | None:
    if headers.get("Content-Type", "").startswith("text/event-stream"):
        data = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
        found = [json.loads(text) for text in data if text]
        return next((message for message in found if "id" in message and "method" not in message), None)
    return json.loads(body) if body.strip() else None


def command(*arguments: str | Path) -> list[str]:
    return [*PROGRAM, *map(str, arguments)]


def echo(name: str = "echo", *arguments: str) -> str:
    """The `--upstream` option for the echo server."""
    return f"{name}={sys.executable} {SERVER} {' '.join(arguments)}".rstrip()


def eventually(check: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until `check` is true; asking again is the only way to see into another process."""
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
