"""Two `mcpwatch serve` on one Redis, as an operator runs them, in front of an upstream that is the only witness.

The campaign of 50 repeats: `pytest -m slow tests/counters` (about two minutes).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cli.running import Home, Serving, eventually
from tests.counters.redis_server import RedisServer, needs_redis
from tests.gateway.house import HEADERS, call, modern
from tests.gateway.recording_upstream import RecordingUpstream, recording

pytestmark = needs_redis
CALLS, MOST, REPEATS = 1_000, 10, 50
POLICY: dict[str, Any] = {
    "version": "1",
    "default": "allow",
    "tools": {
        "fixed": {"limits": [{"counter": "fixed", "window": "day", "max": MOST, "scope": "args.run"}]},
        "sliding": {
            "limits": [
                {"counter": "sliding", "window": "1h", "max": MOST, "scope": "args.run", "algorithm": "sliding"},
                {"counter": "all", "window": "day", "max": 10**6},
            ]
        },
    },
}


class Pair:
    """Two gateways, an HTTP client, the upstream and Redis."""

    def __init__(
        self, home: Home, redis: RedisServer, up: RecordingUpstream, http: aiohttp.ClientSession, both: list[Serving]
    ) -> None:
        self.home, self.redis, self.up, self.http, self.both = home, redis, up, http, both

    async def call(self, gateway: int, tool: str, run: str, number: int = 1) -> dict[str, Any]:
        """One call over HTTP; the result."""
        body, headers = modern(call(tool, {"run": run}, message_id=number))
        async with self.http.post(self.both[gateway].url, json=body, headers={**HEADERS, **headers}) as response:
            answer: dict[str, Any] = json.loads(await response.read())
            return answer["result"]

    async def storm(self, tool: str, run: str, calls: int = CALLS) -> list[dict[str, Any]]:
        """So many calls at once, every other one to the other gateway."""
        return await asyncio.gather(*(self.call(number % 2, tool, run, number + 1) for number in range(calls)))

    def executed(self, run: str) -> int:
        return sum(obj["params"]["arguments"] == {"run": run} for obj in self.up.calls())

    async def status(self, gateway: int) -> dict[str, Any]:
        name = self.both[gateway].ready["instance"]
        done = await asyncio.to_thread(self.home.run, "status", "--json", "--instance", name)
        assert done.code == 0, done.err
        return done.json


@pytest.fixture
async def pair(tmp_path: Path, own_redis: RedisServer) -> AsyncIterator[Pair]:
    home = Home(tmp_path)
    async with AsyncExitStack() as stack:
        up = await stack.enter_async_context(recording())
        both: list[Serving] = []
        for name in ("one", "two"):
            arguments = ("--instance", name, "--open", "--counters", own_redis.url, "--upstream", f"up={up.url}")
            serving = await asyncio.to_thread(home.serve, *arguments, policy=POLICY)
            both.append(stack.enter_context(serving))
        connector = aiohttp.TCPConnector(limit=256)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        yield Pair(home, own_redis, up, http, both)


@pytest.mark.parametrize("tool", ["fixed", "sliding"])
async def test_a_thousand_calls_at_once_through_two_gateways_execute_exactly_ten(pair: Pair, tool: str) -> None:
    results = await pair.storm(tool, "a")
    assert len(results) == CALLS
    assert pair.executed("a") == MOST
    assert sum(not result["isError"] for result in results) == MOST
    assert all("Rate limit of 10 per" in result["content"][0]["text"] for result in results if result["isError"])
    for gateway in (0, 1):
        now = await pair.status(gateway)
        counter = next(each for each in now["counters"] if each["name"] == tool)
        assert (counter["used"], counter["max"], counter["value"]) == (MOST, MOST, "a")
        assert now["counter_store"] == {"store": pair.redis.url, "state": "ok", "error": None, "emptied_at": None}


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["fixed", "sliding"])
async def test_fifty_times_a_thousand_calls_execute_exactly_ten_each(pair: Pair, tool: str) -> None:
    executed: list[int] = []
    for repeat in range(int(os.environ.get("MCPWATCH_REDIS_REPEATS", REPEATS))):
        await pair.storm(tool, f"run {repeat}")
        executed.append(pair.executed(f"run {repeat}"))
        pair.up.heard.clear()
    print(f"\n{tool}: {len(executed)} x {CALLS:,} calls through two gateways, executed {sorted(set(executed))}")
    assert set(executed) == {MOST}


async def test_redis_killed_under_load_never_lets_more_through_and_calls_pass_when_it_is_back(pair: Pair) -> None:
    storm = asyncio.create_task(pair.storm("fixed", "k", 600))
    while not pair.executed("k"):
        await asyncio.sleep(0)
    pair.redis.end()
    results = await storm
    assert 1 <= pair.executed("k") <= MOST
    refused = [result for result in results if result["isError"]]
    assert len(refused) == 600 - pair.executed("k")
    assert any("counters of this tool's limits cannot be reached" in each["content"][0]["text"] for each in refused)
    assert not (await pair.call(0, "unlimited", "k"))["isError"]
    assert (await pair.status(0))["counter_store"]["state"] == "failed"
    pair.redis.start()
    for gateway in (0, 1):
        while (await pair.call(gateway, "fixed", f"after {gateway}"))["isError"]:
            await asyncio.sleep(0.02)
    store = (await pair.status(1))["counter_store"]
    assert (store["state"], store["error"]) == ("ok", None)
    assert store["emptied_at"]
    assert "were emptied: every limit counts from zero again" in pair.both[1].errors


async def test_a_hung_redis_refuses_in_about_two_seconds_and_is_told(pair: Pair) -> None:
    pair.redis.send(signal.SIGSTOP)
    loop = asyncio.get_running_loop()
    began = loop.time()
    results = await pair.storm("fixed", "h", 100)
    assert loop.time() - began < 4.0
    assert all(result["isError"] for result in results)
    assert pair.executed("h") == 0
    store = (await pair.status(0))["counter_store"]
    assert (store["state"], store["error"]) == ("failed", "it did not answer within 2 s")
    pair.redis.send(signal.SIGCONT)
    while (await pair.call(0, "fixed", "h"))["isError"]:
        await asyncio.sleep(0.02)
    used = {each["value"]: each["used"] for each in (await pair.status(0))["counters"]}
    assert used == {"h": 1}


async def test_a_restarted_gateway_finds_what_was_used(pair: Pair) -> None:
    await pair.storm("fixed", "r", 20)
    assert await asyncio.to_thread(pair.both[0].end) == 0
    arguments = ("--instance", "one", "--open", "--counters", pair.redis.url, "--upstream", f"up={pair.up.url}")
    with await asyncio.to_thread(pair.home.serve, *arguments, policy=POLICY) as again:
        pair.both[0] = again
        assert (await pair.call(0, "fixed", "r"))["isError"]
        assert pair.executed("r") == MOST


def test_status_for_people_says_where_the_counters_are(tmp_path: Path, redis: RedisServer) -> None:
    home = Home(tmp_path)
    secret = redis.url.replace("//", "//kim:not-a-real-secret@").removesuffix("/0") + "/9"
    done = home.run("serve", "--upstream", "demo", "--listen", "127.0.0.1:0", "--counters", secret)
    assert done.code == 2
    assert "cannot keep counters in redis://127.0.0.1:" in done.err
    with home.serve("--counters", redis.url) as serving:
        serving.client().call("echo")
        out = home.run("status").out
        assert f"counters in {redis.url} ok" in out
        assert all(len(line) <= 80 for line in out.splitlines())
        eventually(lambda: home.run("status", "--json").json["counter_store"]["state"] == "ok")
    assert "not-a-real-secret" not in done.err + serving.errors + out


def test_a_redis_that_is_not_there_ends_the_start_with_exit_4(tmp_path: Path) -> None:
    done = Home(tmp_path).run(
        "serve", "--upstream", "demo", "--listen", "127.0.0.1:0", "--counters", "redis://127.0.0.1:1"
    )
    assert done.code == 4
    assert done.out == ""
    assert done.err.splitlines()[-2].startswith("mcpwatch: cannot keep counters in redis://127.0.0.1:1/0: ")
    assert "Start that Redis" in done.err
    assert "Traceback" not in done.err


def test_without_the_package_one_sentence_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'redis'\", name='redis')"
    )
    home = Home(tmp_path, {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"})
    done = home.run("serve", "--upstream", "demo", "--listen", "127.0.0.1:0", "--counters", "redis://127.0.0.1:1")
    assert done.code == 2
    assert "-m pip install 'redis>=6,<9'" in done.err
    assert "Traceback" not in done.err
