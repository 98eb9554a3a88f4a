"""The console for pipes, logs and terminals that cannot draw: one line for each thing that happens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from typing import Any, TextIO

from mcpwatch.console.clockwork import now_ms
from mcpwatch.console.columns import Needs, plan
from mcpwatch.console.desk import Desk
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.link import Link
from mcpwatch.console.ring import Call
from mcpwatch.console.safe import fit, safe, safe_values, shorten
from mcpwatch.console.wording import WORDS, answer_time, caller, clock, fullest, share_text, why

_GLYPHS = {"allow": "+", "deny": "x", "limit": "!", "hold": "?", "observe": "~", "hidden": "-", "reject": "#"}
_NEEDS = Needs(tool=24, caller=8, used=2, most=3)


def needs_plain(environ: Mapping[str, str], stdout: TextIO) -> bool:
    """Whether this terminal cannot show the full screen: no tty, or one that says it is dumb."""
    return environ.get("TERM", "dumb") in ("", "dumb") or not stdout.isatty()


def terminal_width(stdout: TextIO, fallback: int = 80) -> int:
    """Columns of the terminal behind `stdout`, `fallback` when there is none."""
    try:
        return os.get_terminal_size(stdout.fileno()).columns or fallback
    except (OSError, ValueError):
        return fallback


class PlainPrinter:
    """Turns events into lines of at most `width` characters, ASCII apart from what others wrote."""

    def __init__(self, *, width: int = 80, zone: tzinfo | None = None) -> None:
        self.ledger = Ledger(capacity=2_000)
        self._width = max(40, width)
        self._zone = zone

    def lines(self, event: Mapping[str, Any]) -> Iterator[str]:
        """What one event has to say; the ledger is brought up to date first."""
        self.ledger.fold(event)
        kind = event.get("type")
        if kind == "hello":
            yield from self._hello()
        elif kind in ("call_decided", "call_settled"):
            yield from self._call(event)
        elif kind in ("policy_installed", "policy_rejected", "upstream_changed", "frozen", "audit_state", "dropped"):
            yield self._fit(f"{self._clock(event)} * {self._remark(event)}")

    def _hello(self) -> Iterator[str]:
        ledger = self.ledger
        for name, url in ledger.connect.get("endpoints", {}).items():
            view = ledger.policies.get(name)
            policy = f"policy {view.digest[:7]}, default {view.default or 'deny all'}" if view else "no policy"
            yield self._fit(f"mcpwatch {safe(name, 40)} {safe(url, 80)} {policy}")
        for call in ledger.calls:
            if call.settled:
                yield self.line(call)

    def _call(self, event: Mapping[str, Any]) -> Iterator[str]:
        inner = event.get("record") or event.get("outcome") or {}
        call = self.ledger.calls.named(str(inner.get("call_id", "")))
        if call is None:
            return
        waits = event.get("type") == "call_decided" and call.word == "hold"
        refused = event.get("type") == "call_decided" and call.settled
        if waits or refused or event.get("type") == "call_settled":
            yield self.line(call)

    def line(self, call: Call) -> str:
        """One call."""
        columns = {column.name: column.width for column in plan(self._width + 1, _NEEDS).columns}
        counter = fullest(call.record)
        cells = {
            "time": clock(call.at_ms, self._zone),
            "decision": f"{_GLYPHS[call.word]} {WORDS[call.word]}",
            "tool": safe(call.tool, 200),
            "caller": caller(call.record),
            "counter": share_text(counter) if counter else "",
            "latency": answer_time(call.record)[0].rjust(columns.get("latency", 0)),
            "why": why(call.record),
            "args": safe_values(call.record.get("args"), 400),
        }
        return self._fit(" ".join(fit(cells[name], width) for name, width in columns.items()).rstrip())

    def _remark(self, event: Mapping[str, Any]) -> str:
        upstream = safe(event.get("upstream") or "", 40)
        match event.get("type"):
            case "policy_installed":
                return f"{upstream}: policy {safe(event.get('digest') or '', 7)} is in force"
            case "policy_rejected":
                return f"{upstream}: {safe(self.ledger.policies[str(event['upstream'])].error, 400)}"
            case "upstream_changed":
                return f"{upstream}: {safe(event.get('state') or '', 20)} {safe(event.get('error') or '', 300)}"
            case "frozen":
                return f"{safe(event.get('scope') or '', 80)} is {'frozen' if event.get('on') else 'thawed'}"
            case "dropped":
                return f"{event.get('count')} events were not shown: too fast for this console"
            case _:
                return f"audit {safe(event.get('state') or '', 20)} {safe(event.get('error') or '', 300)}"

    def _clock(self, event: Mapping[str, Any]) -> str:
        at_ms = event.get("at_ms")
        return clock(int(at_ms) if at_ms else self.ledger.now_ms, self._zone)

    def _fit(self, text: str) -> str:
        return shorten(text.rstrip(), self._width)


async def run_plain(desk: Desk, write: Callable[[str], object], *, width: int = 80, zone: tzinfo | None = None) -> None:
    """Write lines (each with its newline) until cancelled; says so when the gateway is away and when it is back."""
    link, printer = Link(desk), PlainPrinter(width=width, zone=zone)
    reader = asyncio.create_task(link.run())
    told = ""
    try:
        while True:
            await link.wait()
            while link.pending:
                printer.ledger.tick(now_ms())
                for line in printer.lines(link.pending.popleft()):
                    write(line + "\n")
            gone = "" if link.up else link.error
            if gone and gone != told:
                write(shorten(f"* {safe(gone, 200)}; trying again", width) + "\n")
            told = gone
    finally:
        reader.cancel()
