"""What a process and its children hold, as the kernel says it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.load import tree

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True)
class Census:
    """`rss_mb`, `fds` and `threads` are of the process alone, `children` counts its descendants."""

    rss_mb: float
    fds: int
    threads: int
    children: int

    @staticmethod
    def of(pid: int) -> Census:
        proc = Path(f"/proc/{pid}")
        pages = int((proc / "statm").read_text().split()[1])
        fds, threads = (sum(1 for _ in (proc / part).iterdir()) for part in ("fd", "task"))
        return Census(pages * _PAGE_MB, fds, threads, len(tree(pid)) - 1)

    def __str__(self) -> str:
        return f"RSS {self.rss_mb:5.0f} MB, {self.fds:5} fds, {self.threads:2} threads, {self.children:3} children"
