"""One supervised child: it ends when told, whatever it does, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from mcpwatch.gateway.lines import LINE_LIMIT_BYTES, LineSplitter, StderrTail
from mcpwatch.gateway.link import UpstreamError
from mcpwatch.gateway.stdio_link import process
from mcpwatch.gateway.stdio_link.keeper import Keeper
from mcpwatch.gateway.stdio_link.process import Child, Command

SCRIPTED = str(Path(__file__).parent / "fixtures" / "scripted.py")
ENV = {"PATH": os.environ["PATH"]}


def scripted(*flags: str) -> Command:
    return Command((sys.executable, "-S", SCRIPTED, *flags), ENV)


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def child(*flags: str) -> AsyncGenerator[Child]:
    keeper = Keeper()
    started = await Child.start(scripted(*flags), keeper)
    try:
        yield started
    finally:
        await started.stop()
        keeper.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_GRACE_MS", 200)
    monkeypatch.setattr(process, "TERM_GRACE_MS", 200)


PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


async def test_a_line_goes_in_and_its_answer_comes_out() -> None:
    async with child() as server:
        lines: list[bytes] = []
        server.on_line = lines.append
        server.write(PING)
        await until(lambda: bool(lines))
        assert lines == [b'{"jsonrpc": "2.0", "id": 1, "result": {}}']


async def test_closing_stdin_ends_a_well_behaved_child_at_once() -> None:
    async with child() as server:
        begun = time.monotonic()
        await server.stop()
        assert server.code == 0
        assert time.monotonic() - begun < 2


async def test_a_child_that_ignores_everything_is_killed_and_reaped(impatient: None) -> None:
    async with child("--ignore-term", "--ignore-eof") as server:
        lines: list[bytes] = []
        server.on_line = lines.append
        server.write(PING)
        await until(lambda: bool(lines))
        await server.stop()
        assert server.code == -signal.SIGKILL
        assert not running(server.pid)


async def test_grandchildren_end_with_the_child() -> None:
    async with child("--grandchild") as server:
        answered: list[bytes] = []
        server.on_line = answered.append
        server.write(PING)
        await until(lambda: bool(answered))
        members = group_members(server.pid)
        assert len(members) == 2
        await server.stop()
        await until(lambda: not any(running(pid) for pid in members))


async def test_a_flood_on_stderr_neither_blocks_the_child_nor_grows_memory() -> None:
    async with child("--flood") as server:
        lines: list[bytes] = []
        server.on_line = lines.append
        for number in range(20):
            server.write(PING)
            await until(lambda wanted=number: len(lines) > wanted)
        assert sum(len(line) for line in server.stderr_lines()) < 64 * 1024


async def test_a_death_is_told_once_with_the_last_meaningful_stderr_line() -> None:
    async with child("--die", "Exception: Failed to create client: You must specify a region.") as server:
        ends: list[int] = []
        server.on_end = lambda: ends.append(1)
        await until(lambda: bool(ends))
        fault = server.fault(sent=True)
        assert fault.error == "Exception: Failed to create client: You must specify a region. (ended with code 1)"
        assert "AWS_REGION" in fault.remedy
        assert fault.sent
        with pytest.raises(UpstreamError):
            server.write(PING)
        await server.stop()
        assert ends == [1]


async def test_a_program_that_does_not_exist_says_so() -> None:
    with pytest.raises(UpstreamError) as caught:
        await Child.start(Command(("no-such-program-here",), ENV), Keeper())
    assert caught.value.error == "no-such-program-here: no such program"
    assert not caught.value.sent


async def test_a_folder_that_does_not_exist_says_so() -> None:
    with pytest.raises(UpstreamError) as caught:
        await Child.start(Command((sys.executable,), ENV, "/no/such/folder"), Keeper())
    assert caught.value.error == "/no/such/folder: no such folder"


async def test_the_child_gets_the_given_environment_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_GATEWAY", "hunter2")
    async with child() as server:
        lines: list[bytes] = []
        server.on_line = lines.append
        call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"environment"}}'
        server.write(call)
        await until(lambda: bool(lines))
        assert b"hunter2" not in lines[0]
        assert b"PATH" in lines[0]


def group_members(group: int) -> list[int]:
    found = subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in found.splitlines())
    return [int(pid) for pid, pgid in rows if int(pgid) == group]


HARD_DEATH = """
import asyncio, sys
from mcpwatch.gateway.stdio_link.keeper import Keeper
from mcpwatch.gateway.stdio_link.process import Child, Command
async def main():
    command = Command((sys.executable, "-S", *sys.argv[1:]), {})
    child = await Child.start(command, Keeper())
    said = asyncio.Event()
    child.on_line = lambda line: said.set()
    child.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    await said.wait()
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_no_orphan_stays_when_the_gateway_is_killed_hard() -> None:
    arguments = [sys.executable, "-c", HARD_DEATH, SCRIPTED, "--ignore-eof", "--ignore-term", "--grandchild"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout is not None
        group = int(gateway.stdout.readline())
        members = group_members(group)
        assert len(members) == 2
        gateway.kill()
    await until(lambda: not any(running(pid) for pid in members))


def test_lines_of_sixteen_mebibytes_pass_and_longer_ones_are_left_out_and_counted() -> None:
    lines: list[bytes] = []
    splitter = LineSplitter(lines.append)
    longest = b"x" * LINE_LIMIT_BYTES
    for part in (b"a\nb", b"c\n", longest + b"\n", longest + b"y", b"zzz\nlast\n\n"):
        splitter.feed(part)
    assert [len(line) for line in lines] == [1, 2, LINE_LIMIT_BYTES, 4]
    assert splitter.oversize == 1


def test_the_tail_of_stderr_is_harmless_to_a_terminal() -> None:
    tail = StderrTail()
    tail.feed(b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \xff \x00bell\x07 \xe2\x80\xaeabc\n")
    assert tail.lines() == ["red  �  bell   abc"]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (b'Traceback (most recent call last):\n  File "x", line 1\n    ^^^\nValueError: no\n\n', "ValueError: no"),
        (b"Error: Cannot find module 'x'\n    at Module._resolve\n\nNode.js v20.1\n", "Error: Cannot find module 'x'"),
        (b"starting\nlistening on stdio\n", "listening on stdio"),
        (b"", ""),
    ],
)
def test_the_fault_is_the_line_a_person_would_point_at(said: bytes, fault: str) -> None:
    tail = StderrTail()
    tail.feed(said)
    assert tail.fault() == fault


def test_the_gateways_own_event_loop_supervises_as_well(impatient: None) -> None:
    async def scenario() -> None:
        await test_a_line_goes_in_and_its_answer_comes_out()
        await test_a_child_that_ignores_everything_is_killed_and_reaped(None)
        await test_a_flood_on_stderr_neither_blocks_the_child_nor_grows_memory()
        await test_a_death_is_told_once_with_the_last_meaningful_stderr_line()
        await test_a_program_that_does_not_exist_says_so()

    uvloop.run(scenario())
