"""The real AgentCore server behind the gateway, with the seed's policy: ten invocations a minute."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.real.emulators import agent_runtime
from tests.real.gateway import call, client, gateway, text
from tests.real.parts import program

pytestmark = pytest.mark.slow

_POLICIES = Path("example-policies").resolve()
_ARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abc"


async def test_the_eleventh_invocation_of_a_minute_is_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    upstream = f"agentcore={program('agentcore', 'awslabs.amazon-bedrock-agentcore-mcp-server')}"
    with agent_runtime() as cloud, gateway(tmp_path, upstream, _POLICIES / "seed.json", cloud.env) as gate:
        async with client(gate) as agent:
            assert "hello from the agent" in text(
                await call(agent, "invoke_agent_runtime", agent_runtime_arn=_ARN, payload="{}")
            )
            began, results = (
                time.time(),
                [await call(agent, "invoke_agent_runtime", agent_runtime_arn=_ARN, payload="{}") for _ in range(21)],
            )
            other = await call(agent, "list_agent_runtimes")
        refused = [text(result) for result in results if result.is_error]
        rows = [row for row in gate.audit() if row["tool"] == "invoke_agent_runtime"]
    assert refused, f"21 calls within {time.time() - began:.0f} s"
    said = re.fullmatch(r"\[POLICY DENIED\] Rate limit of 10 per minute reached\. Try again in (\d+) s\.", refused[0])
    assert said
    assert 1 <= int(said[1]) <= 60
    admitted: dict[str, int] = {}
    for row in rows:
        if row["decision"] == "allow":
            admitted[row["at"][:16]] = admitted.get(row["at"][:16], 0) + 1
    assert max(admitted.values()) == 10
    assert other.is_error
