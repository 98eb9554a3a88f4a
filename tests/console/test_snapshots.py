"""How the screens look. After a wanted change: pytest tests/console/test_snapshots.py --snapshot-update, and look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from time import monotonic
from typing import Any

import pytest
from textual.pilot import Pilot

from mcpwatch.console.app import ConsoleApp, Settings
from tests.console.feed import START_MS, Feed, FeedDesk, Object, hello

Compare = Callable[..., bool]
SIZES = [(80, 24), (120, 40)]


def shown(events: Sequence[Object], at_ms: int, *, theme: str = "night", owned: bool = False) -> ConsoleApp:
    """A console that will have been told these events, with a clock that stands."""
    desk = FeedDesk(hello(), *events)
    return ConsoleApp(desk, Settings(theme=theme, owned=owned, zone=UTC, now_ms=lambda: at_ms, by="kim"))


def pressing(*keys: str) -> Callable[[Pilot[Any]], Any]:
    """Waits until the console knows everything, presses keys, lets it draw."""

    async def run(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, ConsoleApp)
        assert isinstance(app.desk, FeedDesk)
        end = monotonic() + 20
        while app.desk.waiting.qsize() or app.link.pending or not app.link.up or app.seat is None:
            assert monotonic() < end
            await pilot.pause(0.02)
        app.pump.draw(now=True)
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        for _ in range(3):
            app.pump.draw(now=True)
            await pilot.pause()

    return run


def busy(count: int = 385) -> tuple[list[Object], int]:
    """Four agents at work for some minutes; one call waits."""
    feed = Feed(seed=3)
    return feed.run(count, 300), feed.at_ms


@pytest.mark.parametrize("theme", ["night", "day"])
@pytest.mark.parametrize("size", [*SIZES, (200, 50)])
def test_live(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    assert snap_compare(shown(*busy(), theme=theme), terminal_size=size, run_before=pressing())


@pytest.mark.parametrize("theme", ["colour-blind-safe", "high-contrast", "mono"])
def test_live_in_the_other_themes(snap_compare: Compare, theme: str) -> None:
    assert snap_compare(shown(*busy(), theme=theme), terminal_size=(120, 40), run_before=pressing("k", "k"))


@pytest.mark.parametrize("size", [*SIZES, (200, 50)])
def test_one_call(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(*busy()), terminal_size=size, run_before=pressing("k", "k", "k", "enter"))


@pytest.mark.parametrize("size", SIZES)
def test_nothing_called_yet(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown([], START_MS), terminal_size=size, run_before=pressing())


@pytest.mark.parametrize("size", SIZES)
def test_holds(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(*busy()), terminal_size=size, run_before=pressing("5"))


@pytest.mark.parametrize("size", SIZES)
def test_approving(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(*busy()), terminal_size=size, run_before=pressing("a"))


@pytest.mark.parametrize("size", SIZES)
def test_help(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(*busy()), terminal_size=size, run_before=pressing("question_mark"))


@pytest.mark.parametrize("size", SIZES)
def test_quitting(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(shown(*busy(), owned=True), terminal_size=size, run_before=pressing("q"))


@pytest.mark.parametrize("size", SIZES)
def test_filtering(snap_compare: Compare, size: tuple[int, int]) -> None:
    keys = ["slash", *"dec:deny ms>x"]
    assert snap_compare(shown(*busy()), terminal_size=size, run_before=pressing(*keys))


@pytest.mark.parametrize("size", SIZES)
def test_alarms(snap_compare: Compare, size: tuple[int, int]) -> None:
    events, at_ms = busy()
    problem = {"line": 16, "column": 7, "pointer": "/tools/apply_yaml", "message": 'unknown field "limts"'}
    events.append(
        {"type": "policy_rejected", "at_ms": at_ms, "upstream": "eks", "file": "e.json", "problems": [problem]}
    )
    failed = {"type": "upstream_changed", "at_ms": at_ms, "upstream": "eks", "state": "failed", "error": "no region"}
    events.append(failed | {"remedy": "set one with --env AWS_REGION=…"})
    events.append({"type": "frozen", "at_ms": at_ms, "scope": "grant:runaway", "on": True, "by": "kim"})
    events.append({"type": "audit_state", "at_ms": at_ms, "state": "failed", "error": "disk full"})
    assert snap_compare(shown(events, at_ms), terminal_size=size, run_before=pressing())
