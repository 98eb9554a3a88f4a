"""What the operator decides about a gateway before it starts: addresses it answers to, sizes, times."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what one caller can cost. Sizes in bytes, times in milliseconds.

    `bodies_bytes` is for the messages of all requests under way together, `answers_bytes` for large answers that their
    callers have not read yet; a grant may have a quarter of each.
    """

    body_bytes: int = 4 * 1024 * 1024
    depth: int = 64
    body_timeout_ms: int = 10_000
    call_timeout_ms: int = 60_000
    keepalive_ms: int = 15_000
    hold_notice_ms: int = 5_000
    session_idle_ms: int = 3_600_000
    sessions: int = 10_000
    holds: int = 1_000
    answer_bytes: int = 64 * 1024 * 1024
    bodies_bytes: int = 256 * 1024 * 1024
    answers_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """`state_dir` keeps the freeze (None: it lives in memory only).

    `hosts` are further `Host` values (`name:port`) beside the loopback names; with `any_host` every Host is
    accepted, which only makes sense beyond loopback, where tokens are required. `tls` makes origins https.
    """

    instance: str = "default"
    state_dir: Path | None = None
    hosts: tuple[str, ...] = ()
    any_host: bool = False
    tls: bool = False
    limits: Limits = field(default_factory=Limits)
