"""Moments as policy cases, audit records and evidence write them: RFC 3339, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant_ms(text: str) -> int:
    """An RFC 3339 time as ms since 1970. Raises ValueError on a text that is none, or has no zone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]} is no time like 2026-11-22T10:30:00Z") from None
    if instant.tzinfo is None:
        raise ValueError(f"{text}: a time needs its zone, as in 2026-11-22T10:30:00Z")
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def instant_text(at_ms: int) -> str:
    """`2026-11-22T10:30:00.000Z`; moments beyond the year 9999 become its end."""
    try:
        instant = EPOCH + timedelta(milliseconds=at_ms)
    except OverflowError:
        instant = datetime.max.replace(tzinfo=UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def minute_text(at_ms: int) -> str:
    """`2026-11-22 10:30`, for people."""
    return instant_text(at_ms)[:16].replace("T", " ")
