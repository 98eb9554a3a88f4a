"""What the demo cluster consists of when it begins. All names, images and passwords are made up."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Json = dict[str, Any]

CLUSTER = "demo-eks"
CONTEXT = "demo"

KINDS: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "Pod": ("v1", True),
        "Service": ("v1", True),
        "ConfigMap": ("v1", True),
        "Secret": ("v1", True),
        "ServiceAccount": ("v1", True),
        "PersistentVolumeClaim": ("v1", True),
        "Namespace": ("v1", False),
        "Node": ("v1", False),
        "Deployment": ("apps/v1", True),
        "StatefulSet": ("apps/v1", True),
        "DaemonSet": ("apps/v1", True),
        "Job": ("batch/v1", True),
        "CronJob": ("batch/v1", True),
        "Ingress": ("networking.k8s.io/v1", True),
        "NetworkPolicy": ("networking.k8s.io/v1", True),
        "HorizontalPodAutoscaler": ("autoscaling/v2", True),
        "RoleBinding": ("rbac.authorization.k8s.io/v1", True),
        "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", False),
    }
)
"""Kind to API version and whether it lives in a namespace. Matched exactly, as the API server does."""


def beginning() -> list[Json]:
    """The manifests that are applied first, in order, as copies that may be kept and changed."""
    return [copy.deepcopy(manifest) for manifest in _OBJECTS]


def _object(kind: str, name: str, namespace: str | None = None, **body: Any) -> Json:
    meta: Json = {"name": name, **({"namespace": namespace} if namespace else {}), **body.pop("metadata", {})}
    return {"apiVersion": KINDS[kind][0], "kind": kind, "metadata": meta, **body}


def _deployment(name: str, namespace: str, image: str, replicas: int) -> Json:
    labels = {"app": name}
    container = {"name": name, "image": image, "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return _object("Deployment", name, namespace, metadata={"labels": labels}, spec=spec)


def _service(name: str, namespace: str) -> Json:
    return _object("Service", name, namespace, spec={"selector": {"app": name}, "ports": [{"port": 80}]})


_REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_OBJECTS: tuple[Json, ...] = (
    *(
        _object("Namespace", n)
        for n in ("default", "kube-system", "monitoring", "shop-dev", "shop-staging", "shop-prod")
    ),
    *(_object("Node", f"ip-10-0-{i}-17.ec2.internal", spec={"podCIDR": f"10.0.{i}.0/24"}) for i in (1, 2, 3)),
    _deployment("coredns", "kube-system", "eks/coredns:v1.11.4", 2),
    _deployment("prometheus", "monitoring", "prom/prometheus:v3.1.0", 1),
    *(
        _deployment("web", f"shop-{e}", f"{_REGISTRY}/web:4.{v}", n)
        for e, v, n in (("dev", 8, 2), ("staging", 8, 2), ("prod", 7, 6))
    ),
    *(_deployment("api", f"shop-{e}", f"{_REGISTRY}/api:2.{v}", n) for e, v, n in (("dev", 3, 1), ("prod", 2, 4))),
    _deployment("worker", "shop-prod", f"{_REGISTRY}/worker:1.9", 3),
    *(_service(n, f"shop-{e}") for e in ("dev", "prod") for n in ("web", "api")),
    *(_object("ConfigMap", "shop-settings", f"shop-{e}", data={"LOG_LEVEL": "info"}) for e in ("dev", "prod")),
    _object("Secret", "db", "shop-prod", type="Opaque", stringData={"password": "made-up-prod-password"}),
    _object("Secret", "db", "shop-dev", type="Opaque", stringData={"password": "hunter2"}),
    _object("Ingress", "web", "shop-prod", spec={"rules": [{"host": "shop.example.com"}]}),
    _object("HorizontalPodAutoscaler", "web", "shop-prod", spec={"minReplicas": 6, "maxReplicas": 20}),
)
