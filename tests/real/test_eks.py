"""The real EKS server behind the gateway: what it leaks alone (see test_eks_alone) does not reach an agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.emulators import CLUSTER, aws, kubernetes
from tests.real.gateway import call, client, gateway, text
from tests.real.parts import program

pytestmark = pytest.mark.slow

_POLICIES = Path("example-policies").resolve()
_POD = {"cluster_name": CLUSTER, "kind": "Pod", "api_version": "v1", "namespace": "default"}


def _eks() -> str:
    return f"eks={program('eks', 'awslabs.eks-mcp-server')}"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_pods_are_listed_and_no_trick_reaches_a_secret(tmp_path: Path, mode: str) -> None:
    tricks = [
        ("list_k8s_resources", {**_POD, "kind": "Secret"}),
        ("list_k8s_resources", {**_POD, "namespace": "default/secrets?x="}),
        ("manage_k8s_resource", {**_POD, "operation": "read", "kind": "Secret", "name": "db"}),
        ("manage_k8s_resource", {**_POD, "operation": "read", "name": "../secrets/db"}),
    ]
    with kubernetes(tmp_path) as cloud, gateway(tmp_path, _eks(), _POLICIES / "eks-readonly.json", cloud.env) as gate:
        async with client(gate, mode=mode) as agent:
            assert "web-00" in text(await call(agent, "list_k8s_resources", **_POD))
            for tool, arguments in tricks:
                refused = await call(agent, tool, **arguments)
                assert refused.is_error
                assert text(refused).startswith("[POLICY DENIED] ")
        rows = gate.audit()
    assert [row["decision"] for row in rows if row["method"] == "tools/call"] == ["allow", *["deny"] * 4]
    assert "hunter2" not in json.dumps(rows)


async def test_sixteen_tools_are_offered_without_those_that_are_hidden(tmp_path: Path) -> None:
    with aws() as cloud, gateway(tmp_path, _eks(), _POLICIES / "eks-operator.json", cloud.env) as gate:
        async with client(gate) as agent:
            names = {tool.name for tool in (await agent.list_tools()).tools}
            hidden = await call(agent, "add_inline_policy", policy_name="p", role_name="r", permissions={})
            absent = await call(agent, "no_such_tool")
    assert len(names) == 13
    assert not names & {"add_inline_policy", "get_policies_for_role", "generate_app_manifest"}
    assert text(hidden) == '[POLICY DENIED] Tool "add_inline_policy" is not permitted by policy'
    assert text(absent) == '[POLICY DENIED] Tool "no_such_tool" is not permitted by policy'


async def test_all_sixteen_tools_pass_a_policy_that_allows_them(tmp_path: Path) -> None:
    policy = tmp_path / "all.json"
    policy.write_text('{"version": "1", "default": "allow"}')
    with aws() as cloud, gateway(tmp_path, _eks(), policy, cloud.env) as gate:
        async with client(gate) as agent:
            assert len((await agent.list_tools()).tools) == 16


async def test_a_spent_limit_is_told_to_the_agent_and_shown_to_the_operator(tmp_path: Path) -> None:
    policy = tmp_path / "limit.json"
    limit = {"counter": "lists", "window": "hour", "max": 2, "scope": "grant"}
    tools = {"list_k8s_resources": {"limits": [limit]}}
    policy.write_text(json.dumps({"version": "1", "default": "deny", "tools": tools}))
    with kubernetes(tmp_path) as cloud, gateway(tmp_path, _eks(), policy, cloud.env) as gate:
        async with client(gate) as agent:
            first, second, third = [await call(agent, "list_k8s_resources", **_POD) for _ in range(3)]
        counters = json.loads(gate.command("status", "--json"))["counters"]
    assert (first.is_error, second.is_error, third.is_error) == (False, False, True)
    assert "Rate limit of 2 per hour reached. Try again in " in text(third)
    assert [(c["name"], c["used"], c["max"]) for c in counters] == [("lists", 2, 2)]


def test_without_a_region_the_start_fails_at_once_with_the_remedy(tmp_path: Path) -> None:
    policy = _POLICIES / "eks-readonly.json"
    with pytest.raises(AssertionError) as caught, gateway(tmp_path, _eks(), policy, {}):
        pass
    assert "exit code 4: " in str(caught.value)
    assert "You must specify a region" in str(caught.value)
    assert "AWS_REGION" in str(caught.value)
