"""Lengths of time as policies write them: windows of limits, timeouts of approvals."""

from __future__ import annotations

import re
from functools import lru_cache

from mcpwatch.policy.document import Window

LONGEST_DAYS = 3_660
"""Longer spans are taken for a slip; ten years are enough for a budget."""

_NAMED_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_NAMES = {ms: name for name, ms in _NAMED_MS.items()}
_SPAN = re.compile(r"([1-9][0-9]{0,11})([smhd])", re.ASCII)
_LONGEST_MS = LONGEST_DAYS * 86_400_000


def duration_ms(text: str) -> int | None:
    """`45s`, `5m`, `12h`, `7d` in milliseconds; None when it is no such length."""
    found = _SPAN.fullmatch(text)
    if found is None:
        return None
    length = int(found[1]) * _UNIT_MS[found[2]]
    return length if length <= _LONGEST_MS else None


@lru_cache(maxsize=1_024, typed=True)
def window_of(value: object) -> Window | None:
    """`minute`, `hour`, `day`, whole seconds or a length like `90s`; None when it is no window."""
    if isinstance(value, str):
        length = _NAMED_MS.get(value) or duration_ms(value)
        return None if length is None else Window(_NAMES.get(length, value), length)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LONGEST_MS // 1_000:
        return Window(_NAMES.get(value * 1_000, f"{value}s"), value * 1_000)
    return None


def window_word(window: Window) -> str:
    """How counters of the short forms are named: `minute`, `hour`, `day`, or the length in seconds, `90s`."""
    return _NAMES.get(window.ms, f"{window.ms // 1_000}s")
