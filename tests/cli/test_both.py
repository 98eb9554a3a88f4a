"""`mcpwatch` without a command, where there is no terminal: the gateway as a child, and lines."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

from tests.cli.running import ALLOW, WITHIN_S, Client, Home, command, echo, eventually


def started(home: Home, *arguments: str) -> subprocess.Popen[str]:
    home.write("policy.json", ALLOW)
    return subprocess.Popen(
        command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=home.env, cwd=home.root,
    )  # fmt: skip


def test_without_a_terminal_calls_are_lines_and_the_end_ends_the_gateway(home: Home) -> None:
    process = started(home, "--upstream", echo(), "--listen", "127.0.0.1:0")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    assert lines[0].startswith("gateway default (pid ")
    url = lines[1].split(": ", 1)[1].strip()
    client = Client(url, (home.state / "local.token").read_text().strip())
    client.call("echo", text="hello")
    line = ""
    while "tools/call" not in line and " echo " not in line:
        line = process.stdout.readline()
    assert "ALLOW" in line
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0
    assert home.run("status").code == 2


def test_a_start_that_fails_shows_the_gateways_own_words_and_code(home: Home) -> None:
    process = started(home, "--upstream", echo("echo", "--fail"), "--listen", "127.0.0.1:0")
    _, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 4
    assert "no region is set" in err


def test_a_preset_that_is_not_installed_says_the_one_command_and_is_exit_4(home: Home) -> None:
    home.extra["PATH"] = str(home.root)
    done = home.run("--upstream", "eks")
    assert done.code == 4
    assert "mcpwatch upstream install eks" in done.err
    assert home.run("serve", "--upstream", "eks").code == 4


def test_a_secret_given_with_env_is_on_no_child_command_line(home: Home) -> None:
    process = started(home, "--upstream", echo(), "--listen", "127.0.0.1:0", "--env", "API_KEY=s3cret-s3cret")
    assert process.stdout is not None
    process.stdout.readline()
    found = [line for line in _command_lines() if "s3cret-s3cret" in line and str(process.pid) != line.split()[0]]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WITHIN_S)
    assert found == []


def test_on_a_terminal_the_console_draws_and_leaves_the_gateway_running_if_asked(home: Home) -> None:
    home.write("policy.json", ALLOW)
    home.extra["TERM"] = "xterm-256color"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home.root)
        os.execve(sys.executable, command("--upstream", echo(), "--listen", "127.0.0.1:0"), home.env)
    try:
        _until(terminal, r"instance default|LIVE")
        os.write(terminal, b"q")
        _until(terminal, r"becomes of the gateway")
        os.write(terminal, b"l")
        _until(terminal, r"The gateway goes on")
        eventually(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
    finally:
        os.close(terminal)
    assert home.run("status").code == 0
    assert home.run("stop").code == 0


def _until(terminal: int, pattern: str) -> str:
    """Read what the terminal shows until `pattern` comes."""
    seen = ""
    deadline = time.monotonic() + WITHIN_S
    while not re.search(pattern, seen):
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, seen[-2000:]
        seen += os.read(terminal, 65536).decode("utf-8", "replace")
    return seen


def _command_lines() -> list[str]:
    lines: list[str] = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                lines.append(f"{name} {file.read().replace(bytes(1), b' ').decode('utf-8', 'replace')}")
        except (OSError, NotADirectoryError):
            continue
    return lines


def test_an_interrupt_during_the_start_leaves_no_gateway_behind(home: Home) -> None:
    marker = f"--mute-{os.getpid()}"
    process = started(home, "--upstream", echo("echo", "--mute", marker), "--listen", "127.0.0.1:0")
    eventually(lambda: _upstreams_of(marker))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WITHIN_S)
    assert process.returncode == 130
    eventually(lambda: not _upstreams_of(marker))


def _upstreams_of(marker: str) -> list[str]:
    """The processes of the echo server with that argument, not those that only name it on their command line."""
    return [line for line in _command_lines() if marker in line and "mcpwatch" not in line]
