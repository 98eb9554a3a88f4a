"""The console: holds the screens, the bindings and the pump that brings the ledger up to date; nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import ClassVar, Literal

from rich.text import Text
from textual import events, on, work
from textual.app import App, ComposeResult
from textual.command import Provider
from textual.content import Content
from textual.dom import DOMNode
from textual.filter import LineFilter
from textual.screen import ModalScreen
from textual.widgets import Static

from mcpwatch.console import flows, policy_flows, screens
from mcpwatch.console.callorders import CallOrders
from mcpwatch.console.clockwork import now_ms
from mcpwatch.console.desk import Desk
from mcpwatch.console.dialogs import Prompt
from mcpwatch.console.hangup import Hangup
from mcpwatch.console.help import HelpScreen
from mcpwatch.console.keys import BY_ID, KEYS, Key, bindings, read_keymap
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.link import Link
from mcpwatch.console.orders import AnswerHold, QuickEdit, ShowRule
from mcpwatch.console.palette import ConsoleCommands
from mcpwatch.console.pump import Pump
from mcpwatch.console.safe import ControlFilter, safe, safe_lines
from mcpwatch.console.seat import Seat
from mcpwatch.console.theme import Look, Wardrobe, look_variables, textual_theme
from mcpwatch.errors import ConfigError

SMALLEST = (60, 15)
"""Columns and lines below which the console only says that it needs more."""

Ending = Literal["stop", "leave"]
_FAULT_SHOWN_S, _NEWS_SHOWN_S = 8, 4


@dataclass(frozen=True, slots=True)
class Settings:
    """How one console runs. `owned`: it started the gateway, so quitting asks what becomes of it.

    `config`: the user's folder with `themes/` and `keymap.toml`, None for neither. `zone` None is the machine's.
    `frames` a second, 0 for what suits the terminal (15, over SSH 5).
    """

    read_only: bool = False
    owned: bool = False
    config: Path | None = None
    theme: str = "night"
    by: str = "console"
    zone: tzinfo | None = None
    now_ms: Callable[[], int] = now_ms
    frames: int = 0


class ConsoleApp(App[str]):
    """Attached to one gateway through `desk`. Its result is `stop` or `leave`: what becomes of the gateway."""

    CSS_PATH = "console.tcss"
    TITLE = "mcpwatch"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {ConsoleCommands}
    BINDINGS = bindings(
        ("live", "tools", "policy", "audit", "holds", "undo", "freeze", "theme", "command", "help", "quit")
    )

    def __init__(self, desk: Desk, settings: Settings = Settings()) -> None:
        self.desk = desk
        self.settings = settings
        self.wardrobe = Wardrobe(settings.config / "themes" if settings.config else None)
        self.wardrobe.refresh()
        colourless = "NO_COLOR" in os.environ
        name = "mono" if colourless else settings.theme
        self.look: Look = self.wardrobe.looks.get(name) or self.wardrobe.looks["night"]
        self.ledger = Ledger()
        self.read_only = settings.read_only
        self.by = settings.by
        self.zone = settings.zone
        self.keymap_user: dict[str, str] = {}
        self._themes = 0
        self._fault_shown_ms = 0
        self._border = ControlFilter()
        super().__init__(ansi_color=True if colourless else None)
        self.link = Link(desk)
        self.pump = Pump(self.link, self.ledger, settings.now_ms, lambda: self.seat)
        self.animation_level = "none"

    @property
    def linked(self) -> bool:
        """Whether the gateway is there."""
        return self.link.up

    @property
    def link_error(self) -> str:
        """Why it is not."""
        return self.link.error

    @property
    def seat(self) -> Seat | None:
        """The screen in view, under any dialog."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Seat)), None)

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), self._border]

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return look_variables(self.look)

    def on_mount(self) -> None:
        self._load_keymap()
        self.wear(self.look)
        for name, make in screens.SCREENS.items():
            self.add_mode(name, lambda make=make: make(self.ledger))  # pyright: ignore[reportUnknownMemberType]
        self.switch_mode("live")
        self._listen()
        self.set_interval(1 / (self.settings.frames or _frames()), self.pump.frame)
        self.set_interval(1.0, self._look_for_themes)

    @work(exclusive=True, group="link")
    async def _listen(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.link.run())
            group.create_task(self.link.poll_status())

    def wear(self, look: Look) -> None:
        """Put on a theme."""
        self.look = look
        self._themes += 1
        theme = textual_theme(look, self._themes)
        self.register_theme(theme)
        self.theme = theme.name
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, Seat) and screen.is_mounted:
                    screen.look_changed()

    def say(self, text: str, *, error: bool = False) -> None:
        now = self.settings.now_ms()
        if error:
            self._fault_shown_ms = now + 1000 * _FAULT_SHOWN_S
        elif now >= self._fault_shown_ms:
            # One word at a time, else a key pressed five times covers the list; a fault is not taken away by news.
            self.clear_notifications()
        timeout = _FAULT_SHOWN_S if error else _NEWS_SHOWN_S
        self.notify(safe(text, 400), markup=False, severity="error" if error else "information", timeout=timeout)

    def copy(self, text: str, what: str) -> None:
        self.copy_to_clipboard(text.encode("utf-8", "replace").decode())
        self.say(f"Copied: {what}")

    def may_change(self) -> bool:
        if self.read_only:
            self.say("This console is read-only")
        return not self.read_only

    def reaches(self, key: Key, start: DOMNode) -> bool:
        """Whether a command can be given from a widget or screen."""
        return self._node_of(key.action, start) is not None

    async def obey(self, line: str) -> None:
        """Do what was typed after `:` or chosen in the palette: the id of a key, `theme NAME`."""
        word, _, rest = line.strip().partition(" ")
        if word == "theme" and rest:
            self._wear_named(rest.strip())
        elif word in BY_ID:
            await self._perform(BY_ID[word])
        elif word:
            self.say(f"No command {word!r}; ? shows all", error=True)

    def action_go(self, name: str) -> None:
        if name in screens.SCREENS:
            self.switch_mode(name)

    def action_next_theme(self) -> None:
        names = sorted(self.wardrobe.looks)
        here = names.index(self.look.name) if self.look.name in names else -1
        self._wear_named(names[(here + 1) % len(names)])

    def action_help(self) -> None:
        self.push_screen(HelpScreen(self.keymap_user, self.look.glyphs, read_only=self.read_only))

    @work
    async def action_command_line(self) -> None:
        names = " ".join(key.id for key in KEYS if key.group != "Move")
        line = await self.push_screen_wait(Prompt(f"COMMAND  {names}  theme NAME", placeholder="freeze"))
        if line:
            await self.obey(line)

    @work
    async def action_leave(self) -> None:
        seats = [screen for stack in self._screen_stacks.values() for screen in stack if isinstance(screen, Seat)]
        unsaved = next((seat.unsaved for seat in seats if seat.is_mounted and seat.unsaved), "")
        await flows.quit_console(self, owned=self.settings.owned, unsaved=unsaved)

    @work
    async def action_freeze(self) -> None:
        if self.may_change():
            seat = self.seat
            about = seat.selected_call() if isinstance(seat, CallOrders) else None
            await flows.freeze(self, self, about)

    @on(AnswerHold)
    def _answer(self, order: AnswerHold) -> None:
        self._answer_later(order)

    @work
    async def _answer_later(self, order: AnswerHold) -> None:
        await flows.answer_hold(self, self, order)

    @on(QuickEdit)
    def _edit(self, order: QuickEdit) -> None:
        self._edit_later(order)

    @work(exclusive=True, group="policy")
    async def _edit_later(self, order: QuickEdit) -> None:
        await policy_flows.quick_edit(self, self, order)

    @work(exclusive=True, group="policy")
    async def action_undo(self) -> None:
        seat = self.seat
        about = seat.selected_call() if isinstance(seat, CallOrders) else None
        first = next(iter(self.ledger.policies), "")
        upstream = about.upstream if about is not None else (seat.upstream_in_view() if seat else "") or first
        if self.may_change():
            await policy_flows.undo(self, self, upstream)

    @on(ShowRule)
    async def _rule(self, order: ShowRule) -> None:
        await screens.show_rule(self, order)

    def on_resize(self, event: events.Resize) -> None:
        small = event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1]
        if small and not isinstance(self.screen, TooSmall):
            self.push_screen(TooSmall())
        elif not small and isinstance(self.screen, TooSmall):
            self.pop_screen()

    def _fatal_error(self) -> None:
        """A fault of the console itself: told without values of variables, which others may have written."""
        self.panic(Text(safe_lines(traceback.format_exc())))

    def _load_keymap(self) -> None:
        path = self.settings.config / "keymap.toml" if self.settings.config else None
        if path is None or not path.is_file():
            return
        try:
            self.keymap_user = read_keymap(path.read_text("utf-8"), path.name)
            self.set_keymap(self.keymap_user)
        except (ConfigError, OSError, UnicodeDecodeError) as fault:
            self.say(str(fault), error=True)

    def _look_for_themes(self) -> None:
        fresh, faults = self.wardrobe.refresh()
        for fault in faults:
            self.say(f"{fault}. The theme in use stays.", error=True)
        for look in fresh:
            if look.name == self.look.name:
                self.wear(look)

    def _wear_named(self, name: str) -> None:
        look = self.wardrobe.looks.get(name)
        if look is None:
            self.say(f"No theme {name!r}: {', '.join(sorted(self.wardrobe.looks))}", error=True)
        else:
            self.wear(look)
            self.say(f"Theme {look.name}")

    async def _perform(self, key: Key) -> None:
        node = self._node_of(key.action, self.screen.focused or self.screen)
        if node is None:
            self.say(f"{key.label} has nothing to act on here")
        else:
            await self.run_action(key.action, node)

    def _node_of(self, action: str, start: DOMNode) -> DOMNode | None:
        name, _, argument = action.partition("(")
        if name == "app.go" and argument.strip("()'") not in screens.SCREENS:
            return None
        if name.startswith("app."):
            return self if hasattr(self, f"action_{name[4:]}") else None
        return next((node for node in start.ancestors_with_self if hasattr(node, f"action_{name}")), None)


class TooSmall(ModalScreen[None]):
    """Instead of a screen that would be cut."""

    def compose(self) -> ComposeResult:
        text = f"mcpwatch needs at least {SMALLEST[0]} columns and {SMALLEST[1]} lines.\nEnlarge the terminal."
        return [Static(Content(text), id="too-small", markup=False)]


def _frames() -> int:
    return 5 if "SSH_CONNECTION" in os.environ or "SSH_TTY" in os.environ else 15


async def run_console(desk: Desk, settings: Settings) -> Ending:
    """Show the console until the operator leaves: `stop` when the gateway shall end with it, else `leave`."""
    app = ConsoleApp(desk, settings)
    ending = "stop" if settings.owned else "leave"
    with Hangup({signal.SIGHUP: lambda: app.exit("leave"), signal.SIGTERM: lambda: app.exit(ending)}):
        return "stop" if await app.run_async() == "stop" else "leave"


__all__ = ["ConsoleApp", "Ending", "Settings", "run_console"]
