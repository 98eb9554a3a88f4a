"""The gateway with the audit it has in earnest: every decision and outcome is in the file, in this order."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp

from mcpwatch.audit import query
from mcpwatch.audit.journal import AuditLog
from mcpwatch.gateway.app import Gateway
from mcpwatch.gateway.grants import Grants
from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.ports import Ports
from mcpwatch.gateway.settings import GatewayConfig
from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.reader import read_policy
from tests.gateway.house import HEADERS, call, listening
from tests.gateway.recording_upstream import recording

POLICY = b'{"version":"1","default":"deny","tools":{"echo":{"limits":[{"counter":"c","window":"day","max":10}]}}}'


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_a_thousand_concurrent_calls_leave_a_thousand_records_ten_of_them_carried_out(tmp_path: Path) -> None:
    engine = Engine()
    engine.install(compile_policy(read_policy(POLICY)))
    audit = await AuditLog.open(tmp_path / "audit.db", instance="test", now_ms=now_ms)
    ports = Ports(lambda up, grant: engine, audit, lambda event: None, lambda up, grant, args: args, now_ms)
    async with recording() as up, aiohttp.ClientSession() as http:
        link = HttpLink("up", up.url)
        gateway = Gateway(GatewayConfig(), links={"up": link}, grants=Grants(None, open_door=True), ports=ports)
        async with listening(gateway) as port:

            async def one(number: int) -> bool:
                url = f"http://127.0.0.1:{port}/mcp/up"
                async with http.post(url, json=call(message_id=number), headers=HEADERS) as response:
                    return (await response.json())["result"]["isError"]

            refused = await asyncio.gather(*(one(number) for number in range(1000)))
        await link.stop()
        await audit.close()
        rows = query.search(tmp_path / "audit.db")
        assert (refused.count(False), len(up.calls()), len(rows)) == (10, 10, 1000)
        assert [row["decision"] for row in rows].count("allow") == 10
        assert {row["outcome"] for row in rows if row["decision"] == "allow"} == {"ok"}
    again = await AuditLog.open(tmp_path / "audit.db", instance="test", now_ms=now_ms)
    fresh = Engine()
    fresh.install(compile_policy(read_policy(POLICY)))
    fresh.restore(charge for _, charge in await again.restore_charges(now_ms() - 86_400_000))
    assert fresh.counters(now_ms())[0].used == 10
    await again.close()
