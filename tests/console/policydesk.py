"""A desk with policy files, their history and an audit that can be searched, and a console on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

from mcpwatch.console.app import Settings
from mcpwatch.console.policy_screen import PolicyScreen
from mcpwatch.console.save_dialog import SaveDialog
from mcpwatch.filters import parse_filter
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError
from mcpwatch.records import rfc3339
from tests.console.driving import Bench
from tests.console.feed import POLICY_TEXT, START_MS, TOOLS, FeedDesk, Object, hello


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def problems_of(text: str) -> list[Object]:
    """Why a text cannot be put in force, [] when it can."""
    try:
        read_policy(text.encode())
    except PolicyError as fault:
        return [
            {"line": p.line, "column": p.column, "pointer": p.pointer, "message": p.message, "severity": p.severity}
            for p in fault.problems
        ]
    return []


class PolicyDesk(FeedDesk):
    """Keeps policies as the gateway does: a save needs the digest of the file, a broken file leaves the last good."""

    def __init__(self, texts: dict[str, str], rows: Sequence[Object] = (), names: dict[str, str] | None = None) -> None:
        super().__init__()
        self.files = dict(texts)
        self.names = {name: f"/etc/mcpwatch/{name}.json" for name in texts} | (names or {})
        self.in_force = {name: "" if problems_of(text) else digest_of(text) for name, text in texts.items()}
        self.past: list[Object] = []
        self.rows = list(rows)
        for name, text in texts.items():
            self._installed(name, text, "start")

    async def policy(self, upstream: str) -> Object:
        self._did("policy", upstream=upstream, answer={})
        return self.view(upstream)

    def view(self, upstream: str) -> Object:
        text = self.files[upstream]
        return {
            "file": self.names[upstream],
            "text": text,
            "digest": digest_of(text),
            "installed": self.in_force[upstream],
            "problems": problems_of(text),
        }

    async def save_policy(self, upstream: str, text: str, base_digest: str, by: str = "console") -> Object:
        self._did("save_policy", upstream=upstream, text=text, base_digest=base_digest, by=by, answer={})
        problems = problems_of(text)
        if problems:
            return {"status": 422, "problems": problems}
        now = self.files[upstream]
        if digest_of(now) != base_digest:
            return {"status": 409, "digest": digest_of(now), "text": now}
        self.write(upstream, text, by)
        return {"status": 200, "digest": digest_of(text)}

    def write(self, upstream: str, text: str, by: str = "file") -> None:
        """Another text in the file, and in force when it can be."""
        self.files[upstream] = text
        problems = problems_of(text)
        if problems:
            about = {"upstream": upstream, "file": self.names[upstream], "problems": problems}
            self.put({"type": "policy_rejected", "at_ms": START_MS, **about})
            return
        self.in_force[upstream] = digest_of(text)
        self._installed(upstream, text, by)
        event = {"type": "policy_installed", "at_ms": START_MS, "upstream": upstream, "by": by}
        self.put(event | self.view(upstream))

    async def history(self, upstream: str) -> Object:
        self._did("history", upstream=upstream, answer={})
        return {"policies": [entry for entry in self.past if entry["upstream"] == upstream]}

    async def search(self, filter: str = "", since_ms: int = 0, before_seq: int = 0, limit: int = 200) -> Object:
        asked = {"filter": filter, "since_ms": since_ms, "before_seq": before_seq, "limit": limit}
        self._did("search", **asked, answer={})
        wanted = parse_filter(filter)
        found = [row for row in self.rows if wanted.matches(row) and (not before_seq or row["seq"] < before_seq)]
        page = found[-limit:]
        return {"rows": page, "before_seq": page[0]["seq"] if len(page) < len(found) else 0}

    def saved(self) -> list[Object]:
        """What was asked to be saved."""
        return [values for what, values in self.orders if what == "save_policy"]

    def _installed(self, upstream: str, text: str, by: str) -> None:
        at = rfc3339(START_MS + len(self.past) * 60_000)
        self.past.append({"upstream": upstream, "at": at, "by": by, "digest": digest_of(text), "text": text})


def call(seq: int, tool: str, decision: str = "allow", **more: Any) -> Object:
    """One record of the audit."""
    at_ms = START_MS - 600_000 + seq * 1000
    known: Object = {"seq": seq, "call_id": f"c{seq:06d}", "at": rfc3339(at_ms), "instance": "default"}
    known |= {"upstream": "eks", "grant": "triage", "client": {"name": "claude-code", "version": "2"}, "session": ""}
    known |= {"method": "tools/call", "tool": tool, "args": {"namespace": "shop"}, "decision": decision, "rule": ""}
    known |= {"reason": "", "policy": "", "counters": [], "held_ms": None, "approved_by": "", "outcome": "ok"}
    steps: list[Object] = []
    known |= {"latency_ms": 12, "result_bytes": 100, "would_deny": "", "message": "", "steps": steps, "error": ""}
    return known | more


@asynccontextmanager
async def policy_console(
    *texts: str,
    rows: Sequence[Object] = (),
    events: Sequence[Object] = (),
    tools: dict[str, list[Object]] | None = None,
    names: dict[str, str] | None = None,
    size: tuple[int, int] = (120, 40),
    read_only: bool = False,
) -> AsyncGenerator[tuple[Bench, PolicyDesk]]:
    """A console whose upstreams `eks`, `two` have these policies (the feed's when none is given)."""
    known: dict[str, str] = dict(zip(("eks", "two"), texts or (POLICY_TEXT,), strict=False))
    desk = PolicyDesk(known, rows, names)
    first = hello()
    first["policies"] = {name: desk.view(name) for name in known}
    first["tools"] = {name: [tool(each) for each in TOOLS] for name in known} if tools is None else tools
    first["status"]["upstreams"] = {name: {"state": "ready"} for name in known}
    desk.put(first, *events)
    holder: list[Bench] = []
    settings = Settings(read_only=read_only, by="kim", zone=UTC, now_ms=lambda: holder[0].at_ms if holder else START_MS)
    bench = Bench(desk, START_MS, settings)
    holder.append(bench)
    async with bench.app.run_test(size=size, notifications=True, message_hook=bench.heard) as pilot:
        bench.pilot = pilot
        await bench.until(lambda: bench.app.link.up and desk.waiting.empty() and not bench.app.link.pending)
        await bench.until(lambda: bench.app.seat is not None)
        await bench.drawn()
        yield bench, desk


def tool(name: str, **more: Any) -> Object:
    """A tool as an upstream offers it."""
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def policy(tools: Object | None = None, **more: Any) -> str:
    """A policy text in JSON that denies by default."""
    return json.dumps({"version": "1", "default": "deny", **more, "tools": tools or {}}, indent=2) + "\n"


def said(bench: Bench) -> str:
    """The messages in the corner, all that were ever said in this test."""
    notes = bench.app._notifications  # pyright: ignore[reportPrivateUsage]
    return "\n".join(note.message for note in notes)


async def asked(bench: Bench, *keys: str) -> str:
    """Press keys and wait for the dialog before a save; its text."""
    await bench.press(*keys)
    await bench.until(lambda: isinstance(bench.app.screen, SaveDialog))
    await bench.until(lambda: "Leave it" in bench.text())
    return bench.text()


async def chosen_tool(bench: Bench, name: str) -> None:
    """Select a tool on the Tools screen."""
    await bench.press("2", "g")
    await bench.drawn()
    at = [each["name"] for each in bench.app.ledger.upstreams["eks"].tools].index(name)
    await bench.press(*["j"] * at)


async def at_policy(bench: Bench) -> PolicyScreen:
    """Go to the policy screen and wait until its text is there and judged."""
    await bench.press("3")
    screen = bench.app.screen
    assert isinstance(screen, PolicyScreen)
    await bench.until(lambda: screen.settled and bool(screen.editor.text))
    return screen
