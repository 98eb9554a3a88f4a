"""The CloudWatch tools of the demo. The recorded guidance is real, the numbers are a gentle wave."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from mcpwatch.demo.answers import Answer, Json, World, done, failed
from mcpwatch.demo.offer import recorded

_GROUPS = ("application", "host", "performance", "dataplane")


def get_cloudwatch_logs(world: World, args: Json) -> Answer:
    if not world.allow_sensitive:
        return failed("Access to CloudWatch logs requires --allow-sensitive-data-access flag")
    cluster, kind, name = args["cluster_name"], args["resource_type"], args["resource_name"]
    begin, end = _span(world, args)
    count = min(max(args["limit"], 0), 200)
    entries = [_entry(end, i, name) for i in range(count, 0, -1)]
    data = {"resource_type": kind, "resource_name": name, "cluster_name": cluster, "log_type": args["log_type"]}
    data |= {"log_group": _group(cluster, args["log_type"]), "start_time": _plain(begin), "end_time": _plain(end)}
    subject = f"{kind} {name} in cluster {cluster}" if kind != "cluster" else f"cluster {cluster}"
    return done(f"Successfully retrieved {count} log entries for {subject}", data | {"log_entries": entries})


def get_cloudwatch_metrics(world: World, args: Json) -> Answer:
    cluster, metric = args["cluster_name"], args["metric_name"]
    named = args["dimensions"].get("ClusterName", cluster)
    if named != cluster:
        return failed(f"Provided cluster_name '{cluster}' does not match ClusterName dimension '{named}'")
    begin, end = _span(world, args)
    period = max(args["period"], 1)
    count = max(0, min(args["limit"], int((end - begin).total_seconds() // period), 500))
    points = [
        {"timestamp": (end - timedelta(seconds=period * i)).isoformat(), "value": _wave(i, metric)}
        for i in range(1, count + 1)
    ]
    data = {"cluster_name": cluster, "metric_name": metric, "namespace": args["namespace"]}
    data |= {"start_time": _plain(begin), "end_time": _plain(end), "data_points": points}
    return done(f"Successfully retrieved {count} metric data points for {metric} in cluster {cluster}", data)


def get_eks_metrics_guidance(world: World, args: Json) -> Answer:
    kind = args["resource_type"]
    if kind not in ("cluster", "node", "pod", "namespace", "service"):
        return failed(f"Invalid resource_type: {kind}. Must be one of: cluster, node, pod, namespace, service")
    metrics = [
        m | {"name": m["name"].replace("pod_", f"{kind}_", 1)} for m in recorded("get_eks_metrics_guidance")["metrics"]
    ]
    return done(
        f"Successfully retrieved {len(metrics)} metrics for resource type {kind}",
        {"resource_type": kind, "metrics": metrics},
    )


def _span(world: World, args: Json) -> tuple[datetime, datetime]:
    end = world.now()
    return end - timedelta(minutes=max(1, min(args["minutes"], 1440))), end


def _entry(end: datetime, index: int, name: str | None) -> Json:
    at = int((end - timedelta(milliseconds=100 * index)).timestamp() * 1000)
    told: dict[str, Any] = {"log": f"line {index}", "kubernetes": {"pod_name": name or "web"}}
    return {"@ptr": str(index), "timestamp": str(at), "message": told}


def _group(cluster: str, log_type: str) -> str:
    if log_type in _GROUPS:
        return f"/aws/containerinsights/{cluster}/{log_type}"
    return f"/aws/eks/{cluster}/cluster" if log_type == "control-plane" else log_type


def _wave(index: int, metric: str) -> float:
    return round(40 + 25 * math.sin(index / 5 + len(metric)), 2)


def _plain(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat()
