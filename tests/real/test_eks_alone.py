"""What the real EKS server does when nothing stands before it: the reasons for the rules of `eks-readonly`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters

from tests.real.emulators import CLUSTER, base_env, kubernetes
from tests.real.parts import program

pytestmark = pytest.mark.slow


@asynccontextmanager
async def _eks(tmp_path: Path) -> AsyncGenerator[Client]:
    """A client of the server as the preset starts it: without `--allow-write` and `--allow-sensitive-data-access`."""
    with kubernetes(tmp_path) as cloud:
        env = base_env() | cloud.env | {"LOGURU_LEVEL": "CRITICAL"}
        command = StdioServerParameters(command=program("eks", "awslabs.eks-mcp-server"), env=env)
        async with Client(command) as client:
            yield client


async def _text(client: Client, tool: str, **arguments: str) -> str:
    result = await client.call_tool(tool, {"cluster_name": CLUSTER, "api_version": "v1", **arguments})
    return "".join(block.text for block in result.content if isinstance(block, types.TextContent))


async def test_pods_are_listed(tmp_path: Path) -> None:
    async with _eks(tmp_path) as eks:
        assert "web-00" in await _text(eks, "list_k8s_resources", kind="Pod", namespace="default")


async def test_the_password_of_a_secret_leaks_through_an_annotation(tmp_path: Path) -> None:
    async with _eks(tmp_path) as eks:
        assert "hunter2" in await _text(eks, "list_k8s_resources", kind="Secret", namespace="default")


async def test_a_secret_is_refused_by_its_kind_but_read_as_a_pod_with_a_path_for_a_name(tmp_path: Path) -> None:
    async with _eks(tmp_path) as eks:
        where = {"operation": "read", "namespace": "default"}
        assert "hunter2" not in await _text(eks, "manage_k8s_resource", kind="Secret", name="db", **where)
        assert "hunter2" in await _text(eks, "manage_k8s_resource", kind="Pod", name="../secrets/db", **where)


async def test_secrets_are_listed_as_pods_of_a_namespace_with_a_question_mark(tmp_path: Path) -> None:
    async with _eks(tmp_path) as eks:
        assert "hunter2" in await _text(eks, "list_k8s_resources", kind="Pod", namespace="default/secrets?x=")
