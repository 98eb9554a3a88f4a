"""What reaches a real terminal: the bytes on the far side of a pty, and the screen that an emulator makes of them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pyte
import pytest

from tests.console.hostile import MARK

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 40.0
OURS = re.compile(  # CSI, mode requests, keypad, charset, and OSC 22, the shape of the pointer
    r"\x1b(?:\[[0-9;?<>=]*[A-Za-z]|\[\?[0-9;]+\$p|[=>78]|\([AB0]|\]22;[a-z-]+(?:\x07|\x1b\\))"
)

UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?<>=]*)?\Z")
"""What a program had begun to write when it was killed."""


class Terminal:
    """A program on a pty: its raw bytes in `raw`, the screen they draw in `screen`."""

    def __init__(self, module: str, columns: int, lines: int, environ: dict[str, str]) -> None:
        self.raw = b""
        self._lost = False
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        base = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "SSH_CONNECTION")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env=base | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | environ,
            start_new_session=True,
        )
        os.close(slave)

    def wait_for(self, words: str) -> None:
        """Read until the screen shows `words`."""
        end = monotonic() + DEADLINE_S
        while words not in self.text():
            assert monotonic() < end, f"{words!r} did not appear:\n{self.text()}"
            assert self._read(0.2) or self.process.poll() is None, f"ended:\n{self.text()}"

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait; the rest of the output is read."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        end = monotonic() + DEADLINE_S
        while self.process.poll() is None and monotonic() < end:
            self._read(0.1)
        while self._read(0):
            pass
        return self.process.wait(1)

    def lose(self) -> None:
        """The terminal goes away; returns when the program has come to a halt over it."""
        os.close(self._master)
        self._lost = True
        end, before = monotonic() + DEADLINE_S, -1
        while monotonic() < end and before != (now := self._ticks()):
            before = now
            select.select([], [], [], 1.0)

    def close(self) -> None:
        if self._lost:
            self.process.kill()
            self.process.wait()
            return
        self.end()
        os.close(self._master)

    def _ticks(self) -> int:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(OURS_ONLY.sub(b"", data))
        return bool(data)


OURS_ONLY = re.compile(rb"\x1b\[[<>=?][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]+\$p")
"""Private modes that the emulator does not know; nothing of them draws."""


@contextmanager
def terminal(module: str, columns: int, lines: int, **environ: str) -> Generator[Terminal]:
    made = Terminal(module, columns, lines, environ)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_nothing_that_others_wrote_reaches_the_terminal_as_control_bytes(size: tuple[int, int]) -> None:
    with terminal("tests.console.hostile", *size) as shown:
        shown.wait_for("apply_yaml")
        for keys, words in (
            ("gj", "paused"),
            ("\r", "arguments"),
            ("\x1b", "CALLS"),
            ("2", "TOOL"),
            ("5", "WAITING FOR YOU"),
            ("a", "Let this call pass?"),
            ("\x1b", "WAITING FOR YOU"),
            ("1", "CALLS"),
        ):
            shown.press(keys)
            shown.wait_for(words)
        shown.end()
        text = shown.raw.decode("utf-8")
    harmless(text)


def test_a_console_that_breaks_says_why_without_control_bytes() -> None:
    with terminal("tests.console.hostile", 120, 40, BREAK="1") as shown:
        shown.wait_for("RuntimeError")
        assert shown.end() != 0
        harmless(shown.raw.decode("utf-8"))


def harmless(text: str) -> None:
    """Hostile text was shown, and the only control sequences are those that draw a screen."""
    assert MARK in text
    foreign = UNFINISHED.sub("", OURS.sub("", text))
    assert "\x1b" not in foreign, ascii(foreign[foreign.index("\x1b") - 40 :][:120])
    assert not re.search("[\x00-\x07\x0b-\x0c\x0e-\x1f\x7f-\x9f]", foreign)
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]", text)
    assert "\x1b[31;5m" not in text
    assert "\x1b[5n" not in text


def test_the_console_draws_in_a_real_terminal_and_gives_it_back_when_it_hangs_up() -> None:
    with terminal("tests.console.feed", 80, 24) as shown:
        shown.wait_for("✓ ALLOW")
        assert "default DENY" in shown.screen.display[0]
        assert shown.end(signal.SIGHUP) == 0
        assert b"\x1b[?1049l" in shown.raw
        assert shown.raw.rstrip().endswith(b"leave")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_console_whose_terminal_is_gone_ends_when_it_is_told_to(number: signal.Signals) -> None:
    with terminal("tests.console.feed", 120, 40) as shown:
        shown.wait_for("✓ ALLOW")
        shown.lose()
        shown.process.send_signal(number)
        assert shown.process.wait(DEADLINE_S) == 0


def test_without_colours_the_words_and_glyphs_remain() -> None:
    with terminal("tests.console.feed", 80, 24, NO_COLOR="1") as shown:
        shown.wait_for("! LIMIT")
        shown.end()
    colours = set(re.findall(rb"\x1b\[[0-9;]*(?:38|48);[0-9;]*m", shown.raw))
    assert colours == set()
