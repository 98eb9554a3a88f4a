"""What is compared, running: the fixture server itself, and gateways in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
FIXTURE = (sys.executable, "-m", "tests.conformance.server")
_ALLOW = {"version": "1", "default": "allow"}
_START_S = 60.0
_STOP_S = 20.0


@contextlib.contextmanager
def direct() -> Generator[str]:
    """The fixture on Streamable HTTP; its URL."""
    with _running([*FIXTURE, "http"], os.environ) as ready:
        yield ready["url"]


@contextlib.contextmanager
def through(upstream: str) -> Generator[str]:
    """A gateway that lets everything pass, in front of `upstream` (a URL or a command line); its endpoint."""
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.json"
        policy.write_text(json.dumps(_ALLOW), encoding="utf-8")
        home = {"HOME": folder, "XDG_CONFIG_HOME": f"{folder}/config", "XDG_RUNTIME_DIR": folder}
        serve = [sys.executable, "-m", "mcpwatch", "serve", "--open", "--listen", "127.0.0.1:0", "--log-level", "error"]
        place = ["--state-dir", f"{folder}/state", "--policy", str(policy), "--env", f"PYTHONPATH={ROOT}"]
        with _running([*serve, *place, "--upstream", f"fixture={upstream}"], {**os.environ, **home}) as ready:
            yield ready["endpoints"]["fixture"]


@contextlib.contextmanager
def through_http() -> Generator[str]:
    """A gateway in front of the fixture on Streamable HTTP."""
    with direct() as url, through(url) as endpoint:
        yield endpoint


@contextlib.contextmanager
def through_stdio() -> Generator[str]:
    """A gateway whose upstream is the fixture as a program."""
    with through(" ".join([*FIXTURE, "stdio"])) as endpoint:
        yield endpoint


@contextlib.contextmanager
def _running(command: Sequence[str], env: Mapping[str, str]) -> Generator[Any]:
    """A program from its first line of JSON to its end."""
    process = subprocess.Popen(command, cwd=ROOT, env=dict(env), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(_line(process.stdout))
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _line(stream: IO[str]) -> str:
    with selectors.DefaultSelector() as ready:
        ready.register(stream, selectors.EVENT_READ)
        if not ready.select(_START_S):
            raise TimeoutError("the program did not say that it is ready")
    return stream.readline()
