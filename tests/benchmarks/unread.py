"""What callers feel of a terminal that nobody reads: `python -m tests.benchmarks.unread [--per-s N] [--seconds N]`.

The whole program runs on a pty, calls come in an open loop. First the terminal is read, then it is not (an SSH link
that hangs), then it is read again and the console catches up. Promise: the slowest call changes by less than 20 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import ExitStack
from pathlib import Path

import uvloop

from tests.benchmarks.compare import PLAIN, POLICY, free_port, start_upstream, wait_for
from tests.benchmarks.load import Result, run

SIZE = (40, 120)


class Screen:
    """The program on a pty that is read, or not."""

    def __init__(self, stack: ExitStack, command: list[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
        )
        os.close(slave)
        stack.callback(self._end, process)
        self.drawn_bytes = 0
        self.read()

    def read(self) -> None:
        """Take what is drawn."""
        self._loop.add_reader(self._master, self._take)

    def leave(self) -> None:
        """Take nothing any more."""
        self._loop.remove_reader(self._master)

    def _take(self) -> None:
        try:
            self.drawn_bytes += len(os.read(self._master, 1 << 16))
        except OSError:
            self.leave()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self.leave()
        process.send_signal(signal.SIGTERM)
        os.close(self._master)
        process.wait(15)


async def measure(per_s: int, seconds: int) -> None:
    """Run the three spans and print what callers felt."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream, port = start_upstream(stack), free_port()
        (folder / "policy.json").write_text(json.dumps(POLICY))
        place = ["--state-dir", str(folder / "state")]
        command = [sys.executable, "-m", "mcpwatch", *place, "--upstream", f"echo=http://127.0.0.1:{upstream}/mcp"]
        command += ["--policy", str(folder / "policy.json"), "--listen", f"127.0.0.1:{port}"]
        screen = Screen(stack, command)
        await asyncio.to_thread(wait_for, port)
        connect = [sys.executable, "-m", "mcpwatch", "connect", *place, "--json", "claude"]
        told = await asyncio.to_thread(subprocess.run, connect, capture_output=True, text=True, check=True)
        headers = {**PLAIN, "Authorization": f"Bearer {json.loads(told.stdout)[0]['token']}"}

        async def span(name: str) -> Result:
            return await run(
                name, port, "/mcp/echo", headers=headers, sessions=32, calls=per_s * seconds, pids=[], per_s=per_s
            )

        await span("warm")
        results = [await span("read")]
        screen.leave()
        results.append(await span("not read"))
        screen.read()
        results.append(await span("catching up"))
        print(f"{per_s} calls a second, {seconds} s each; {screen.drawn_bytes / 1e6:.1f} MB drawn")
        for r in results:
            worst = max(r.latencies_ms)
            print(f"{r.name:12} p50 {r.quantile(0.5):6.2f} ms  p99 {r.quantile(0.99):6.2f}  slowest {worst:6.2f} ms")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-s", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    uvloop.run(measure(options.per_s, options.seconds))


if __name__ == "__main__":
    main()
