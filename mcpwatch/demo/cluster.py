"""A small Kubernetes cluster in memory: namespaces, deployments that keep their pods, secrets that tell too much.

Deterministic: the same seed and the same calls give the same names. Nothing outside this process is touched.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from mcpwatch.demo.beginning import KINDS, beginning

Json = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class ApiError(Exception):
    """What the API server refuses, in its words. Never leaves the demo server."""


@dataclass(slots=True)
class Thing:
    """One object. `manifest` is what was applied; `created` an RFC 3339 time in UTC."""

    kind: str
    name: str
    namespace: str | None
    created: str
    manifest: Json
    version: int
    labels: dict[str, str] = field(default_factory=dict[str, str])
    owner: str = ""

    @property
    def annotations(self) -> dict[str, str] | None:
        """What `kubectl apply` leaves behind: the whole object, of a Secret too."""
        if self.owner:
            return None
        return {LAST_APPLIED: json.dumps(self.manifest, separators=(",", ":"), sort_keys=True) + "\n"}


class Cluster:
    """The objects, and the few reactions that make later lists true: pods follow their deployment."""

    def __init__(self, *, seed: int = 0, created: str = "2026-11-20T08:00:00Z") -> None:
        self._random = random.Random(seed)  # noqa: S311 (names of pretended pods)
        self._things: dict[tuple[str, str | None, str], Thing] = {}
        self._version = 100
        for manifest in beginning():
            self.apply(manifest, created)

    def find(self, kind: str, api_version: str, namespace: str | None = None) -> list[Thing]:
        """All objects of a kind, in all namespaces when `namespace` is None or empty. Raises ApiError."""
        _check_kind(kind, api_version)
        wanted = [
            t for t in self._things.values() if t.kind == kind and (not namespace or t.namespace in (namespace, None))
        ]
        return sorted(wanted, key=lambda t: (t.namespace or "", t.name))

    def get(self, kind: str, api_version: str, name: str, namespace: str | None) -> Thing:
        """One object. Raises ApiError when it is not there."""
        _check_kind(kind, api_version)
        thing = self._things.get(_key(kind, namespace, name))
        if thing is None:
            raise ApiError(f'404\nReason: Not Found\n{_plural(kind)} "{name}" not found')
        return thing

    def apply(self, manifest: Json, now: str) -> bool:
        """Create the object or bring it up to date; True when it was created. Raises ApiError."""
        kind, meta = manifest["kind"], manifest["metadata"]
        _check_kind(kind, manifest["apiVersion"])
        namespace = meta.get("namespace", "default") if KINDS[kind][1] else None
        self._check_namespace(namespace)
        key = _key(kind, namespace, meta["name"])
        old = self._things.get(key)
        self._version += 1
        labels = _texts(meta.get("labels"))
        if kind == "Deployment":
            _replicas(as_object(manifest.get("spec")).get("replicas", 1))
        created = old.created if old else now
        self._things[key] = Thing(kind, meta["name"], namespace, created, manifest, self._version, labels)
        if kind == "Deployment":
            self._settle(self._things[key], now)
        return old is None

    def delete(self, kind: str, api_version: str, name: str, namespace: str | None, now: str) -> None:
        """Delete one object and what hangs on it; a deployment's pod comes back under a new name. Raises ApiError."""
        thing = self.get(kind, api_version, name, namespace)
        del self._things[_key(kind, thing.namespace, name)]
        if kind == "Namespace":
            self._drop(lambda t: t.namespace == name)
        elif kind == "Deployment":
            self._drop(lambda t: t.namespace == thing.namespace and t.owner == name)
        elif thing.owner:
            owner = self._things.get(_key("Deployment", thing.namespace, thing.owner))
            if owner is not None:
                self._settle(owner, now)

    def pods(self) -> Iterator[Thing]:
        """Every pod, for readers that only need names."""
        return (t for t in self._things.values() if t.kind == "Pod")

    def _drop(self, gone: Callable[[Thing], bool]) -> None:
        self._things = {key: t for key, t in self._things.items() if not gone(t)}

    def _settle(self, deployment: Thing, now: str) -> None:
        """Bring the pods of a deployment to its number of replicas (at most 50, the demo's nodes hold no more)."""
        mine = [t for t in self.pods() if t.owner == deployment.name and t.namespace == deployment.namespace]
        wanted = _replicas(as_object(deployment.manifest.get("spec")).get("replicas", 1))
        for pod in mine[wanted:]:
            del self._things[_key("Pod", pod.namespace, pod.name)]
        for _ in range(wanted - len(mine)):
            self._start_pod(deployment, now)

    def _start_pod(self, deployment: Thing, now: str) -> None:
        template = as_object(as_object(deployment.manifest.get("spec")).get("template"))
        labels = _texts(as_object(template.get("metadata")).get("labels"))
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:9]
        name = f"{deployment.name}-{digest}-{''.join(self._random.choices(_LETTERS, k=5))}"
        meta: Json = {"name": name, "namespace": deployment.namespace, "labels": labels}
        manifest: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": as_object(template.get("spec"))}
        self._version += 1
        labels = {**labels, "pod-template-hash": digest}
        thing = Thing("Pod", name, deployment.namespace, now, manifest, self._version, labels, deployment.name)
        self._things[_key("Pod", deployment.namespace, name)] = thing

    def _check_namespace(self, namespace: str | None) -> None:
        if namespace is not None and _key("Namespace", None, namespace) not in self._things:
            raise ApiError(f'404\nReason: Not Found\nnamespaces "{namespace}" not found')


def as_object(value: object) -> Json:
    """`value` when it is an object, {} otherwise: agents send anything, and a demo must not fall over."""
    return cast("Json", value) if isinstance(value, dict) else {}


def _texts(value: object) -> dict[str, str]:
    return {key: str(text) for key, text in as_object(value).items()}


def _replicas(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApiError("400\nReason: Bad Request\nspec.replicas: expected an integer")
    return min(50, max(0, value))


def _check_kind(kind: str, api_version: str) -> None:
    if kind not in KINDS or KINDS[kind][0] != api_version:
        raise ApiError(f"No matches found for {{'api_version': '{api_version}', 'kind': '{kind}'}}")


def _key(kind: str, namespace: str | None, name: str) -> tuple[str, str | None, str]:
    return (kind, (namespace or "default") if KINDS[kind][1] else None, name)


def _plural(kind: str) -> str:
    return kind.lower() + ("es" if kind.endswith("s") else "ies" if kind.endswith("cy") else "s")
