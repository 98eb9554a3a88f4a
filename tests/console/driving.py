"""Drives the console in tests: its clock, waiting for what is expected, reading the screen."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from time import monotonic

from textual.message import Message
from textual.pilot import Pilot

from mcpwatch.console.app import ConsoleApp, Settings
from mcpwatch.console.live import LiveScreen
from mcpwatch.console.orders import QuickEdit, ShowRule
from tests.console.feed import START_MS, Feed, FeedDesk, Object, hello

Keys = Pilot[str]
DEADLINE_S = 10.0


class Bench:
    """One console on one desk. `at_ms` is its clock."""

    def __init__(self, desk: FeedDesk, at_ms: int, settings: Settings) -> None:
        self.desk = desk
        self.at_ms = at_ms
        self.app = ConsoleApp(desk, settings)
        self.pilot: Keys | None = None
        self.messages: list[Message] = []

    @property
    def live(self) -> LiveScreen:
        """The first screen."""
        screen = self.app.seat
        assert isinstance(screen, LiveScreen)
        return screen

    def heard(self, message: Message) -> None:
        """Keeps what panels ask of the app, once each however often it is handled."""
        if isinstance(message, QuickEdit | ShowRule) and message not in self.messages:
            self.messages.append(message)

    async def press(self, *keys: str) -> None:
        """Press keys one after the other, each handled before the next."""
        assert self.pilot is not None
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def tell(self, *events: Object) -> None:
        """Hand events to the console and let it draw them."""
        self.desk.put(*events)
        await self.until(lambda: self.desk.waiting.empty() and not self.app.link.pending)
        await self.drawn()

    async def drawn(self) -> None:
        """Until the screen shows what the ledger knows."""
        assert self.pilot is not None
        self.app.pump.frame()
        self.app.pump.draw(now=True)
        await self.pilot.pause()
        await self.pilot.pause()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Until something holds; fails after ten seconds."""
        assert self.pilot is not None
        end = monotonic() + DEADLINE_S
        while not holds():
            assert monotonic() < end, f"still not so:\n{self.text()}"
            await self.pilot.pause(0.01)

    def text(self) -> str:
        """The screen as lines of text."""
        screen = self.app.screen
        width, height = screen.size
        lines = screen._compositor.render_strips()  # pyright: ignore[reportPrivateUsage]
        return "\n".join(strip.crop(0, width).text for strip in lines[:height])

    def row(self, words: str) -> str:
        """The first line of the screen that has `words` in it."""
        return next((line for line in self.text().split("\n") if words in line), "")


@asynccontextmanager
async def console(
    *events: Object,
    size: tuple[int, int] = (120, 40),
    at_ms: int = START_MS,
    first: Object | None = None,
    read_only: bool = False,
    owned: bool = False,
    config: Path | None = None,
    theme: str = "night",
) -> AsyncGenerator[Bench]:
    """A running console that has been told `first` (a usual hello) and `events`."""
    desk = FeedDesk(first or hello(), *events)
    holder: list[Bench] = []
    settings = Settings(
        read_only=read_only,
        owned=owned,
        config=config,
        theme=theme,
        by="kim",
        zone=UTC,
        now_ms=lambda: holder[0].at_ms if holder else at_ms,
    )
    bench = Bench(desk, at_ms, settings)
    holder.append(bench)
    async with bench.app.run_test(size=size, notifications=True, message_hook=bench.heard) as pilot:
        bench.pilot = pilot
        await bench.until(lambda: bench.app.link.up and bench.desk.waiting.empty() and not bench.app.link.pending)
        await bench.until(lambda: bench.app.seat is not None)
        await bench.drawn()
        yield bench


def traffic(count: int = 60, seed: int = 3) -> tuple[list[Object], int]:
    """Events of `count` calls, and the moment after the last."""
    feed = Feed(seed=seed)
    return feed.run(count, 300), feed.at_ms
