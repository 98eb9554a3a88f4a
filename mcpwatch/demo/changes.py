"""The Kubernetes tools of the demo that change something. Sentences and errors are those of the recorded answers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

from mcpwatch.demo.answers import Answer, Json, World, done, failed
from mcpwatch.demo.cluster import ApiError, as_object
from mcpwatch.demo.looks import no_cluster, whole

_OPERATIONS = {"create": "created", "replace": "replaced", "patch": "patched", "delete": "deleted", "read": "retrieved"}
_SENSITIVE = ("/etc", "/root", "/proc", "/home/demo/.aws", "/home/demo/.ssh", "/home/demo/.kube")


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
        if reason := no_cluster(args):
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
        return whole(world.cluster.get(kind, version, name, namespace))
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


def _merged(base: Json, change: Mapping[str, object]) -> Json:
    for key, value in change.items():
        both = isinstance(base.get(key), dict) and isinstance(value, dict)
        base[key] = _merged(cast("Json", base[key]), cast("Json", value)) if both else value
    return base


def _bad_path(path: str) -> str | None:
    if not path.startswith("/"):
        return f"Path must be absolute: {path}"
    inside = any(path == s or path.startswith(f"{s}/") for s in _SENSITIVE) or ".." in path.split("/")
    return f"Path points to a sensitive directory: {path}" if inside else None
