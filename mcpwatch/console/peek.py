"""The policy text beside the list on large terminals, at the line that decided the call in question."""

from __future__ import annotations

from textual.content import Content

from mcpwatch.console.draw import title
from mcpwatch.console.host import Panel
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.ring import Call
from mcpwatch.console.safe import safe, shorten


class PolicyPeek(Panel):
    """Lines around the deciding rule, which is marked."""

    DEFAULT_CSS = "PolicyPeek { height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._upstream = ""
        self._rule = ""
        self._text: tuple[str, str, tuple[int, int]] | None = None

    def follow(self, call: Call | None) -> None:
        """Look at the rule that decided this call, or at the tool's entry when no rule did."""
        if call is not None:
            rule = str(call.record.get("rule") or call.record.get("would_deny") or "")
            self._upstream = str(call.record.get("upstream", ""))
            self._rule = rule or "/tools/" + call.tool.replace("~", "~0").replace("/", "~1")

    def show(self, ledger: Ledger) -> None:
        if not self.display:
            return
        view = ledger.policies.get(self._upstream) or next(iter(ledger.policies.values()), None)
        text = (view.file, view.text, view.lines_of(self._rule)) if view is not None else None
        if text != self._text:
            self._text = text
            self.refresh()

    def render(self) -> Content:
        width, height = self.size.width, self.size.height
        if self._text is None or height < 3:
            return Content("")
        file, text, marked = self._text
        lines = text.split("\n")
        start, end = marked
        first = max(0, min((start + end - height) // 2, start - 2, len(lines) - height + 1))
        shown = [title("POLICY", safe(file.rsplit("/", 1)[-1], 60), width)]
        for number, line in enumerate(lines[first : first + height - 1], first + 1):
            here = start <= number <= end
            body = shorten(safe(line.replace("\t", "    "), 400), width - 6)
            made = Content.assemble(
                (f"{number:>4} ", "bold $primary" if here else "$muted"), (body, "bold" if here else "$muted")
            )
            shown.append(
                made.pad_right(max(0, width - made.cell_length)).stylize_before("on $selection") if here else made
            )
        return Content("\n").join(shown)
