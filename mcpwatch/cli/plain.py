"""What happens in a gateway, a line each: for terminals that cannot draw, for pipes, and for screen readers."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterable
from types import FrameType
from typing import Any

from mcpwatch.cli.output import one_line, put
from mcpwatch.config import Place
from mcpwatch.records import record_from_json, rfc3339

_WORDS = {"allow": "ALLOW", "deny": "DENY", "hold": "HOLD", "reject": "REJECT"}
Object = dict[str, Any]


def follow(place: Place) -> None:
    """Print what happens until the gateway ends, or until interrupted (KeyboardInterrupt, also for SIGTERM)."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        asyncio.run(_follow(place))
    finally:
        signal.signal(signal.SIGTERM, before)


async def _follow(place: Place) -> None:
    from mcpwatch.control.client import ControlClient

    async with ControlClient(place.socket) as client:
        async for event in client.events():
            for line in lines_of(event):
                put(line)


def lines_of(event: Object) -> Iterable[str]:
    """An event as people read it in one line; [] for those that only a screen can show."""
    kind = event.get("type")
    writer = {
        "hello": _hello,
        "call_decided": _decided,
        "call_settled": _settled,
        "policy_installed": _installed,
        "policy_rejected": _rejected,
        "upstream_changed": _upstream,
        "frozen": _frozen,
        "audit_state": _audit,
        "dropped": _dropped,
    }.get(str(kind))
    return writer(event) if writer else []


def call_line(record: Object) -> str:
    """One call of the audit in one line of at most 80 columns."""
    who = record["grant"] or "-"
    what = record["tool"] or record["method"]
    head = f"{record['at'][11:19]} {_WORDS.get(record['decision'], '?'):6} "
    spent = "" if record.get("latency_ms") is None else f" {record['latency_ms']:.0f} ms"
    tail = f" {record['outcome']}{spent}" if record.get("outcome") and record["decision"] == "allow" else ""
    why = f" {record['rule']}" if record["rule"] else " " + json.dumps(record["args"], ensure_ascii=False)
    return head + one_line(f"{who} {what}{tail}{why}", 80 - len(head))


def _hello(event: Object) -> Iterable[str]:
    status = event["status"]
    yield f"gateway {status['instance']} (pid {status['pid']})"
    for name, url in status["endpoints"].items():
        yield f"  {name}: {url}"
    if status.get("demo"):
        yield "  this is a demo: nothing real is touched"


def _decided(event: Object) -> Iterable[str]:
    from mcpwatch.records import record_json

    yield call_line(record_json(record_from_json(event["record"])))


def _settled(event: Object) -> Iterable[str]:
    outcome = event["outcome"]
    if outcome["outcome"] not in ("ok", "not_sent"):
        yield one_line(f"         {outcome['outcome']} {outcome['call_id']} {outcome.get('error', '')}", 80)


def _installed(event: Object) -> Iterable[str]:
    yield one_line(f"{_clock(event)} POLICY {event['upstream']} {event['digest'][:12]} by {event['by']}", 80)


def _rejected(event: Object) -> Iterable[str]:
    yield f"{_clock(event)} POLICY of {event['upstream']} NOT TAKEN; the last good one stays"
    for problem in event["problems"]:
        yield f"  {event['file']}:{problem['line']}:{problem['column']}  {problem['pointer']}  {problem['message']}"


def _upstream(event: Object) -> Iterable[str]:
    yield one_line(f"{_clock(event)} UPSTREAM {event['upstream']} {event['state']} {event['error']}", 80)
    if event["remedy"]:
        yield f"  {event['remedy']}"


def _frozen(event: Object) -> Iterable[str]:
    yield f"{_clock(event)} {'FROZEN' if event['on'] else 'THAWED'} {event['scope']} by {event['by'] or '-'}"


def _audit(event: Object) -> Iterable[str]:
    yield one_line(f"{_clock(event)} AUDIT {event['state']} {event['error']}", 80)


def _dropped(event: Object) -> Iterable[str]:
    yield f"         ({event['count']} events were not shown: this terminal was too slow)"


def _clock(event: Object) -> str:
    return rfc3339(event["at_ms"])[11:19]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
