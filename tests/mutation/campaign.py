"""The campaign as a pytest plugin: it takes the place of the loop that runs the collected tests."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import CodeType, FunctionType
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutants import Mutant, mutants

Reached = dict[str, tuple[float, set[tuple[str, int]]]]
"""For each test its CPU time in seconds and the functions it reaches, as (file, first line)."""
FOLDER: Final = "/mcpwatch/policy/"
MOST_BYTES: Final = 4 * 1024**3
LEAST_SECONDS: Final = 10.0


class Campaign:
    """`sample` and `seconds` bound what is tried; `seed` draws it. `most` bounds the tests for one fault.

    `again` is what a former campaign printed: only the survivors that it names are tried; "" for all faults.
    """

    def __init__(
        self, files: list[Path], sample: int | None, seed: int, seconds: float, most: int | None, again: str
    ) -> None:
        self._most = most
        self._seconds = seconds
        self.tried: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        found = [(file, mutant) for file in files for mutant in mutants(file.read_text(), str(file.resolve()))]
        self.all: Counter[str] = Counter(file.stem for file, _ in found)
        Random(seed).shuffle(found)
        self._chosen = [(file, mutant) for file, mutant in found if _named(file, mutant) in again or not again][:sample]

    def pytest_sessionstart(self) -> None:
        """Properties are tried on the same examples each time, and a failure is not made smaller."""
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutation", database=None, derandomize=True, deadline=None, phases=phases)
        settings.load_profile("mutation")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        imported = Imported()
        reached = json_pairs(forked(lambda: _reach(imported, session.items)))
        end = time.monotonic() + self._seconds
        for file, mutant in self._chosen:
            if time.monotonic() > end:
                break
            self._try(imported, file, mutant, session.items, reached)
            if self.tried.total() % 100 == 0:
                print(f"{self.killed.total()} of {self.tried.total()} killed", flush=True)
        self._print()
        return True

    def _try(self, imported: Imported, file: Path, mutant: Mutant, items: list[pytest.Item], reached: Reached) -> None:
        place = (str(file.resolve()), mutant.function)
        covering = [item for item in items if place in reached[item.nodeid][1]]
        covering.sort(key=lambda item: (_rank(item, file.stem), reached[item.nodeid][0]))
        covering = covering[: self._most]
        seconds = LEAST_SECONDS + 5 * sum(reached[item.nodeid][0] for item in covering)
        survived = forked(lambda: _survives(imported, mutant, str(file.resolve()), covering, seconds)) == b"survived"
        self.tried[file.stem] += 1
        self.killed[file.stem] += not survived
        if survived:
            what = "no test reaches it" if not covering else f"{len(covering)} tests"
            print(f"survived  {_named(file, mutant)}  ({what})", flush=True)

    def _print(self) -> None:
        for name in sorted(self.all):
            print(f"{name:12}  {self.killed[name]:5} of {self.tried[name]:5} killed  ({self.all[name]} in all)")
        print(f"{'together':12}  {self.killed.total():5} of {self.tried.total():5} killed  ({self.all.total()} in all)")


def forked(work: Callable[[], bytes]) -> bytes:
    """What `work` answers in a process of its own; nothing when it does not come to an end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        answer = b""
        try:
            answer = work()
        finally:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def _reach(imported: Imported, items: list[pytest.Item]) -> bytes:
    """Runs every test once and notes which functions of the project it enters."""
    found: dict[str, tuple[float, list[tuple[str, int]]]] = {}
    entered: set[tuple[str, int]] = set()

    def enter(frame: Any, event: str, _: object) -> None:
        if event == "call" and FOLDER in frame.f_code.co_filename:
            entered.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    for item in items:
        entered.clear()
        imported.forget()
        sys.setprofile(enter)
        before = time.process_time()
        runtestprotocol(item, log=False)
        sys.setprofile(None)
        found[item.nodeid] = (time.process_time() - before, sorted(entered))
    return json.dumps(found).encode()


def json_pairs(text: bytes) -> Reached:
    read: dict[str, tuple[float, list[tuple[str, int]]]] = json.loads(text)
    return {name: (seconds, {(file, line) for file, line in entered}) for name, (seconds, entered) in read.items()}


def _survives(imported: Imported, mutant: Mutant, file: str, items: list[pytest.Item], seconds: float) -> bytes:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    imported.exchange(mutant.code, file)
    imported.forget()
    for item in items:
        reports = runtestprotocol(item, log=False)
        if any(report.failed for report in reports):
            return b"killed"
    return b"survived"


def _named(file: Path, mutant: Mutant) -> str:
    return f"{file}:{mutant.line}:{mutant.column + 1}  {mutant.what}"


def _rank(item: pytest.Item, module: str) -> int:
    """Tests that look at much at once come first, then those of the module's own file: so faults are seen soon."""
    stem = item.path.stem
    return 0 if stem in ("test_said", "test_examples") else 1 if module in stem or "messages" in stem else 2


class Imported:
    """The functions and caches of the project as they were imported."""

    def __init__(self) -> None:
        objects = gc.get_objects()
        self._functions = [
            each for each in objects if isinstance(each, FunctionType) and FOLDER in each.__code__.co_filename
        ]
        self._caches: list[Any] = [each for each in objects if type(each).__name__ == "_lru_cache_wrapper"]

    def forget(self) -> None:
        """Empty every cache: what an earlier test asked must not hide a fault, nor that a test gets here."""
        for cache in self._caches:
            cache.cache_clear()

    def exchange(self, code: CodeType, file: str) -> None:
        """Every function of the module gets the code that it has in the changed module."""
        changed = {_place(each): each for each in _codes(code)}
        for function in self._functions:
            if function.__code__.co_filename == file:
                function.__code__ = changed.get(_place(function.__code__), function.__code__)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _place(code: CodeType) -> tuple[str, int, object]:
    return code.co_qualname, code.co_firstlineno, next(iter(code.co_positions()), None)
