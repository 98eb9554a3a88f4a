"""Bytes of a pipe into lines of any length up to a limit, and the tail of a stderr as people may read it.

asyncio's own line reader stops at 64 KiB; tool results of 16 MiB are legal.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LINE_LIMIT_BYTES = 16 * 1024 * 1024
STDERR_TAIL_BYTES = 16 * 1024
_SHOWN_CHARS = 400
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_FAULT = re.compile(r"^\s*[\w.]*(?:Error|Exception|Exit|error|ERROR|fatal|FATAL|panic\w*)\b.*[:\s]\s*\S")
_NOISE = re.compile(r"^\s*(?:at |File \"|Node\.js v|During handling|The above exception|Traceback )|^[^0-9A-Za-z]*$")


class LineSplitter:
    """Calls `on_line` with every whole line that is not empty, without its end.

    Lines over `limit_bytes` are left out and counted.
    """

    def __init__(self, on_line: Callable[[bytes], None], limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self.oversize = 0
        self._on_line = on_line
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._held = 0
        self._skipping = False

    def feed(self, data: bytes) -> int:
        """Take what was read; returns how many lines ended in it."""
        first, *others = data.split(b"\n")
        self._hold(first)
        if not others:
            return 0
        self._emit()
        for line in others[:-1]:
            if line:
                self._hold(line)
                self._emit()
        self._hold(others[-1])
        return len(others)

    def _hold(self, part: bytes) -> None:
        if self._skipping or not part:
            return
        self._held += len(part)
        if self._held > self._limit:
            self._parts.clear()
            self._skipping = True
            self.oversize += 1
            return
        self._parts.append(part)

    def _emit(self) -> None:
        parts, skipped = self._parts, self._skipping
        self._parts, self._held, self._skipping = [], 0, False
        if parts and not skipped:
            self._on_line(parts[0] if len(parts) == 1 else b"".join(parts))


class StderrTail:
    """Keeps the last bytes of a stderr, however much is written; what it returns holds no control characters."""

    def __init__(self) -> None:
        self._tail = bytearray()

    def feed(self, data: bytes) -> None:
        self._tail += data[-STDERR_TAIL_BYTES:]
        if len(self._tail) > 2 * STDERR_TAIL_BYTES:
            del self._tail[:-STDERR_TAIL_BYTES]

    def lines(self) -> list[str]:
        """The last lines, oldest first, each at most 400 characters, blank ones left out."""
        text = bytes(self._tail[-STDERR_TAIL_BYTES:]).decode("utf-8", "replace")
        return [line for line in (_clean(raw) for raw in text.splitlines()) if line.strip()]

    def fault(self) -> str:
        """The last line that names an error, else the last line that says anything, else ""."""
        lines = [line for line in self.lines() if not _NOISE.match(line)]
        named = [line for line in lines if _FAULT.match(line)]
        return (named or lines or [""])[-1].strip()


def _clean(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in _ESCAPES.sub("", text))
    return shown.rstrip()[:_SHOWN_CHARS]
