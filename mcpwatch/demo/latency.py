"""How long a call takes, after what was measured with the real server (p50 and p95 in milliseconds)."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_FIGURES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "list_k8s_resources": (12, 17),
        "list_api_versions": (12, 17),
        "get_pod_logs": (20, 45),
        "get_cloudwatch_logs": (20, 45),
        "get_cloudwatch_metrics": (20, 45),
        "apply_yaml": (11, 23),
        "generate_app_manifest": (6, 28),
        "manage_eks_stacks": (47, 155),
        "add_inline_policy": (47, 155),
        "get_policies_for_role": (47, 155),
        "invoke_agent_runtime": (420, 900),
    }
)
_READ = (4, 12)
_WRITE = (6, 28)
_REFUSED = (2, 5)
_Z95 = 1.645


class Latency:
    """Log-normal times by tool. `speed` 0 means no waiting at all; the first call takes 100 to 300 ms longer."""

    def __init__(self, *, seed: int = 0, speed: float = 1.0) -> None:
        self._random = random.Random(seed)  # noqa: S311 (pretended waiting)
        self._speed = speed
        self._first = True

    def of(self, tool: str, arguments: Mapping[str, Any], *, refused: bool) -> float:
        """Seconds that this call shall take."""
        p50, p95 = _REFUSED if refused else self._figures(tool, arguments)
        ms = p50 * math.exp(math.log(p95 / p50) / _Z95 * self._random.gauss(0, 1))
        ms += self._random.uniform(100, 300) if self._first else 0
        self._first = False
        return ms / 1000 * self._speed

    @staticmethod
    def _figures(tool: str, arguments: Mapping[str, Any]) -> tuple[int, int]:
        if tool == "manage_k8s_resource" and arguments.get("operation") != "read":
            return _WRITE
        return _FIGURES.get(tool, _READ)
