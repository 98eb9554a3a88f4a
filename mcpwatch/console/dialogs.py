"""Small questions in the middle of the screen, each answered with one key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual import events
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from mcpwatch.console.fitting import Piece
from mcpwatch.console.host import app_of


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: the key that gives it, what it says, and the value the dialog closes with."""

    key: str
    label: str
    value: str
    style: str = ""


class Ask(ModalScreen[str]):
    """A question with answers; closes with the value of the chosen one, or "" on escape.

    `text` is shown as given (pieces made safe by the caller) and scrolls when it is long.
    """

    DEFAULT_CSS = """
    Ask { align: center middle; background: $background 60%; }
    Ask > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 1 2;
        background: $panel; border: round $primary;
    }
    Ask VerticalScroll { height: auto; max-height: 60vh; scrollbar-size-vertical: 1; }
    Ask Static { height: auto; width: 1fr; }
    """

    def __init__(self, question: str, text: Content | Sequence[Piece], choices: Sequence[Choice]) -> None:
        super().__init__()
        self._question = question
        self._body = text if isinstance(text, Content) else Content.assemble(*text)
        self._choices = choices

    def compose(self) -> Iterable[Widget]:
        with Vertical():
            yield Static(Content.styled(self._question + "\n", "bold"), markup=False)
            if self._body.plain:
                with VerticalScroll(can_focus=False):
                    yield Static(self._body + Content("\n"), markup=False)
            for choice in (*self._choices, Choice("escape", "Cancel", "")):
                yield Static(_choice_line(choice), markup=False, classes="choice")

    def on_key(self, event: events.Key) -> None:
        if event.key in ("down", "up", "pagedown", "pageup"):
            step = {"down": 1, "up": -1, "pagedown": 10, "pageup": -10}[event.key]
            for box in self.query(VerticalScroll):
                box.scroll_relative(y=step, animate=False)
            event.stop()
            return
        event.stop()
        if event.key == "escape":
            self.dismiss("")
        for choice in self._choices:
            if choice.key in (event.key, event.character):
                self.dismiss(choice.value)
                return

    def on_click(self, event: events.Click) -> None:
        lines = list(self.query(".choice"))
        if event.widget in lines:
            values = [*(choice.value for choice in self._choices), ""]
            self.dismiss(values[lines.index(event.widget)])


class Prompt(ModalScreen["str | None"]):
    """One line of text at the bottom of the screen; closes with it, or with None on escape."""

    DEFAULT_CSS = """
    Prompt { align: left bottom; background: $background 0%; }
    Prompt > Vertical { height: auto; background: $panel; }
    Prompt Static { height: auto; padding: 0 1; }
    Prompt Input { border: none; height: 1; padding: 0 1 !important; background: $panel; }
    """

    def __init__(self, label: str, value: str = "", placeholder: str = "") -> None:
        super().__init__()
        self._label, self._value, self._placeholder = label, value, placeholder

    def compose(self) -> Iterable[Widget]:
        with Vertical():
            yield Static(Content.styled(self._label, "bold $primary"), markup=False)
            line = Input(self._value, placeholder=self._placeholder, compact=True)
            line.cursor_blink = False
            yield line

    def on_mount(self) -> None:
        # A message in the corner would lie over the question.
        app_of(self).clear_notifications()

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)


def _choice_line(choice: Choice) -> Content:
    key = "esc" if choice.key == "escape" else choice.key
    return Content.assemble((f"  {key:<6}", "bold $primary"), (choice.label, choice.style))
