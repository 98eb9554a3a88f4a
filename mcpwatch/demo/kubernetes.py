"""The seven Kubernetes tools of the demo."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from mcpwatch.demo.answers import Answer, Json, Tool, World, done, failed
from mcpwatch.demo.beginning import CLUSTER, CONTEXT, KINDS
from mcpwatch.demo.cluster import ApiError, Thing, as_object

_OPERATIONS = {"create": "created", "replace": "replaced", "patch": "patched", "delete": "deleted", "read": "retrieved"}
_SENSITIVE = ("/etc", "/root", "/proc", "/home/demo/.aws", "/home/demo/.ssh", "/home/demo/.kube")
_PATHS = ("/api/cart", "/api/items", "/healthz", "/api/checkout", "/metrics")


def list_api_versions(world: World, args: Json) -> Answer:
    if reason := _no_cluster(args):
        return failed(f"Failed to get API versions: {reason}")
    versions = sorted({version for version, _ in KINDS.values()})
    data = {"cluster_name": args["cluster_name"], "api_versions": versions, "count": len(versions)}
    return done(f"Successfully retrieved {len(versions)} API versions from cluster {args['cluster_name']}", data)


def list_k8s_resources(world: World, args: Json) -> Answer:
    kind, namespace = args["kind"], args["namespace"]
    if reason := _no_cluster(args):
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


def manage_k8s_resource(world: World, args: Json) -> Answer:
    operation, kind, name, namespace = (args[k] for k in ("operation", "kind", "name", "namespace"))
    if operation not in _OPERATIONS:
        return failed(f"Invalid operation: {operation}. Valid operations are: {', '.join(_OPERATIONS)}")
    if operation != "read" and not world.allow_write:
        return failed(f"Operation {operation} is not allowed without write access")
    if operation == "read" and kind.lower() == "secret" and not world.allow_sensitive:
        return failed("Access to Kubernetes Secrets requires --allow-sensitive-data-access flag")
    label = f"{namespace + '/' if namespace else ''}{name or ''}"
    try:
        if reason := _no_cluster(args):
            raise ApiError(reason)
        resource = _manage(world, args)
    except ApiError as error:
        return failed(f"Failed to {operation} {kind} {label}: Error managing {kind} resource: {error}")
    data = {"kind": kind, "name": name or "", "namespace": namespace, "api_version": args["api_version"]}
    return done(
        f"Successfully {_OPERATIONS[operation]} {kind} {label}", data | {"operation": operation, "resource": resource}
    )


def _manage(world: World, args: Json) -> Json | None:
    operation, kind, version = args["operation"], args["kind"], args["api_version"]
    name, namespace = args["name"], args["namespace"]
    if operation != "create" and not name:
        raise ApiError(f"Resource name is required for {operation} operation")
    if operation in ("create", "replace", "patch") and not args["body"]:
        raise ApiError(f"Resource body is required for {operation} operation")
    if operation == "delete":
        world.cluster.delete(kind, version, name, namespace, world.stamp())
        return None
    if operation == "read":
        return _whole(world.cluster.get(kind, version, name, namespace))
    body = copy.deepcopy(args["body"])
    if operation == "patch":
        body = _merged(copy.deepcopy(world.cluster.get(kind, version, name, namespace).manifest), body)
    body |= {"kind": kind, "apiVersion": version}
    meta = as_object(body.get("metadata"))
    meta |= ({"name": name} if name else {}) | ({"namespace": namespace} if namespace else {})
    if not meta.get("name"):
        raise ApiError("422\nReason: Unprocessable Entity\nmetadata.name: Required value")
    world.cluster.apply(body | {"metadata": meta}, world.stamp())
    return None


def apply_yaml(world: World, args: Json) -> Answer:
    path, namespace = args["yaml_path"], args["namespace"]
    if not world.allow_write:
        return failed("Operation apply_yaml is not allowed without write access")
    if reason := _bad_path(path):
        return failed(f"Invalid yaml_path: {reason}")
    if path not in world.manifests:
        return failed(f"YAML file not found: {path}")
    created = 0
    try:
        for manifest in copy.deepcopy(world.manifests[path]):
            manifest["metadata"].setdefault("namespace", namespace)
            created += world.cluster.apply(manifest, world.stamp())
    except ApiError as error:
        return failed(f"Failed to apply YAML from file {path}: {error}")
    updated = len(world.manifests[path]) - created
    sentence = f"Successfully applied all resources from YAML file {path} ({created} created, {updated} updated)"
    return done(sentence, {"force_applied": args["force"], "resources_created": created, "resources_updated": updated})


def generate_app_manifest(world: World, args: Json) -> Answer:
    name, folder = args["app_name"], args["output_dir"]
    if not world.allow_write:
        return failed("Operation generate_app_manifest is not allowed without write access")
    if reason := _bad_path(folder):
        return failed(f"Invalid output_dir: {reason}")
    path = f"{folder.rstrip('/')}/{name}-manifest.yaml"
    labels, meta = {"app": name}, {"name": name, "namespace": args["namespace"], "labels": {"app": name}}
    container = {"name": name, "image": args["image_uri"], "ports": [{"containerPort": args["port"]}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": args["replicas"], "selector": {"matchLabels": labels}, "template": template}
    world.manifests[path] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": 80}]},
        },
    ]
    sentence = f"Successfully generated YAML for {name} application with image {args['image_uri']} and saved to {path}"
    return done(sentence, {"output_file_path": path})


def get_pod_logs(world: World, args: Json) -> Answer:
    name, namespace = args["pod_name"], args["namespace"]
    if not world.allow_sensitive:
        return failed("Access to pod logs requires --allow-sensitive-data-access flag")
    try:
        if reason := _no_cluster(args):
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
    if reason := _no_cluster(args):
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


def _whole(thing: Thing) -> Json:
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


def _merged(base: Json, change: Mapping[str, object]) -> Json:
    for key, value in change.items():
        both = isinstance(base.get(key), dict) and isinstance(value, dict)
        base[key] = _merged(cast("Json", base[key]), cast("Json", value)) if both else value
    return base


def _no_cluster(args: Json) -> str | None:
    name = args["cluster_name"]
    return (
        None
        if name in (CLUSTER, CONTEXT)
        else f"No kubeconfig context found for cluster \"{name}\". Available contexts: ['{CONTEXT}']"
    )


def _bad_path(path: str) -> str | None:
    if not path.startswith("/"):
        return f"Path must be absolute: {path}"
    inside = any(path == s or path.startswith(f"{s}/") for s in _SENSITIVE) or ".." in path.split("/")
    return f"Path points to a sensitive directory: {path}" if inside else None


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


HANDLERS: Mapping[str, Tool] = MappingProxyType(
    {
        "list_api_versions": list_api_versions,
        "list_k8s_resources": list_k8s_resources,
        "manage_k8s_resource": manage_k8s_resource,
        "apply_yaml": apply_yaml,
        "generate_app_manifest": generate_app_manifest,
        "get_pod_logs": get_pod_logs,
        "get_k8s_events": get_k8s_events,
    }
)
"""The tools by name. Sentences and error conditions are those of the recorded answers (data/results.json)."""
