"""A gateway that is killed while it records: nothing it acted upon is missing afterwards."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from mcpwatch.audit import query
from mcpwatch.audit.verify import verify
from tests.audit.support import opened

_ROOT = Path(__file__).parents[2]


async def _killed(path: Path, run: str, after_s: float) -> tuple[set[str], set[str]]:
    """Record under load, kill -9 some time after the first call; returns the forwarded and the released ones."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.audit.writing", str(path), run, stdout=asyncio.subprocess.PIPE, cwd=_ROOT
    )
    assert child.stdout is not None
    said = [await asyncio.wait_for(child.stdout.readline(), 30)]
    asyncio.get_running_loop().call_later(after_s, child.kill)
    said += (await child.stdout.read()).splitlines()
    assert await child.wait() == -9
    lines = [line.decode().split() for line in said]
    forwarded = {words[1] for words in lines if words[0] == "i" and len(words) == 2}
    return forwarded, {words[1] for words in lines if words[0] == "s" and len(words) == 2}


async def _killed_again_and_again(path: Path, times: int) -> int:
    chance = random.Random(times)
    forwarded: set[str] = set()
    released: set[str] = set()
    for run in range(times):
        more, answered = await _killed(path, f"{run}", chance.uniform(0.0, 0.3))
        forwarded |= more
        released |= answered
        async with opened(path):
            pass
        outcomes = {record["call_id"]: record["outcome"] for record in query.each(path)}
        assert forwarded <= outcomes.keys()
        assert all(outcomes[call_id] == "ok" for call_id in released)
        assert all(outcomes[call_id] in ("ok", "unknown") for call_id in forwarded)
        assert None not in outcomes.values()
        report = verify(path)
        assert report.ok, report.faults
    return len(forwarded)


async def test_no_forwarded_call_is_missing_after_kill_9(path: Path) -> None:
    assert await _killed_again_and_again(path, 3) > 0


@pytest.mark.slow
async def test_no_forwarded_call_is_missing_after_a_hundred_kills(tmp_path: Path) -> None:
    for part in range(10):
        assert await _killed_again_and_again(tmp_path / f"{part}" / "audit.db", 10) > 0
