"""`mcpwatch status` and `mcpwatch stop`."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterable
from typing import Any

import click

from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put, put_json, say, table
from mcpwatch.cli.reach import ask
from mcpwatch.config import Place
from mcpwatch.errors import ConfigError

_END_S = 20.0


@click.command()
@place_options
@json_option
def status(place: Place, as_json: bool) -> None:
    """Show what a running gateway does: upstreams, policies, counters, holds, audit."""
    now = ask(place, lambda client: client.status())
    if as_json:
        put_json(now)
        return
    for line in _lines(now):
        for part in textwrap.wrap(line, 80, subsequent_indent="    ", break_on_hyphens=False):
            put(part)


@click.command()
@place_options
@json_option
def stop(place: Place, as_json: bool) -> None:
    """End a running gateway. Calls in flight get up to five seconds."""
    pid: int = ask(place, lambda client: client.status())["pid"]
    ask(place, lambda client: client.stop())
    if not _ended(pid, _END_S):
        raise ConfigError(f"the gateway (pid {pid}) has not ended after {_END_S:.0f} s")
    if as_json:
        put_json({"stopped": pid})
    else:
        say(f"The gateway (pid {pid}) has ended.")


def _ended(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not _alive(pid):
            return True
        time.sleep(0.05)
    return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """A process that has ended and whose parent has not noticed counts as ended (Linux only)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


def _lines(now: dict[str, Any]) -> Iterable[str]:
    yield f"gateway {now['instance']}, pid {now['pid']}, up {_span(now['uptime_s'])}"
    if now.get("demo"):
        yield "this is a demo: nothing real is touched"
    yield from _upstreams(now)
    yield from _policies(now)
    counters: list[dict[str, Any]] = now["counters"]
    if counters:
        yield "limits in use"
        yield from table(
            ("  " + c["name"], f"{c['used']}/{c['max']}", f"per {c['window']}", str(c.get("value") or "-"))
            for c in sorted(counters, key=_fullness)
        )
    for hold in now["holds"]:
        yield f"waiting for approval: {hold.get('tool', '')} by {hold.get('grant', '')} ({hold.get('call_id', '')})"
    for scope in now["frozen"]:
        yield f"frozen: {'everything' if scope == '*' else scope.replace(':', ' ', 1)}"
    yield from _counter_store(now.get("counter_store") or {})
    audit = now["audit"]
    fault = f": {audit['error']}" if audit["error"] else ""
    yield f"audit {audit['state']}{fault}, {audit['rows']} rows; consoles attached: {now['consoles']}"


def _counter_store(store: dict[str, Any]) -> Iterable[str]:
    if store.get("store", "memory:") == "memory:":
        return
    fault = f": {store['error']}; calls that reach a limit are refused" if store["error"] else ""
    yield f"counters in {store['store']} {store['state']}{fault}"
    if store["emptied_at"]:
        yield f"  emptied at {store['emptied_at']}: every limit has counted from zero since"


def _upstreams(now: dict[str, Any]) -> Iterable[str]:
    for name, url in now["endpoints"].items():
        state = now["upstreams"].get(name, {})
        yield f"upstream {name}: {state.get('state', '?')}"
        if state.get("error"):
            yield f"  {state['error']}"
        if state.get("remedy"):
            yield f"  {state['remedy']}"
        yield f"  {url}"


def _policies(now: dict[str, Any]) -> Iterable[str]:
    for name, policy in now["policies"].items():
        yield f"policy of {name}: {str(policy['hash'])[:12] or 'none'} since {policy['installed_at']}"
        yield f"  {policy['file']}"
        if policy["error"]:
            yield f"  not taken: {policy['error']}"


def _fullness(counter: dict[str, Any]) -> float:
    return -counter["used"] / counter["max"] if counter["max"] else -2.0


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
