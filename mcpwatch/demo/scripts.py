"""What the demo's agents do: the good ones, the careless ones and the ones that try things. One script is one round."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mcpwatch.demo.agent import Agent, Json, Reply, Script

_CLUSTER = "demo-eks"
_NAMESPACES = ("shop-dev", "shop-staging", "shop-prod", "kube-system", "monitoring")
_ARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abc"
_MANIFESTS = "/home/demo/manifests"
_APPS = ("cart", "search", "mailer", "invoices")
_REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


async def triage(agent: Agent) -> None:
    """Looks at one namespace, picks a pod, reads its events, logs and load."""
    namespace = agent.random.choice(_NAMESPACES)
    pod = await _some_pod(agent, namespace)
    await agent.think(1.5, 4)
    if pod is None:
        return
    await agent.call("get_k8s_events", cluster_name=_CLUSTER, kind="Pod", name=pod, namespace=namespace)
    await agent.think(1.5, 3)
    await _logs(agent, namespace, pod)
    await agent.think(2, 5)
    await _metric(agent, "pod_cpu_utilization")
    await agent.think(3, 8)


async def deploy(agent: Agent) -> None:
    """Writes a manifest, applies it, and waits for the pods; now and then it scales."""
    app, namespace = agent.random.choice(_APPS), agent.random.choice(("shop-dev", "shop-staging"))
    image = f"{_REGISTRY}/{app}:1.{agent.random.randrange(40)}"
    await agent.call(
        "generate_app_manifest", app_name=app, image_uri=image, output_dir=_MANIFESTS, namespace=namespace, replicas=2
    )
    await agent.think(1, 3)
    path = f"{_MANIFESTS}/{app}-manifest.yaml"
    await agent.call("apply_yaml", yaml_path=path, cluster_name=_CLUSTER, namespace=namespace)
    for _ in range(3):
        await agent.think(2, 4)
        await _list(agent, "Pod", namespace, label_selector=f"app={app}")
    body = {"spec": {"replicas": agent.random.randrange(1, 6)}}
    await _manage(agent, "patch", "Deployment", app, namespace, body=body)
    await agent.think(6, 14)


async def copilot(agent: Agent) -> None:
    """The steady mix: 70 % reads, 15 % logs, 10 % writes, 5 % probing, about thirty calls a minute."""
    namespace = agent.random.choice(_NAMESPACES)
    dice = agent.random.random()
    if dice < 0.7:
        kind = agent.random.choice(("Pod", "Deployment", "Service", "Node", "Ingress"))
        await _list(agent, kind, None if kind == "Node" else namespace)
    elif dice < 0.85:
        if pod := await _some_pod(agent, namespace):
            await _logs(agent, namespace, pod)
    elif dice < 0.95:
        body = {"spec": {"replicas": agent.random.randrange(1, 5)}}
        await _manage(agent, "patch", "Deployment", "web", agent.random.choice(("shop-dev", "shop-staging")), body=body)
    else:
        await _manage(agent, "patch", "Deployment", "web", "shop-prod", body={"spec": {"replicas": 40}})
    await agent.think(1, 3)


async def runaway(agent: Agent) -> None:
    """One tool, the same arguments, thirty times a minute, deaf to every refusal."""
    await _invoke(agent, '{"prompt": "continue"}')
    await agent.think(1.9, 2.1)


async def patient(agent: Agent) -> None:
    """As fast as the runaway, but it waits as long as a refusal asks it to."""
    reply = await _invoke(agent, '{"prompt": "next step"}')
    if reply.retry_after_s:
        await agent.wait(reply.retry_after_s + 0.2)
    await agent.think(1.9, 2.1)


async def cleanup(agent: Agent) -> None:
    """Tidies up, and does not stop where it should: pods of production, then one of dev, then a namespace."""
    for namespace, count in (("shop-prod", 4), ("shop-dev", 1)):
        pods = (await _list(agent, "Pod", namespace)).items()
        for pod in pods[:count]:
            await _manage(agent, "delete", "Pod", pod["name"], namespace)
            await agent.think(0.4, 0.5)
    await _manage(agent, "delete", "Namespace", "shop-staging", None)
    await agent.think(25, 40)


async def probe(agent: Agent) -> None:
    """Looks for secrets, first politely, then by every other name it can think of."""
    await _list(agent, "Pod", "shop-prod")
    for kind in ("Secret", "secret", "SecretList", "ConfigMap"):
        await agent.think(2, 5)
        await _list(agent, kind, agent.random.choice(("shop-prod", "shop-dev")))
    await _manage(agent, "read", "Secret", "db", "shop-prod")
    await agent.think(6, 12)
    await agent.call("search_eks_troubleshoot_guide", query="access denied to secrets")
    await agent.think(6, 12)


async def escalation(agent: Agent) -> None:
    """Wants more rights than it has: IAM first, then a role binding in the cluster."""
    role = "eks-demo-role"
    await agent.call("get_policies_for_role", role_name=role)
    await agent.think(4, 8)
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    await agent.call("add_inline_policy", policy_name="temporary", role_name=role, permissions=everything)
    await agent.think(3, 6)
    admin = {"roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}
    await _manage(agent, "create", "ClusterRoleBinding", "me", None, version="rbac.authorization.k8s.io/v1", body=admin)
    await agent.think(15, 25)


async def dashboard(agent: Agent) -> None:
    """Eight reads at once, then quiet."""
    looks = [_list(agent, kind, ns) for kind in ("Pod", "Deployment") for ns in _NAMESPACES[:3]]
    await asyncio.gather(*looks, _metric(agent, "node_cpu_utilization"), _insights(agent))
    await agent.think(18, 24)


async def prototype(agent: Agent) -> None:
    """A first agent that gets its arguments wrong: missing, of the wrong type, for a tool that does not exist."""
    await agent.call("list_k8s_resources", cluster_name=_CLUSTER)
    await agent.think(5, 9)
    await agent.call("get_pod_logs", cluster_name=_CLUSTER, namespace="shop-dev", pod_name="web", tail_lines="many")
    await agent.think(5, 9)
    await agent.call("kubectl_get_pods", namespace="shop-dev")
    await agent.think(5, 9)
    await agent.call("list_api_versions", cluster_name="demo")
    await agent.think(8, 12)


async def _some_pod(agent: Agent, namespace: str) -> str | None:
    pods = (await _list(agent, "Pod", namespace)).items()
    return agent.random.choice(pods)["name"] if pods else None


async def _list(agent: Agent, kind: str, namespace: str | None, **more: Any) -> Reply:
    version = {"Deployment": "apps/v1", "Ingress": "networking.k8s.io/v1"}.get(kind, "v1")
    where: Json = {"namespace": namespace} if namespace else {}
    return await agent.call(
        "list_k8s_resources", cluster_name=_CLUSTER, kind=kind, api_version=version, **where, **more
    )


async def _manage(
    agent: Agent,
    operation: str,
    kind: str,
    name: str,
    namespace: str | None,
    *,
    version: str = "",
    body: Json | None = None,
) -> Reply:
    more: Json = ({"namespace": namespace} if namespace else {}) | ({"body": body} if body else {})
    version = version or ("apps/v1" if kind == "Deployment" else "v1")
    return await agent.call(
        "manage_k8s_resource",
        operation=operation,
        cluster_name=_CLUSTER,
        kind=kind,
        api_version=version,
        name=name,
        **more,
    )


async def _logs(agent: Agent, namespace: str, pod: str) -> Reply:
    return await agent.call("get_pod_logs", cluster_name=_CLUSTER, namespace=namespace, pod_name=pod, tail_lines=40)


async def _metric(agent: Agent, name: str) -> Reply:
    where: Json = {"cluster_name": _CLUSTER, "namespace": "ContainerInsights", "dimensions": {"ClusterName": _CLUSTER}}
    return await agent.call("get_cloudwatch_metrics", metric_name=name, minutes=30, **where)


async def _insights(agent: Agent) -> Reply:
    return await agent.call("get_eks_insights", cluster_name=_CLUSTER)


async def _invoke(agent: Agent, payload: str) -> Reply:
    return await agent.call("invoke_agent_runtime", agent_runtime_arn=_ARN, payload=payload)


SCRIPTS: Mapping[str, Script] = MappingProxyType(
    {
        "triage": triage,
        "deploy": deploy,
        "copilot": copilot,
        "runaway": runaway,
        "patient": patient,
        "cleanup": cleanup,
        "probe": probe,
        "escalation": escalation,
        "dashboard": dashboard,
        "prototype": prototype,
    }
)
"""The script of every agent, by the name of its grant."""
