"""The short versions of the campaigns. The long ones are commands:

nice python -m tests.campaigns.hostile --messages 12000
ulimit -n 20000; nice python -m tests.campaigns.crowd --connections 10000
nice python -m tests.campaigns.soak --calls 100000 --sessions 1000 --processes 300
nice python -m tests.fuzz.wire --seconds 600
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.campaigns.crowd import campaign as crowd
from tests.campaigns.hostile import campaign as hostile
from tests.campaigns.hostile import servers
from tests.campaigns.place import place, upstream
from tests.campaigns.soak import soak


@pytest.mark.parametrize("kind", ["http", "stdio"])
def test_hostile_messages_find_no_way_through_the_program(tmp_path: Path, kind: str) -> None:
    (plain,) = servers(["plain"])
    score = hostile(tmp_path, kind, plain, 300, seed=7)
    assert score.clean, (str(score), score.bypasses, score.unanswered)
    assert score.executed


@pytest.mark.parametrize("only", ["idle", "drip", "4 MiB", "nobody reads"])
async def test_a_crowd_that_misbehaves_costs_others_nothing_but_time(tmp_path: Path, only: str) -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(upstream(f"tests.{name}.upstream")) for name in ("campaigns", "benchmarks")]
        urls = {name: f"http://127.0.0.1:{port}/mcp" for name, port in zip(("chat", "good"), ports, strict=True)}
        where = stack.enter_context(place(tmp_path, urls))
        found = await crowd(where, 60, most_mb=500, only=only, calls=30)
        assert where.serving.process.poll() is None
    assert found.failed == 0
    assert found.most_mb < 500


async def test_use_for_a_while_leaves_nothing_behind(tmp_path: Path) -> None:
    found = await soak(tmp_path, calls=400, sessions=40, processes=12)
    assert (found.failed, found.grown) == (0, [])
