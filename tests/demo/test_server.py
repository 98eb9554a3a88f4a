"""The demo as its clients see it, in both eras."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.demo.stage import CLUSTER, call, data, listed, server, text, world

_RECORDED: list[dict[str, Any]] = json.loads(Path("mcpwatch/demo/data/results.json").read_text(encoding="utf-8"))
_SCHEMAS: dict[str, Any] = json.loads(Path("mcpwatch/demo/data/eks_tools.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_seventeen_real_tools_are_offered_with_their_real_schemas(mode: str) -> None:
    async with Client(server(), mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert len(tools) == 17
    for recorded in _SCHEMAS["tools"]:
        assert tools[recorded["name"]].input_schema == recorded["inputSchema"]
        assert tools[recorded["name"]].annotations is None
    assert all((tool.description or "").endswith(".") for tool in tools.values())
    assert tools["invoke_agent_runtime"].output_schema is not None


async def test_a_success_is_a_sentence_and_json_and_has_no_structured_content() -> None:
    async with Client(server()) as client:
        result = await call(
            client, "list_k8s_resources", cluster_name=CLUSTER, kind="Pod", api_version="v1", namespace="shop-dev"
        )
    assert text(result) == "Successfully listed 3 Pod resources in shop-dev/all namespaces"
    assert data(result)["items"][0].keys() == {"name", "namespace", "creation_timestamp", "labels", "annotations"}
    assert result.structured_content is None


async def test_a_secret_shows_its_password_in_the_annotation_without_any_flag() -> None:
    async with Client(server(world(write=False, sensitive=False))) as client:
        leak = await call(
            client, "list_k8s_resources", cluster_name=CLUSTER, kind="Secret", api_version="v1", namespace="shop-dev"
        )
        read = await call(
            client,
            "manage_k8s_resource",
            operation="read",
            cluster_name=CLUSTER,
            kind="Secret",
            api_version="v1",
            name="db",
        )
    assert "hunter2" in json.dumps(data(leak))
    assert text(read) == "Access to Kubernetes Secrets requires --allow-sensitive-data-access flag"


async def test_what_is_applied_is_there_and_what_is_deleted_is_gone() -> None:
    where = {"cluster_name": CLUSTER, "namespace": "shop-dev"}
    async with Client(server()) as client:
        made = await call(
            client,
            "generate_app_manifest",
            app_name="cart",
            image_uri="x/cart:1",
            output_dir="/home/demo/m",
            namespace="shop-dev",
        )
        path = data(made)["output_file_path"]
        first = await call(client, "apply_yaml", yaml_path=path, **where)
        again = await call(client, "apply_yaml", yaml_path=path, **where)
        assert data(first)["resources_created"] == 2
        assert data(again) == {"force_applied": True, "resources_created": 0, "resources_updated": 2}
        assert sum(name.startswith("cart-") for name in await listed(client, "Pod", "shop-dev")) == 2
        gone = {"operation": "delete", "kind": "Deployment", "api_version": "apps/v1", "name": "cart"}
        await call(client, "manage_k8s_resource", **gone, **where)
        assert not any(name.startswith("cart-") for name in await listed(client, "Pod", "shop-dev"))


async def test_a_deleted_namespace_takes_everything_with_it() -> None:
    async with Client(server()) as client:
        gone = {"operation": "delete", "kind": "Namespace", "api_version": "v1", "name": "shop-prod"}
        await call(client, "manage_k8s_resource", cluster_name=CLUSTER, **gone)
        assert await listed(client, "Pod", "shop-prod") == []
        assert "shop-prod" not in await listed(client, "Namespace")


async def test_scaling_changes_the_pods_and_a_deleted_pod_comes_back_under_a_new_name() -> None:
    where = {"cluster_name": CLUSTER, "namespace": "shop-dev"}
    scale = {"operation": "patch", "kind": "Deployment", "api_version": "apps/v1", "name": "web"}
    async with Client(server()) as client:
        await call(client, "manage_k8s_resource", body={"spec": {"replicas": 4}}, **scale, **where)
        before = [name for name in await listed(client, "Pod", "shop-dev") if name.startswith("web-")]
        gone = {"operation": "delete", "kind": "Pod", "api_version": "v1", "name": before[0]}
        await call(client, "manage_k8s_resource", **gone, **where)
        after = [name for name in await listed(client, "Pod", "shop-dev") if name.startswith("web-")]
    assert (len(before), len(after)) == (4, 4)
    assert set(before) - set(after) == {before[0]}


@pytest.mark.parametrize("recorded", [r for r in _RECORDED if r["result"]["isError"]], ids=lambda r: r["tool"])
async def test_a_recorded_refusal_gets_the_recorded_text(recorded: dict[str, Any]) -> None:
    flags = recorded["flags"]
    staged = world(write="--allow-write" in flags, sensitive="--allow-sensitive" in flags)
    async with Client(server(staged)) as client:
        result = await call(client, recorded["tool"], **recorded["args"])
    expected: str = recorded["result"]["content"][0]["text"]
    if expected != "Unknown tool: invoke_agent_runtime":
        assert (result.is_error, text(result)) == (True, expected)


async def test_the_agent_runtime_answers_with_structured_content_and_reports_its_errors_as_successes() -> None:
    arn = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abc"
    async with Client(server()) as client:
        good = await call(client, "invoke_agent_runtime", agent_runtime_arn=arn, payload="{}")
        bad = await call(client, "invoke_agent_runtime", agent_runtime_arn="nonsense", payload="{}")
    assert good.structured_content is not None
    assert good.structured_content["result"]["status"] == "success"
    assert (bad.is_error, data(bad)["status"]) == (False, "error")


@pytest.mark.parametrize(
    "arguments",
    [
        {"operation": "create", "body": {"spec": [], "metadata": 5}},
        {"operation": "create", "body": {"metadata": {"name": "x", "labels": ["a"]}}},
        {"operation": "patch", "name": "web", "body": {"spec": {"replicas": "many"}}},
        {"operation": "patch", "name": "web", "body": {"spec": {"template": 7}}},
        {"operation": "replace", "name": "web", "body": {}},
        {"operation": "delete", "name": None},
        {"operation": "read", "name": "\x00/../x"},
    ],
)
async def test_whatever_is_sent_is_answered_and_the_server_goes_on(arguments: dict[str, Any]) -> None:
    where = {"cluster_name": CLUSTER, "kind": "Deployment", "api_version": "apps/v1", "namespace": "shop-dev"}
    async with Client(server()) as client:
        await call(client, "manage_k8s_resource", **{**where, **arguments})
        assert len(await listed(client, "Node")) == 3


async def test_a_burst_of_reads_is_answered_whole() -> None:
    async with Client(server()) as client:
        results = await asyncio.gather(*(call(client, "list_api_versions", cluster_name=CLUSTER) for _ in range(8)))
    assert [result.is_error for result in results] == [False] * 8


async def test_the_same_seed_and_calls_give_the_same_names() -> None:
    async with Client(server()) as one, Client(server()) as other:
        assert await listed(one, "Pod") == await listed(other, "Pod")


def test_the_program_answers_on_stdio_and_ends_with_its_stdin() -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    command = [sys.executable, "-P", "-m", "mcpwatch.demo", "--seed", "3"]
    done = subprocess.run(
        command, input=json.dumps(request) + "\n", capture_output=True, text=True, timeout=30, check=True
    )
    answer = json.loads(done.stdout)["result"]
    assert (answer["protocolVersion"], answer["serverInfo"]["name"]) == ("2025-06-18", "mcpwatch-demo")
    assert "Nothing real is read or changed" in answer["instructions"]


def test_the_room_imports_nothing_else_of_mcpwatch() -> None:
    listing = (
        "import sys, mcpwatch.demo.server, mcpwatch.demo.traffic\n"
        "own = sorted(m for m in sys.modules if m.startswith('mcpwatch.') and not m.startswith('mcpwatch.demo'))\n"
        "print(own)"
    )
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"


def test_the_roster_is_light() -> None:
    listing = "import sys, mcpwatch.demo.roster; print('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "False"
