"""Which policies were in force, when and by whom; one of them can be brought back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import events
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from mcpwatch.console.safe import safe


class HistoryDialog(ModalScreen["dict[str, Any] | None"]):
    """Newest first; closes with the chosen policy (`text`, `digest`, `at`, `by`), or None."""

    DEFAULT_CSS = """
    HistoryDialog { align: center middle; background: $background 60%; }
    HistoryDialog > Vertical {
        width: 76; max-width: 96%; height: auto; max-height: 80%; padding: 1 2;
        background: $panel; border: round $primary;
    }
    HistoryDialog Static { height: auto; }
    HistoryDialog OptionList { height: auto; max-height: 60vh; border: none; background: $panel; }
    HistoryDialog OptionList:focus { border: none; }
    """

    def __init__(self, policies: Sequence[dict[str, Any]], digest: str) -> None:
        super().__init__()
        self._policies = list(reversed(policies))
        self._digest = digest
        self._newest = next((i for i, policy in enumerate(self._policies) if policy.get("digest") == digest), -1)

    def compose(self) -> Iterable[Widget]:
        with Vertical():
            yield Static(Content.styled("Policies that were in force, newest first\n", "bold"), markup=False)
            yield OptionList(*(Option(self._line(policy, i)) for i, policy in enumerate(self._policies)), markup=False)
            keys = Content.assemble(
                ("\nenter ", "bold $primary"), "take it into the editor   ", ("esc ", "bold $primary"), "close"
            )
            yield Static(keys, markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._policies[event.option_index])

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            self.dismiss(None)
        elif event.key in ("j", "k"):
            event.stop()
            options = self.query_one(OptionList)
            options.action_cursor_down() if event.key == "j" else options.action_cursor_up()

    def _line(self, policy: dict[str, Any], age: int) -> Content:
        digest = str(policy.get("digest", ""))
        # Text that came back stands here twice; in force is what was installed last.
        mark = ("  in force", "$decision-allow") if digest == self._digest and age == self._newest else ("", "")
        when = safe(policy.get("at", ""), 24)
        return Content.assemble(
            (f"{when}  ", ""), (f"{safe(digest[:12])}  ", "$muted"), (safe(policy.get("by", ""), 30), ""), mark
        )
