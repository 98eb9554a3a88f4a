"""The small panels beside the list: upstreams and who waits, and the busiest tools."""

from __future__ import annotations

from textual.content import Content

from mcpwatch.console.draw import title
from mcpwatch.console.header import state_piece
from mcpwatch.console.host import Panel
from mcpwatch.console.ledger import Hold, Ledger, ToolStats, Upstream
from mcpwatch.console.safe import fit, safe
from mcpwatch.console.wording import amount, caller, latency, span

_HOLDS = 4
_P95_FROM = 48


class HealthPanel(Panel):
    """Each upstream with its state and tools; below it the calls that wait for the operator."""

    DEFAULT_CSS = "HealthPanel { height: auto; max-height: 12; }"

    def __init__(self) -> None:
        super().__init__()
        self._ledger: Ledger | None = None
        self._drawn: tuple[object, ...] = ()

    def show(self, ledger: Ledger) -> None:
        states = tuple((up.name, up.state, len(up.tools)) for up in ledger.upstreams.values())
        drawn = (states, len(ledger.holds), ledger.now_ms // 1000)
        if drawn != self._drawn:
            resized = self._drawn[:2] != drawn[:2]
            self._ledger, self._drawn = ledger, drawn
            self.refresh(layout=resized)

    def render(self) -> Content:
        ledger, width = self._ledger, self.size.width or 40
        if ledger is None:
            return Content("")
        lines = [title("UPSTREAMS", "", width)]
        lines += [_upstream(upstream, ledger, width - 1) for upstream in ledger.upstreams.values()]
        waiting = ledger.waiting()
        if waiting:
            lines.append(title("WAITING FOR YOU", "a let pass, d refuse", width))
            lines += [_hold(hold, ledger.now_ms, width - 1) for hold in waiting[:_HOLDS]]
        if len(waiting) > _HOLDS:
            lines.append(Content.styled(f" and {len(waiting) - _HOLDS} more: 5", "$muted"))
        return Content("\n").join(lines)


class ToolsPanel(Panel):
    """Tools by number of calls, with refusals and the time answers take."""

    DEFAULT_CSS = "ToolsPanel { height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ledger: Ledger | None = None
        self._second = 0

    def show(self, ledger: Ledger) -> None:
        if self.display and ledger.now_ms // 1000 != self._second:
            self._ledger, self._second = ledger, ledger.now_ms // 1000
            self.refresh()

    def render(self) -> Content:
        width, height = self.size.width, self.size.height
        if self._ledger is None or height < 3:
            return Content("")
        rows = sorted(self._ledger.tools.items(), key=lambda item: (-item[1].calls, item[0]))
        lines = [title("BUSIEST TOOLS", "", width), _tool_head(width - 1)]
        lines += [_tool(name, stats, self._ledger.now_ms, width - 1) for (_, name), stats in rows[: height - 2]]
        return Content("\n").join(lines)


def _upstream(upstream: Upstream, ledger: Ledger, width: int) -> Content:
    count = len(upstream.tools)
    tools = f"  {count} tools" if count else ""
    used = {name for up, name in ledger.tools if up == upstream.name}
    note = f"{tools}, {len(used)} called" if used and count else tools
    return Content.assemble(" ", *state_piece(upstream), (note, "$muted")).truncate(width, ellipsis=True)


def _hold(hold: Hold, now_ms: int, width: int) -> Content:
    left = span(hold.expires_at_ms - now_ms) + " left" if hold.expires_at_ms else span(now_ms - hold.opened_at_ms)
    who = caller(hold.call.record)
    tool = fit(safe(hold.call.tool, 80), max(8, width - len(left) - len(who) - 6))
    return Content.assemble((" ? ", "bold $decision-hold"), (tool, "bold"), (f" {who} ", ""), (left, "$decision-hold"))


def _name_width(width: int) -> int:
    return width - (22 if width >= _P95_FROM else 14)


def _tool_head(width: int) -> Content:
    p95 = "     P95" if width >= _P95_FROM else ""
    return Content.styled(" " + fit("TOOL", _name_width(width)) + " CALLS REFUSED" + p95, "$muted")


def _tool(name: str, stats: ToolStats, now_ms: int, width: int) -> Content:
    p95 = stats.latencies.percentile(now_ms, 0.95)
    refused = amount(stats.refused) if stats.refused else "·"
    return Content.assemble(
        " ",
        (fit(safe(name, 80), _name_width(width)), ""),
        (amount(stats.calls).rjust(6), "bold"),
        (refused.rjust(8), "$decision-deny" if stats.refused else "$muted"),
        ((latency(p95) if p95 is not None else "·").rjust(8) if width >= _P95_FROM else "", "$muted"),
    )
