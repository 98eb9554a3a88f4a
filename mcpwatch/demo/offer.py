"""What the demo offers: the recorded schemas, each with a sentence of our own, and the check of arguments against them.

The schemas are data recorded from the published servers (see data/README.md, which names their source and licence).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any, cast

Json = dict[str, Any]

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "list_k8s_resources": "Lists the Kubernetes objects of one kind, with their labels and annotations.",
        "get_pod_logs": "Returns the last log lines of a pod.",
        "get_k8s_events": "Returns the events that concern one Kubernetes object.",
        "list_api_versions": "Lists the API versions that the cluster serves.",
        "manage_k8s_resource": "Creates, replaces, patches, deletes or reads one Kubernetes object.",
        "apply_yaml": "Applies every object of a YAML file to the cluster.",
        "generate_app_manifest": "Writes a manifest with a Deployment and a Service for a container image.",
        "search_eks_troubleshoot_guide": "Searches the EKS troubleshooting guide for a symptom.",
        "get_cloudwatch_logs": "Queries the CloudWatch logs of a cluster, a node, a pod or a container.",
        "get_cloudwatch_metrics": "Returns the data points of one CloudWatch metric.",
        "manage_eks_stacks": "Generates, deploys, describes or deletes the CloudFormation stack of a cluster.",
        "add_inline_policy": "Adds an inline policy with the given permissions to an IAM role.",
        "get_policies_for_role": "Returns the policies that are attached to an IAM role.",
        "get_eks_metrics_guidance": "Names the Container Insights metrics of a resource type and their dimensions.",
        "get_eks_vpc_config": "Returns the VPC, subnets and routes of a cluster.",
        "get_eks_insights": "Returns the findings of EKS about a cluster's configuration and upgrade readiness.",
        "invoke_agent_runtime": "Sends a payload to a deployed agent and returns its answer; every call is billed.",
    }
)

_TYPES: Mapping[str, tuple[tuple[type, ...], str, str]] = MappingProxyType(
    {
        "string": ((str,), "Input should be a valid string", "string_type"),
        "integer": ((int,), "Input should be a valid integer", "int_type"),
        "boolean": ((bool,), "Input should be a valid boolean", "bool_type"),
        "object": ((dict,), "Input should be a valid dictionary", "dict_type"),
        "array": ((list,), "Input should be a valid list", "list_type"),
        "null": ((type(None),), "Input should be None", "none_required"),
    }
)


@functools.cache
def tools() -> tuple[Json, ...]:
    """The tool objects as they are listed: the 16 of the EKS server, then `invoke_agent_runtime`."""
    recorded: list[Json] = [*_data("eks_tools.json")["tools"], _data("invoke_agent_runtime.json")]
    return tuple({"name": t["name"], "description": DESCRIPTIONS[t["name"]], **t} for t in recorded)


@functools.cache
def recorded(tool: str) -> Json:
    """The JSON of the first recorded successful answer of `tool`: shapes that are not worth inventing."""
    for call in cast("list[Json]", _data("results.json")):
        if call["tool"] == tool and not call["result"]["isError"]:
            return cast("Json", json.loads(call["result"]["content"][-1]["text"]))
    raise LookupError(tool)


def complete(tool: str, arguments: Mapping[str, Any]) -> Json:
    """The declared arguments of `tool` with defaults filled in; others are ignored, as the real server does."""
    declared: Json = _schema(tool)["properties"]
    return {name: arguments.get(name, shape.get("default")) for name, shape in declared.items()}


def fault(tool: str, arguments: Mapping[str, Any]) -> str | None:
    """What the real server answers to arguments that do not fit the schema, None when they do."""
    schema = _schema(tool)
    found = [_missing(name, arguments) for name in schema["required"] if name not in arguments]
    for name, value in arguments.items():
        shape = schema["properties"].get(name)
        if shape is not None and not _fits(shape, value):
            found.append(_wrong(name, shape, value))
    if not found:
        return None
    count = f"{len(found)} validation error{'s' if len(found) > 1 else ''}"
    return f"Error executing tool {tool}: {count} for {tool}Arguments\n" + "\n".join(found)


def _schema(tool: str) -> Json:
    return next(t["inputSchema"] for t in tools() if t["name"] == tool)


def _fits(shape: Json, value: object) -> bool:
    shapes: list[Json] = shape.get("anyOf", [shape])
    return any(
        isinstance(value, _TYPES[s["type"]][0]) and (s["type"] != "integer" or not isinstance(value, bool))
        for s in shapes
    )


def _missing(name: str, arguments: Mapping[str, Any]) -> str:
    return _problem(name, "Field required", "missing", dict(arguments))


def _wrong(name: str, shape: Json, value: object) -> str:
    first: Json = shape.get("anyOf", [shape])[0]
    _, sentence, code = _TYPES[first["type"]]
    return _problem(name, sentence, code, value)


def _problem(name: str, sentence: str, code: str, value: object) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:30]}...{shown[-25:]}"
    told = f"{sentence} [type={code}, input_value={shown}, input_type={type(value).__name__}]"
    return f"{name}\n  {told}\n    For further information visit https://errors.pydantic.dev/2.14/v/{code}"


def _data(name: str) -> Any:
    return json.loads(files("mcpwatch.demo").joinpath("data", name).read_text(encoding="utf-8"))
