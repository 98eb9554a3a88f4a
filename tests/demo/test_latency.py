"""The pretended waiting follows what was measured."""

from __future__ import annotations

import statistics

import pytest

from mcpwatch.demo.latency import Latency


def _times(tool: str, *, refused: bool = False) -> list[float]:
    latency = Latency(seed=5)
    latency.of("first", {}, refused=False)
    return sorted(latency.of(tool, {"operation": "patch"}, refused=refused) * 1000 for _ in range(4000))


@pytest.mark.parametrize(
    ("tool", "refused", "p50", "p95"),
    [
        ("list_k8s_resources", False, 12, 17),
        ("get_pod_logs", False, 20, 45),
        ("manage_k8s_resource", False, 6, 28),
        ("apply_yaml", True, 2, 5),
    ],
)
def test_the_middle_and_the_slow_end_are_as_measured(tool: str, refused: bool, p50: int, p95: int) -> None:
    times = _times(tool, refused=refused)
    assert 0.9 * p50 < statistics.median(times) < 1.1 * p50
    assert 0.85 * p95 < times[int(len(times) * 0.95)] < 1.15 * p95


def test_the_first_call_takes_longer() -> None:
    assert 0.1 < Latency(seed=1).of("list_k8s_resources", {}, refused=False) < 0.4


def test_without_speed_nothing_waits() -> None:
    assert Latency(speed=0).of("invoke_agent_runtime", {}, refused=False) == 0
