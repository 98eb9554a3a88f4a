"""The seven Kubernetes tools of the demo, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mcpwatch.demo import changes, looks
from mcpwatch.demo.answers import Tool

HANDLERS: Mapping[str, Tool] = MappingProxyType(
    {
        "list_api_versions": looks.list_api_versions,
        "list_k8s_resources": looks.list_k8s_resources,
        "get_pod_logs": looks.get_pod_logs,
        "get_k8s_events": looks.get_k8s_events,
        "manage_k8s_resource": changes.manage_k8s_resource,
        "apply_yaml": changes.apply_yaml,
        "generate_app_manifest": changes.generate_app_manifest,
    }
)
