"""The person of a login: a terminal for the command's stdin, and a browser that opens what it prints."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.running import WITHIN_S, Done, Home, command, eventually

_ADDRESS = re.compile(r"^(https?://\S+state=\S+)$", re.MULTILINE)


class LoggingIn:
    """A running `mcpwatch upstream login`, whose stdin is a terminal."""

    def __init__(self, home: Home, *arguments: str | Path, umask: int = -1) -> None:
        self._terminal, slave = pty.openpty()
        self.process = subprocess.Popen(
            command("upstream", "login", *arguments), stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=home.env, cwd=home.root, umask=umask, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def address(self) -> str:
        """What a person is asked to open."""
        eventually(lambda: _ADDRESS.search(self.said) or self.process.poll() is not None, WITHIN_S)
        found = _ADDRESS.search(self.said)
        assert found, self.said
        return found[1]

    def type(self, line: str) -> None:
        os.write(self._terminal, line.encode() + b"\n")

    def end(self) -> Done:
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        code = self.process.wait(WITHIN_S)
        self._reader.join(WITHIN_S)
        return Done(code, out, self.said)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WITHIN_S)
        self._reader.join(WITHIN_S)
        os.close(self._terminal)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line


@contextmanager
def logging_in(home: Home, *arguments: str | Path, umask: int = -1) -> Generator[LoggingIn]:
    """The command, ended whatever happens."""
    running = LoggingIn(home, *arguments, umask=umask)
    try:
        yield running
    finally:
        running.close()


def browse(address: str) -> int:
    """Open an address and follow where it leads; the last status."""
    try:
        with urllib.request.urlopen(address, timeout=WITHIN_S) as page:
            return page.status
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code


class _Still(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def redirect_of(address: str) -> str:
    """Where the authorization server sends the browser, without going there."""
    try:
        urllib.request.build_opener(_Still).open(address, timeout=WITHIN_S)
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.headers["Location"]
    raise AssertionError("it did not redirect")


def log_in(home: Home, *arguments: str | Path) -> Done:
    """A whole login that goes well."""
    with logging_in(home, *arguments) as running:
        assert browse(running.address) == 200
        done = running.end()
    assert done.code == 0, done
    return done
