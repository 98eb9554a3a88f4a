"""The AWS tools of the demo, and the one tool of the AgentCore server. No AWS account is involved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from mcpwatch.demo import cloudwatch
from mcpwatch.demo.answers import Answer, Json, Tool, World, done, failed
from mcpwatch.demo.beginning import CLUSTER
from mcpwatch.demo.offer import recorded

_ACCOUNT = "123456789012"
_ROLES = ("eks-demo-role", "eks-node-role", "shop-api-role")
_GUIDE = (
    (
        "pods pending",
        "Compare the requests of the pod with what the nodes have left; look for taints without toleration.",
    ),
    ("image pull", "Check the image name, the tag, and that the node role may read the registry."),
    ("dns", "Restart CoreDNS and check that its service has endpoints; look at the conntrack table of the node."),
    ("oom", "Raise the memory limit, or find what grows: compare the working set with the limit over an hour."),
    ("access denied", "Check the access entry of the role and the cluster role that is bound to it."),
)


def get_policies_for_role(world: World, args: Json) -> Answer:
    role = args["role_name"]
    if role not in _ROLES:
        return failed(f"Failed to describe IAM role: {_no_role('GetRole', role)}")
    data = json.loads(json.dumps(recorded("get_policies_for_role")))
    data["role_arn"] = f"arn:aws:iam::{_ACCOUNT}:role/{role}"
    data["inline_policies"] += world.inline.get(role, [])
    return done(f"Successfully retrieved details for IAM role: {role}", data)


def add_inline_policy(world: World, args: Json) -> Answer:
    role, name, permissions = args["role_name"], args["policy_name"], args["permissions"]
    if not world.allow_write:
        return failed("Adding inline policies requires --allow-write flag")
    if role not in _ROLES:
        return failed(f"Failed to create inline policy: {_no_role('PutRolePolicy', role)}")
    statements = cast("list[Any]", permissions) if isinstance(permissions, list) else [permissions]
    document: Json = {"Version": "2012-10-17", "Statement": statements}
    entry: Json = {"policy_type": "Inline", "description": None, "policy_document": document}
    world.inline.setdefault(role, []).append(entry)
    data: Json = {"policy_name": name, "role_name": role, "permissions_added": permissions}
    return done(f"Successfully created new inline policy {name} in role {role}", data)


def manage_eks_stacks(world: World, args: Json) -> Answer:
    operation, cluster = args["operation"], args["cluster_name"]
    stack = f"eks-{cluster}-stack"
    if operation not in ("generate", "deploy", "describe", "delete"):
        return failed(f"Invalid operation: {operation}. Must be one of: generate, deploy, describe, delete")
    if operation != "describe" and not world.allow_write:
        return failed(f"Operation {operation} is not allowed without write access")
    if operation in ("describe", "delete") and stack not in world.stacks:
        call = "An error occurred (ValidationError) when calling the DescribeStacks operation"
        return failed(f"Stack {stack} not found or cannot be accessed: {call}: Stack with id {stack} does not exist")
    data: Json = {"operation": operation, "cluster_name": cluster, "stack_name": stack, "outputs": {}}
    if operation == "generate":
        data["template_path"] = args["template_file"] or ""
        return done(f"CloudFormation template generated at {data['template_path']} with cluster name {cluster}", data)
    if operation == "delete":
        del world.stacks[stack]
        return done(f"CloudFormation stack {stack} deletion initiated", data | {"stack_status": "DELETE_IN_PROGRESS"})
    if operation == "deploy":
        world.stacks[stack] = world.stamp()
        return done(f"CloudFormation stack {stack} creation initiated", data | {"stack_status": "CREATE_IN_PROGRESS"})
    told = data | {"stack_status": "CREATE_COMPLETE", "creation_time": world.stacks[stack]}
    return done(f"Successfully described CloudFormation stack {stack} for cluster {cluster}", told)


def get_eks_vpc_config(world: World, args: Json) -> Answer:
    cluster = args["cluster_name"]
    if cluster != CLUSTER:
        return failed(f"Failed to get VPC configuration: No cluster found for name: {cluster}.")
    subnets = [
        {"subnet_id": f"subnet-0demo{i}", "cidr_block": f"10.0.{i}.0/24", "az_name": f"us-east-1{'abc'[i - 1]}"}
        for i in (1, 2, 3)
    ]
    routes = [{"destination_cidr_block": "10.0.0.0/16", "target_type": "local", "state": "active"}]
    data = {
        "vpc_id": "vpc-0demo",
        "cidr_block": "10.0.0.0/16",
        "routes": routes,
        "subnets": subnets,
        "cluster_name": cluster,
    }
    return done(f"Retrieved VPC configuration for vpc-0demo (cluster {cluster})", data)


def get_eks_insights(world: World, args: Json) -> Answer:
    cluster = args["cluster_name"]
    if cluster != CLUSTER:
        return failed(f"Failed to get EKS insights: No cluster found for name: {cluster}.")
    insights = [
        {"id": f"insight-{i}", "name": name, "category": "UPGRADE_READINESS", "status": status}
        for i, (name, status) in enumerate(
            (("Kubelet version skew", "PASSING"), ("Deprecated APIs removed", "WARNING"))
        )
    ]
    wanted = [i for i in insights if args["insight_id"] in (None, i["id"])]
    data = {
        "cluster_name": cluster,
        "insights": wanted,
        "next_token": None,
        "detail_mode": args["insight_id"] is not None,
    }
    return done(f"Successfully retrieved {len(wanted)} insights for cluster {cluster}", data)


def search_eks_troubleshoot_guide(world: World, args: Json) -> Answer:
    words = set(args["query"].lower().split())
    hits = [text for topic, text in _GUIDE if words & set(topic.split())] or [_GUIDE[0][1]]
    return Answer(("\n".join(hits),))


def invoke_agent_runtime(world: World, args: Json) -> Answer:
    """The answer has structured content, and the server reports its own errors without `isError`, as in reality."""
    world.invoked += 1
    session = args["runtime_session_id"] or f"demo-session-{world.invoked:024d}"
    if not args["agent_runtime_arn"].startswith("arn:aws:bedrock-agentcore:"):
        told: Json = {"status": "error", "message": "Invalid agent runtime ARN", "error_type": "ValidationException"}
        told["error_code"] = "ValidationException"
    else:
        body = json.dumps({"answer": f"finished step {world.invoked}"})
        told = {"status": "success", "runtime_session_id": session, "content_type": "application/json"}
        told |= {"response_body": body, "message": "Agent invoked successfully."}
    return Answer((json.dumps(told, indent=2),), structured={"result": told})


def _no_role(call: str, role: str) -> str:
    return f"An error occurred (NoSuchEntity) when calling the {call} operation: Role {role} not found"


HANDLERS: Mapping[str, Tool] = MappingProxyType(
    {
        "get_policies_for_role": get_policies_for_role,
        "add_inline_policy": add_inline_policy,
        "get_cloudwatch_logs": cloudwatch.get_cloudwatch_logs,
        "get_cloudwatch_metrics": cloudwatch.get_cloudwatch_metrics,
        "get_eks_metrics_guidance": cloudwatch.get_eks_metrics_guidance,
        "manage_eks_stacks": manage_eks_stacks,
        "get_eks_vpc_config": get_eks_vpc_config,
        "get_eks_insights": get_eks_insights,
        "search_eks_troubleshoot_guide": search_eks_troubleshoot_guide,
        "invoke_agent_runtime": invoke_agent_runtime,
    }
)
"""The tools by name."""
