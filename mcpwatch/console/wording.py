"""How figures and rules are written: times, numbers, callers, reasons, each as short as it stays clear."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any

from mcpwatch.console.ring import Record, Word
from mcpwatch.console.safe import safe
from mcpwatch.console.wire import number, table, tables

WORDS: dict[Word, str] = {
    "allow": "ALLOW",
    "deny": "DENY",
    "limit": "LIMIT",
    "hold": "HOLD",
    "observe": "OBSERVE",
    "hidden": "HIDDEN",
    "reject": "REJECT",
}
_OUTCOMES = {
    "timeout": "timeout",
    "cancelled": "cancel",
    "client_gone": "gone",
    "transport_error": "broken",
    "unknown": "unknown",
    "not_sent": "",
}
_SHARED_GRANTS = ("local", "open", "")


@lru_cache(maxsize=512)
def _clock(second: int, zone: tzinfo | None) -> str:
    try:
        return datetime.fromtimestamp(second, UTC).astimezone(zone).strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def clock(at_ms: int, zone: tzinfo | None, *, ms: bool = False) -> str:
    """Time of day in `zone` (None: the machine's), with milliseconds on request."""
    text = _clock(at_ms // 1000, zone)
    return f"{text}.{at_ms % 1000:03d}" if ms else text


def moment(at_ms: int, zone: tzinfo | None, *, ms: bool = False) -> str:
    """Day and time in `zone` (None: the machine's): `2026-11-22 11:30:00 CET`."""
    try:
        there = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return "-"
    thousandths = f".{at_ms % 1000:03d}" if ms else ""
    return f"{there:%Y-%m-%d %H:%M:%S}{thousandths} {there:%Z}".rstrip()


def latency(value_ms: float) -> str:
    """`0.4ms`, `42ms`, `1.2s`, `61s`, `2m05s`."""
    if value_ms < 1:
        return f"{value_ms:.1f}ms"
    if value_ms < 1000:
        return f"{value_ms:.0f}ms"
    return f"{value_ms / 1000:.1f}s" if value_ms < 10_000 else span(int(value_ms))


def span(value_ms: int) -> str:
    """A length of time in at most six characters: `23s`, `4m05s`, `3h12m`, `5d02h`."""
    seconds = max(0, value_ms) // 1000
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3600:02d}h"


def age(value_ms: int) -> str:
    """A length of time in its largest unit: `23s`, `4m`, `3h`, `5d`."""
    seconds = max(0, value_ms) // 1000
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def amount(value: float) -> str:
    """A count or sum: `7`, `0.5`, `9,999`, `12.3k`, `4.5M`."""
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:.1f}M"
    if abs(value) >= 10_000:
        return f"{value / 1000:.1f}k".replace(".0k", "k")
    if value == int(value):
        return f"{int(value):,}" if abs(value) >= 1000 else str(int(value))
    return f"{value:.1f}"


def plain(value: float) -> str:
    """A count without separators, for columns: `7`, `0.5`, `5000`, `12.3k`."""
    return amount(value).replace(",", "")


def rate(value: float) -> str:
    """Calls a second: `0/s`, `0.4/s`, `62/s`, `5,012/s`."""
    if value == 0:
        return "0/s"
    return f"{value:.1f}/s" if value < 10 else f"{value:,.0f}/s"


def caller(record: Record) -> str:
    """Who calls: the grant, or the client's own name when the grant is one that everybody shares. Safe text."""
    grant = str(record.get("grant") or "")
    name = client_name(record)
    return safe(name if grant in _SHARED_GRANTS and name else grant or "-", 60)


def client_name(record: Record) -> str:
    """The name the client gave itself, as it came."""
    return str(table(record.get("client")).get("name") or "")


def client_version(record: Record) -> str:
    """The version the client gave itself, as it came."""
    return str(table(record.get("client")).get("version") or "")


def answer_time(record: Record) -> tuple[str, str]:
    """(text, style) of how a call ended: style is ``, `running` or `fault`; a fault is told by text too."""
    outcome = record.get("outcome")
    if outcome is None:
        return ("waits" if record.get("decision") == "hold" else "…", "running")
    if outcome in _OUTCOMES:
        return _OUTCOMES[str(outcome)], "" if outcome == "not_sent" else "fault"
    text = latency(number(record.get("latency_ms")))
    return (text, "") if outcome == "ok" else (text + "!", "fault")


def fullest(record: Record) -> dict[str, Any] | None:
    """Of the counters that bear on a call, the one that decided, else the one nearest to its maximum."""
    counters = tables(record.get("counters"))
    if not counters:
        return None
    rule = record.get("rule")
    return max(counters, key=lambda item: (bool(rule) and item.get("rule") == rule, share(item)))


def share_text(counter: dict[str, Any]) -> str:
    """`7/10`."""
    return f"{plain(number(counter.get('used')))}/{plain(number(counter.get('max')))}"


def share(counter: dict[str, Any]) -> float:
    """How much of a counter's maximum is used, 1.0 for a maximum of zero."""
    most = number(counter.get("max"))
    return number(counter.get("used")) / most if most > 0 else 1.0


def why(record: Record) -> str:
    """The rule that decided, without what the row says anyway: `default deny`, `deny_if kind-eq`, `pods_rate`."""
    rule = str(record.get("rule") or record.get("would_deny") or "")
    if not rule.startswith("/"):
        return safe(rule.strip("()"), 80)
    parts = [part.replace("~1", "/").replace("~0", "~") for part in rule.split("/")[1:]]
    if parts[0] == "tools":
        parts = parts[2:]
    if parts and parts[0] == "limits":
        parts = parts[1:]
    return safe(" ".join(parts).replace("args.", ""), 80)
