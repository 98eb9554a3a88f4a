"""Ends the console when it is told to, also when its terminal is gone and drawing has come to a halt.

What draws does so in a thread of its own; when the terminal ends under it, that thread dies and the event loop waits
for it for ever. A handler of Python's own still runs then, and lets nothing last longer than a grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

GRACE_S = 3.0
"""How long an orderly end may take."""


class Hangup:
    """`with` it, each of the signals calls its function in the event loop; the process ends `GRACE_S` later at most."""

    def __init__(self, told: Mapping[signal.Signals, Callable[[], object]]) -> None:
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}
        self._last: threading.Timer | None = None

    def __enter__(self) -> None:
        for number in self._told:
            with contextlib.suppress(ValueError):  # not in the main thread, which is the only one signals reach
                self._before[number] = signal.signal(number, self._heard)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._last is not None:
            self._last.cancel()

    def _heard(self, number: int, _: FrameType | None) -> None:
        if self._last is None:
            self._last = threading.Timer(GRACE_S, os._exit, (0,))
            self._last.daemon = True
            self._last.start()
        self._loop.call_soon_threadsafe(self._told[signal.Signals(number)])
