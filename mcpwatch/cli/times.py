"""How people say since when: `24h`, `7d`, `90s`, or a moment such as 2026-11-22T10:30:00Z."""

from __future__ import annotations

import re
import time
from typing import Any

import click

from mcpwatch.records import from_rfc3339

_SPAN = re.compile(r"(\d{1,9})(ms|s|m|h|d|w)\Z")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


class Since(click.ParamType[int]):
    """Milliseconds since 1970 of a span before now, or of a moment; 0 for `all`."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip()
        if text in ("all", "0"):
            return 0
        span = _SPAN.match(text)
        if span:
            return int(time.time() * 1000) - int(span[1]) * _UNIT_MS[span[2]]
        try:
            return from_rfc3339(text)
        except ValueError:
            self.fail(
                f'"{text}" is neither a span such as 24h or 7d nor a time such as 2026-11-22T10:30:00Z', param, ctx
            )


def since_option(default: str) -> Any:
    """`--since`, as `since_ms: int`."""
    return click.option(
        "--since", "since_ms", type=Since(), default=default, metavar="TIME",
        help=f"A span (90s, 24h, 7d), a moment (RFC 3339) or all. Default {default}.",
    )  # fmt: skip
