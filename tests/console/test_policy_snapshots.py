"""How Tools, Policy, Audit and the save dialog look; `--snapshot-update` after a wanted change, and look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from time import monotonic
from typing import Any

import pytest
from textual.pilot import Pilot

from mcpwatch.console.app import ConsoleApp, Settings
from mcpwatch.console.policy_screen import PolicyScreen
from mcpwatch.console.save_dialog import SaveDialog
from tests.console.feed import POLICY_TEXT, START_MS, TOOLS, Feed, hello
from tests.console.policydesk import PolicyDesk, call, tool

Compare = Callable[..., bool]
Reached = Callable[[ConsoleApp], bool]
SIZES = [(80, 24), (120, 40)]


def shown(text: str = POLICY_TEXT) -> ConsoleApp:
    """A console with calls behind it, in the audit too."""
    feed = Feed(seed=3)
    rows = [call(seq, TOOLS[seq % 3], "deny" if seq % 4 == 0 else "allow") for seq in range(1, 61)]
    desk = PolicyDesk({"eks": text}, rows)
    first = hello()
    first["policies"] = {"eks": desk.view("eks")}
    first["tools"] = {"eks": [tool(name, description="What it does, in a line or two.") for name in TOOLS]}
    desk.put(first, *feed.run(60, 300))
    return ConsoleApp(desk, Settings(zone=UTC, now_ms=lambda: START_MS + 60_000, by="kim"))


def pressing(reached: Reached, *keys: str) -> Callable[[Pilot[Any]], Any]:
    """Waits until the console knows everything, presses keys, waits for what they lead to."""

    async def until(pilot: Pilot[Any], holds: Callable[[], bool]) -> None:
        end = monotonic() + 20
        while not holds():
            assert monotonic() < end
            await pilot.pause(0.02)

    async def run(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        assert isinstance(app.desk, PolicyDesk)
        desk = app.desk
        await until(pilot, lambda: desk.waiting.empty() and not app.link.pending and app.link.up)
        await until(pilot, lambda: app.seat is not None)
        for key in keys:
            app.pump.draw(now=True)
            await pilot.press(key)
            await pilot.pause()
        await until(pilot, lambda: reached(app))
        for _ in range(3):
            app.pump.draw(now=True)
            await pilot.pause()

    return run


def there(app: ConsoleApp) -> bool:
    return True


def settled(app: ConsoleApp) -> bool:
    return isinstance(app.screen, PolicyScreen) and app.screen.settled and bool(app.screen.editor.text)


def asked(app: ConsoleApp) -> bool:
    return isinstance(app.screen, SaveDialog) and bool(app.screen.query("#keys"))


def searched(app: ConsoleApp) -> bool:
    assert isinstance(app.desk, PolicyDesk)
    return any(what == "search" for what, _ in app.desk.orders)


@pytest.mark.parametrize("size", SIZES)
def test_tools(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(), terminal_size=size, run_before=pressing(there, "2", "j"))


@pytest.mark.parametrize("size", SIZES)
def test_policy(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(), terminal_size=size, run_before=pressing(settled, "3"))


@pytest.mark.parametrize("size", SIZES)
def test_policy_with_a_fault(snap_compare: Compare, size: tuple[int, int]) -> None:
    text = POLICY_TEXT.replace('"hide"', '"hied"')
    assert snap_compare(shown(text), terminal_size=size, run_before=pressing(settled, "3"))


@pytest.mark.parametrize("size", SIZES)
def test_audit(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(), terminal_size=size, run_before=pressing(searched, "4"))


@pytest.mark.parametrize("size", SIZES)
def test_saving(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(), terminal_size=size, run_before=pressing(asked, "2", "j", "x"))
