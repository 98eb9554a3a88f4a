"""A console whose gateway repeats what an attacker wrote, in every place that others can write to.

Run as `python -m tests.console.hostile`; the terminal test watches its bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator

from mcpwatch.console.app import Settings, run_console
from mcpwatch.console.clockwork import now_ms
from mcpwatch.console.wire import table, tables
from tests.console.feed import POLICY, Feed, FeedDesk, Object, hello

MARK = "PWNED"
ATTACKS = (
    f"\x1b]52;c;{MARK}\x07",
    f"\x1b]0;{MARK}\x07",
    f"\x9d0;{MARK}\x9c",
    "\x1b[31;5m\x1b[2J\x1b[3;4H",
    "\x9b31;5m",
    f"\x1bP{MARK}\x1b\\",
    "\x1b[5n\x1b[c\x05",
    "\r\n\x08\x0b\x0c\x0e\x0f\x7f\x00",
    "\u202e\u2066\u200b\u200f\ufeff\U000e0041",
    "\ud83d\udc00",
    "[@click=app.exit]x[/] [/ [bold]",
)
ALL = "".join(ATTACKS)


def events(at_ms: int) -> Iterator[Object]:
    """Hostile text as tool, caller, arguments, reasons, errors, files, scopes."""
    feed = Feed(at_ms=at_ms)
    for number, attack in enumerate((*ATTACKS, ALL)):
        for event in feed.call(f"g{attack}", "get_pod_logs", {f"k{attack}": [f"v{attack}", {attack: attack}]}):
            spoil(event, attack)
            yield event
        yield from feed.call("deploy", "apply_yaml", {"namespace": "prod", f"{number}{attack}": attack})
    problem = {"line": 1, "column": 1, "pointer": f"/tools/{ALL}", "message": ALL}
    yield {"type": "policy_rejected", "at_ms": at_ms, "upstream": "eks", "file": f"p{ALL}.json", "problems": [problem]}
    failed = {"type": "upstream_changed", "at_ms": at_ms, "upstream": f"up{ALL}", "state": "failed"}
    yield failed | {"error": ALL, "remedy": ALL}
    yield {"type": "tools_changed", "at_ms": at_ms, "upstream": "eks", "tools": [{"name": ALL, "description": ALL}]}
    yield {"type": "audit_state", "at_ms": at_ms, "state": f"failed{ALL}", "error": ALL}
    yield {"type": "counters_state", "at_ms": at_ms, "state": f"failed{ALL}", "error": ALL, "store": f"{ALL}://{ALL}"}
    yield {"type": "frozen", "at_ms": at_ms, "scope": f"tool:{ALL}", "on": True, "by": ALL}


def spoil(event: Object, attack: str) -> None:
    """Put an attack into every text of a call."""
    inner = table(event.get("record")) or table(event.get("outcome"))
    for name in ("tool", "client", "client_version", "session", "rule", "reason", "message", "would_deny", "error"):
        if name in inner:
            inner[name] = f"{inner[name]}{attack}"
    for counter in tables(inner.get("counters")):
        counter["name"] += attack
        counter["value"] += attack
    for step in tables(inner.get("steps")):
        step["detail"] += attack


class BreakingDesk(FeedDesk):
    """A desk on which the console itself breaks, with a hostile text in hand."""

    async def status(self) -> Object:
        raise RuntimeError(ALL)


async def main() -> None:
    """Show it; with BREAK in the environment the console breaks after two seconds."""
    now = now_ms()
    first = hello(now, instance=f"i{ALL}")
    first["connect"]["endpoints"] = {"eks": f"http://h/{ALL}"}
    first["policies"]["eks"]["text"] = json.dumps({**POLICY, "description": ALL}, ensure_ascii=False, indent=2)
    kind = BreakingDesk if "BREAK" in os.environ else FeedDesk
    await run_console(kind(first, *events(now)), Settings())


if __name__ == "__main__":
    asyncio.run(main())
