"""Numbers for Prometheus. Labels are upstreams, decisions and outcomes only: never anything an agent can choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Metrics:
    """Counts since the gateway started."""

    def __init__(self) -> None:
        self._decisions: Counter[tuple[str, str]] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._latency_ms = 0.0

    def decided(self, upstream: str, decision: str) -> None:
        self._decisions[upstream, decision] += 1

    def settled(self, outcome: str, latency_ms: float) -> None:
        self._outcomes[outcome] += 1
        self._latency_ms += latency_ms

    def text(self, gauges: Mapping[str, int]) -> str:
        """The exposition text, format 0.0.4."""
        lines = ["# TYPE mcpwatch_decisions_total counter"]
        lines += [
            f'mcpwatch_decisions_total{{upstream="{upstream}",decision="{decision}"}} {count}'
            for (upstream, decision), count in sorted(self._decisions.items())
        ]
        lines.append("# TYPE mcpwatch_outcomes_total counter")
        lines += [f'mcpwatch_outcomes_total{{outcome="{name}"}} {n}' for name, n in sorted(self._outcomes.items())]
        lines.append("# TYPE mcpwatch_call_latency_seconds summary")
        lines.append(f"mcpwatch_call_latency_seconds_sum {self._latency_ms / 1000:.6f}")
        lines.append(f"mcpwatch_call_latency_seconds_count {self._outcomes.total()}")
        for name, value in gauges.items():
            lines += [f"# TYPE mcpwatch_{name} gauge", f"mcpwatch_{name} {value}"]
        return "\n".join(lines) + "\n"
