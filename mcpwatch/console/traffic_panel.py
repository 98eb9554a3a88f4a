"""How much is going on: a chart of the last minutes, how many were refused, how long answers take."""

from __future__ import annotations

from textual.content import Content

from mcpwatch.console.draw import chart, spark, title
from mcpwatch.console.fitting import fact, fit_line
from mcpwatch.console.host import Panel
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.wording import latency, rate


class TrafficPanel(Panel):
    """Title, chart of calls, line of refusals, line of figures."""

    DEFAULT_CSS = "TrafficPanel { height: 7; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ledger: Ledger | None = None
        self._second = 0

    def show(self, ledger: Ledger) -> None:
        if self.display and (self._ledger is None or ledger.now_ms // 1000 != self._second):
            self._ledger, self._second = ledger, ledger.now_ms // 1000
            self.refresh()

    def render(self) -> Content:
        width, height = self.size.width, self.size.height
        ledger = self._ledger
        if ledger is None or width < 20 or height < 4:
            return Content("")
        seconds = max(1, 300 // (width - 1))
        now_ms = ledger.now_ms
        calls = ledger.traffic.bars(now_ms, width - 1, seconds)
        refused = ledger.refusals.bars(now_ms, width - 1, seconds)
        look = self.host.look
        lines = [title("TRAFFIC", _minutes(seconds * (width - 1)), width)]
        lines += [Content.assemble(" ", (line, "$primary")) for line in chart(calls, height - 3, look)]
        steps = spark(refused, look, max(calls, default=0))
        shown = "".join(step if count else " " for step, count in zip(steps, refused, strict=True))
        lines.append(Content.assemble(" ", (shown, "$decision-deny")))
        lines.append(_figures(ledger, width, max(calls, default=0) / seconds, sum(refused)))
        return Content("\n").join(lines)


def _minutes(seconds: int) -> str:
    return f"last {round(seconds / 60)} min"


def _figures(ledger: Ledger, width: int, top: float, refused: float) -> Content:
    p50, p95 = (ledger.latencies.percentile(ledger.now_ms, share) for share in (0.5, 0.95))
    facts = [
        fact(9, [(f" {refused:.0f}", "bold $decision-deny" if refused else "bold"), (" refused", "$muted")]),
        fact(5, [("peak ", "$muted"), (rate(top), "")]),
        fact(6, [("p50 ", "$muted"), (latency(p50) if p50 is not None else "–", "")]),
        fact(7, [("p95 ", "$muted"), (latency(p95) if p95 is not None else "–", "")]),
    ]
    return fit_line(facts, width)
