"""Hostile messages over both fronts, before a byte-recording server and both SDKs: none may get through.

    nice python -m tests.campaigns.hostile --messages 12000

Half of the messages are broken ones, half are whole and sly. They are shared out equally among HTTP and `mcpwatch
stdio`, each before three servers on stdio behind a tap that keeps their bytes: a plain one, the Python SDK's and the
TypeScript SDK's (npm, installed on first use). Counted are bypasses (bytes at the server that any reader takes for a
call of another tool than the one allowed), requests without an answer of their own, attempts that are not in the audit
exactly once, and whether everything still runs. Ends with 1 if anything is amiss.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.campaigns.fronts import Front, Unanswered, front
from tests.campaigns.place import Place, place
from tests.campaigns.sly import sly
from tests.cli.running import SERVER
from tests.fuzz.opinions import same
from tests.gateway.reference_wire import message_of, seen
from tests.gateway.test_fuzz import is_recorded, mutated
from tests.real.parts import npm_program

TAP = Path(__file__).with_name("tap.py")
SDK = Path(__file__).parent.parent / "gateway" / "fixtures" / "sdk_server.py"
_STALE_S = 3.0


@dataclass(frozen=True)
class Server:
    """`allowed` is the one tool the policy allows, with `arguments` that it likes; `forbidden` is another it has."""

    name: str
    command: tuple[str, ...]
    allowed: str
    forbidden: str
    arguments: dict[str, Any]


def servers(names: list[str]) -> list[Server]:
    found: list[Server] = []
    if "plain" in names:
        found.append(Server("plain", (sys.executable, str(SERVER)), "echo", "secret", {}))
    if "python" in names:
        found.append(Server("python", (sys.executable, str(SDK)), "add", "wait", {"a": 1, "b": 2}))
    if "typescript" in names:
        program = npm_program("npm", "mcp-server-everything")
        found.append(Server("typescript", (program, "stdio"), "echo", "get-env", {"message": "hello"}))
    return found


@dataclass
class Score:
    """What one front before one server did."""

    messages: int = 0
    legal: int = 0
    executed: int = 0
    bypasses: list[bytes] = field(default_factory=list[bytes])
    unanswered: list[str] = field(default_factory=list[str])
    rows: int = 0
    rows_wanted: int = 0
    alive: bool = True

    @property
    def clean(self) -> bool:
        return self.alive and self.rows == self.rows_wanted and not self.bypasses and not self.unanswered

    def __str__(self) -> str:
        return (
            f"{self.messages} messages, {self.legal} legal, {self.executed} executed; {len(self.bypasses)} bypasses, "
            f"{len(self.unanswered)} unanswered, {self.rows} rows of {self.rows_wanted}, alive: {self.alive}"
        )


def campaign(folder: Path, kind: str, server: Server, count: int, seed: int) -> Score:
    """`count` messages over one front before one server."""
    witness = folder / "witness.bytes"
    command = shlex.join((sys.executable, str(TAP), str(witness), *server.command))
    policy: dict[str, Any] = {"version": "1", "default": "deny", "tools": {server.allowed: {}}}
    score, source = Score(), random.Random(seed)
    with place(folder, {"up": command}, policy, "--call-timeout", "2") as where, front(kind, where, "up") as client:
        before = _rows(where)
        for number in range(count):
            raw = mutated(source) if number % 2 else sly(source)
            _attempt(client, score, _spelled(raw, server, kind))
        score.rows = _rows(where, before + score.rows_wanted) - before
        score.alive = _alive(client, server) and where.serving.process.poll() is None
    _witnessed(score, witness.read_bytes(), server)
    return score


def _attempt(client: Front, score: Score, raw: bytes) -> None:
    if not raw.strip():
        return
    message = message_of(raw)
    score.messages += 1
    score.legal += message is not None
    score.rows_wanted += is_recorded(raw)
    try:
        answers = client.attempt(raw)
    except Unanswered as fault:
        score.unanswered.append(f"{fault}: {raw[:300]!r}")
        return
    ids = [answer.get("id") for answer in answers if "method" not in answer]
    wanted = [message.id] if message is not None and message.kind == "request" else ids[:1]
    if not same(ids, wanted):
        score.unanswered.append(f"answers to {ids}: {raw[:300]!r}")


def _spelled(raw: bytes, server: Server, kind: str) -> bytes:
    raw = raw.replace(b"safe", server.allowed.encode()).replace(b"forbidden", server.forbidden.encode())
    return raw.replace(b"\n", b" ") if kind == "stdio" else raw


def _rows(where: Place, wanted: int = 0) -> int:
    """Rows in the audit; those of the last moments may still be on their way."""
    deadline = time.monotonic() + _STALE_S
    while True:
        found = len(where.home.run("audit", "search", "--json").out.splitlines())
        if found >= wanted or time.monotonic() > deadline:
            return found


def _alive(client: Front, server: Server) -> bool:
    params = {"name": server.allowed, "arguments": server.arguments}
    raw = json.dumps({"jsonrpc": "2.0", "id": "last", "method": "tools/call", "params": params}).encode()
    try:
        return any(answer.get("id") == "last" and "result" in answer for answer in client.attempt(raw))
    except Unanswered:
        return False


def _witnessed(score: Score, heard: bytes, server: Server) -> None:
    """Every line the server was sent, and every part of one that a raw carriage return may end."""
    for line in heard.replace(b"\r", b"\n").split(b"\n"):
        read = readings(line) if line.strip() else []
        called = {name for method, name in read if seen(method) == "tools/call"}
        score.executed += called == {server.allowed}
        if called - {server.allowed}:
            score.bypasses.append(line)


def readings(line: bytes) -> list[tuple[str, str]]:
    """Method and tool as readers of several minds take them: the first of a key, the last, any spelling of it."""

    def first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs))

    def folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {seen(key): value for key, value in pairs}

    found: list[tuple[str, str]] = []
    for hook in (first, dict, folded):
        message: dict[str, Any] = json.loads(line, object_pairs_hook=hook)
        params: Any = message.get("params")
        name: Any = cast("dict[str, Any]", params).get("name") if isinstance(params, dict) else None
        found.append((str(message.get("method")), str(name)))
    return found


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--messages", type=int, default=12_000)
    words.add_argument("--servers", nargs="+", default=["plain", "python", "typescript"])
    words.add_argument("--seed", type=int, default=1)
    asked = words.parse_args()
    chosen = servers(asked.servers)
    clean, total = True, 0
    for number, server in enumerate(chosen):
        for kind in ("http", "stdio"):
            with tempfile.TemporaryDirectory(prefix="mcpwatch-hostile-") as folder:
                count = asked.messages // (2 * len(chosen))
                score = campaign(Path(folder), kind, server, count, asked.seed + number)
            print(f"{kind:5} {server.name:10} {score}", flush=True)
            for fault in (*score.bypasses[:3], *score.unanswered[:3]):
                print(f"    {fault!r}")
            clean, total = clean and score.clean, total + score.messages
    print(f"{total} hostile messages: {'nothing got through' if clean else 'NOT CLEAN'}")
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
