"""The line in which a filter is typed; it takes effect while typing."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from mcpwatch.console.safe import safe
from mcpwatch.console.view import Matcher
from mcpwatch.errors import ConfigError
from mcpwatch.filters import parse_filter

EXAMPLE = "tool:list* dec:deny agent:triage ms>500 arg:kind=Secret text"


class FilterBar(Widget):
    """Hidden until opened; enter keeps the filter, escape takes it away."""

    DEFAULT_CSS = """
    FilterBar { height: 2; display: none; layout: vertical; background: $panel; }
    FilterBar > Static { height: 1; padding: 0 1; }
    FilterBar > Input { border: none; height: 1; padding: 0 1 !important; background: $panel; }
    """

    class Changed(Message):
        """Another filter holds: `matcher` None shows all. `done` when the operator is finished typing."""

        def __init__(self, matcher: Matcher | None, *, done: bool) -> None:
            super().__init__()
            self.matcher = matcher
            self.done = done

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        """The filter in use, "" for none."""
        self._note = Static(markup=False)
        self._input = Input(placeholder=EXAMPLE, compact=True)
        self._input.cursor_blink = False

    def compose(self) -> ComposeResult:
        return [self._note, self._input]

    def open(self) -> None:
        """Let the operator type."""
        self._say("")
        self.display = True
        self._input.value = self.text
        self._input.focus()

    def clear(self) -> None:
        """Show everything again."""
        self.text = ""
        self._input.value = ""
        self._close(None)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.display:
            self._apply(event.value, done=False)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if self._apply(event.value, done=True):
            self.display = False

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            self.clear()

    def _apply(self, text: str, *, done: bool) -> bool:
        text = text.strip()
        try:
            matcher = parse_filter(text) if text else None
        except ConfigError as fault:
            self._say(safe(fault.message, 200))
            return False
        self._say("")
        self.text = text
        self.post_message(self.Changed(matcher, done=done))
        return True

    def _close(self, matcher: Matcher | None) -> None:
        self.display = False
        self.post_message(self.Changed(matcher, done=True))

    def _say(self, fault: str) -> None:
        if fault:
            self._note.update(Content.assemble(("FILTER  ", "bold $primary"), (f"✗ {fault}", "$error")))
        else:
            self._note.update(Content.assemble(("FILTER  ", "bold $primary"), (f"for example {EXAMPLE}", "$muted")))
