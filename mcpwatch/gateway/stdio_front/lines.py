"""Lines of a file that may be a pipe, a terminal or a regular file, without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Protocol

from mcpwatch.gateway.lines import LINE_LIMIT_BYTES

_CHUNK_BYTES = 2**16
_AHEAD_BYTES = 4 * 2**20


class Source(Protocol):
    """A binary file that gives what is there, as `sys.stdin.buffer` does."""

    def read1(self, size: int = -1, /) -> bytes: ...


async def lines_of(file: Source) -> AsyncIterator[bytes]:
    """Each line that is not blank, without its end.

    Of a line over 16 MiB the first 16 MiB come: no gateway accepts that as a message, it is refused and recorded there.
    No more than one line or 4 MiB are read ahead of who takes them.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    ahead = _Ahead()

    def put(line: bytes | None) -> None:
        ahead.take(len(line or b""))
        loop.call_soon_threadsafe(queue.put_nowait, line)

    def read() -> None:
        try:
            cutter = _Cutter()
            while data := file.read1(_CHUNK_BYTES):
                for line in cutter.cut(data):
                    put(line)
            for line in cutter.rest():
                put(line)
            put(None)
        except RuntimeError:  # the loop is closed: nobody reads any more
            return

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while (line := await queue.get()) is not None:
        ahead.give(len(line))
        yield line


class _Ahead:
    """Bytes that were read and not taken. `take` is called by the reading thread alone, which waits there."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._held = 0

    def take(self, size: int) -> None:
        with self._free:
            while self._held and self._held + size > _AHEAD_BYTES:
                self._free.wait()
            self._held += size

    def give(self, size: int) -> None:
        with self._free:
            self._held -= size
            self._free.notify()


class _Cutter:
    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0

    def cut(self, data: bytes) -> list[bytes]:
        *ends, rest = data.split(b"\n")
        lines: list[bytes] = []
        for part in ends:
            self._hold(part)
            lines += self.rest()
        self._hold(rest)
        return lines

    def rest(self) -> list[bytes]:
        line = b"".join(self._parts).removesuffix(b"\r")
        self._parts, self._held = [], 0
        return [line] if line.strip() else []

    def _hold(self, part: bytes) -> None:
        room = LINE_LIMIT_BYTES - self._held
        if part and room > 0:
            self._parts.append(part[:room])
            self._held += min(room, len(part))
