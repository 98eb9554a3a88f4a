"""A process that records calls under load until it is killed; started by `test_kill`.

It says on stdout what a gateway would already have done by then: `i ID` the call was forwarded, `s ID` the answer was
released. What is written to a pipe survives the process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from mcpwatch.audit.journal import AuditLog
from tests.audit.support import call, outcome

AGENTS = 16


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _agent(log: AuditLog, name: str) -> None:
    number = 0
    while True:
        number += 1
        call_id = f"{name}-{number}"
        decision = "deny" if number % 7 == 0 else "hold" if number % 11 == 0 else "allow"
        await log.intend(call(call_id, decision=decision, at_ms=_now_ms()))
        if decision == "deny":
            continue
        if decision == "hold":
            await log.intend(call(call_id, decision="allow", approved_by="root", at_ms=_now_ms()))
        os.write(1, f"i {call_id}\n".encode())
        await asyncio.sleep(0)
        await log.settle(outcome(call_id))
        os.write(1, f"s {call_id}\n".encode())


async def _main(path: Path, run: str) -> None:
    log = await AuditLog.open(path, instance="default", now_ms=_now_ms)
    await asyncio.gather(*(_agent(log, f"{run}-{agent}") for agent in range(AGENTS)))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2]))
