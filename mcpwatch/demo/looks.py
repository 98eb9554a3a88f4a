"""The Kubernetes tools of the demo that only look. Sentences and errors are those of the recorded answers."""

from __future__ import annotations

import hashlib

from mcpwatch.demo.answers import Answer, Json, World, done, failed
from mcpwatch.demo.beginning import CLUSTER, CONTEXT, KINDS
from mcpwatch.demo.cluster import ApiError, Thing

_PATHS = ("/api/cart", "/api/items", "/healthz", "/api/checkout", "/metrics")


def list_api_versions(world: World, args: Json) -> Answer:
    if reason := no_cluster(args):
        return failed(f"Failed to get API versions: {reason}")
    versions = sorted({version for version, _ in KINDS.values()})
    data = {"cluster_name": args["cluster_name"], "api_versions": versions, "count": len(versions)}
    return done(f"Successfully retrieved {len(versions)} API versions from cluster {args['cluster_name']}", data)


def list_k8s_resources(world: World, args: Json) -> Answer:
    kind, namespace = args["kind"], args["namespace"]
    if reason := no_cluster(args):
        return failed(f"Failed to list {kind} resources: {reason}")
    try:
        found = world.cluster.find(kind, args["api_version"], namespace)
    except ApiError as error:
        return failed(f"Failed to list {kind} resources: Error listing {kind} resources: {error}")
    items = [_summary(t) for t in found if _selected(t, args)]
    data = {
        "kind": kind,
        "api_version": args["api_version"],
        "namespace": namespace,
        "count": len(items),
        "items": items,
    }
    where = f"in {namespace + '/' if namespace else ''}all namespaces"
    return done(f"Successfully listed {len(items)} {kind} resources {where}", data)


def get_pod_logs(world: World, args: Json) -> Answer:
    name, namespace = args["pod_name"], args["namespace"]
    if not world.allow_sensitive:
        return failed("Access to pod logs requires --allow-sensitive-data-access flag")
    try:
        if reason := no_cluster(args):
            raise ApiError(reason)
        world.cluster.get("Pod", "v1", name, namespace)
    except ApiError as error:
        return failed(f"Failed to get logs from pod {namespace}/{name}: {error}")
    lines = _log_lines(world, name, min(max(args["tail_lines"], 0), 500))
    data = {"pod_name": name, "namespace": namespace, "container_name": args["container_name"], "log_lines": lines}
    return done(f"Successfully retrieved {len(lines)} log lines from pod {namespace}/{name}", data)


def get_k8s_events(world: World, args: Json) -> Answer:
    kind, name, namespace = args["kind"], args["name"], args["namespace"]
    if not world.allow_sensitive:
        return failed("Access to Kubernetes events requires --allow-sensitive-data-access flag")
    if reason := no_cluster(args):
        return failed(f"Failed to get events for {kind} {name}: {reason}")
    label = f"{namespace + '/' if namespace else ''}{name}"
    known = any(pod.name == name for pod in world.cluster.pods())
    events = [_event(world, name)] if known and _number(name) % 3 == 0 else []
    data = {"involved_object_kind": kind, "involved_object_name": name, "involved_object_namespace": namespace}
    return done(
        f"Successfully retrieved {len(events)} events for {kind} {label}",
        data | {"count": len(events), "events": events},
    )


def _event(world: World, name: str) -> Json:
    seen = {"first_timestamp": world.stamp(93_600), "last_timestamp": world.stamp(_number(name) % 600)}
    told = {"message": "Back-off restarting failed container", "reason": "BackOff", "type": "Warning"}
    return seen | {"count": 3 + _number(name) % 40, "reporting_component": "kubelet"} | told


def _log_lines(world: World, name: str, count: int) -> list[str]:
    lines: list[str] = []
    for i in range(count, 0, -1):
        number = (_number(name) + i * 7) % 97
        level, status = ("ERROR", 502) if number == 13 else ("INFO", 200)
        lines.append(f"{world.stamp(i * 2)} {level} handled GET {_PATHS[number % 5]} {status} {number}ms")
    return lines


def _summary(thing: Thing) -> Json:
    return {
        "name": thing.name,
        "namespace": thing.namespace,
        "creation_timestamp": thing.created,
        "labels": thing.labels or None,
        "annotations": thing.annotations,
    }


def whole(thing: Thing) -> Json:
    """One object as the API server returns it."""
    number = f"{_number(thing.name + str(thing.namespace)):032x}"
    uid = "-".join((number[:8], number[8:12], number[12:16], number[16:20], number[20:32]))
    meta: Json = {"name": thing.name, "namespace": thing.namespace, "uid": uid, "resourceVersion": str(thing.version)}
    meta |= {"creationTimestamp": thing.created, "labels": thing.labels, "annotations": thing.annotations}
    body = {k: v for k, v in thing.manifest.items() if k not in ("metadata", "kind", "apiVersion")}
    status: Json = {"status": {"phase": "Running", "qosClass": "BestEffort"}} if thing.kind == "Pod" else {}
    head: Json = {"kind": thing.kind, "apiVersion": KINDS[thing.kind][0]}
    return head | {"metadata": {k: v for k, v in meta.items() if v}} | body | status


def _selected(thing: Thing, args: Json) -> bool:
    labels = [part.partition("=") for part in (args["label_selector"] or "").split(",") if part]
    fields = [part.partition("=") for part in (args["field_selector"] or "").split(",") if part]
    shown = {"metadata.name": thing.name, "metadata.namespace": thing.namespace, "status.phase": "Running"}
    return all(thing.labels.get(k.strip()) == v.strip("= ") for k, _, v in labels) and all(
        shown.get(k.strip()) == v.strip("= ") for k, _, v in fields
    )


def no_cluster(args: Json) -> str | None:
    """Why the cluster of these arguments cannot be reached, None when it can."""
    name = args["cluster_name"]
    return (
        None
        if name in (CLUSTER, CONTEXT)
        else f"No kubeconfig context found for cluster \"{name}\". Available contexts: ['{CONTEXT}']"
    )


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
