"""A Kubernetes API in memory, run by the emulators' own interpreter: `kubernetes_api.py PORT`.

kmock serves discovery and objects. Added here is what the Python client of Kubernetes needs besides: `kind` and
`apiVersion` on lists, `/api/` and `/apis/` with a slash, label and field selectors, pod logs as plain text, and
namespaces themselves, whose paths kmock takes for those of what is in them.
"""

# pyright: basic, reportMissingImports=false
# kmock lives in the emulators' environment, so its types are not known here.

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp.web
import kmock

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


NAMESPACES = {name: {"name": name, "labels": {"app": "web"}} for name in ("default", "dev", "staging", "prod")}


class Api(kmock.KubernetesEmulator):
    """kmock's emulator with the additions."""

    async def __call__(self, raw_request):
        head, _, name = raw_request.path.partition("/api/v1/namespaces")
        if not head and name.strip("/") in {"", *NAMESPACES} and raw_request.path.startswith("/api/v1/namespaces"):
            return _namespaces(raw_request.method, name.strip("/"))
        return await super().__call__(raw_request)

    async def _handle(self, request):
        path = request.url.path
        if request.method.name == "GET" and path == "/api/":
            return aiohttp.web.json_response({**await self._serve_api(request), "serverAddressByClientCIDRs": []})
        if request.method.name == "GET" and path == "/apis/":
            return aiohttp.web.json_response(await self._serve_apis(request))
        if request.subresource == "log":
            lines = [f"2026-11-22T07:00:{i:02d}Z INFO handled GET /api/items/{i} 200" for i in range(20)]
            return aiohttp.web.Response(text="\n".join(lines) + "\n", content_type="text/plain")
        return await super()._handle(request)

    async def _serve_list(self, request):
        answer = await super()._serve_list(request)
        resource = request.resource
        info = next(self._resources[r] for r in self._resources if r == resource)
        version = f"{resource.group}/{resource.version}" if resource.group else resource.version
        kept = [item for item in answer["items"] if _selected(item, request.params)]
        return {"kind": f"{info.kind}List", "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": kept}


def _namespaces(method: str, name: str):
    head = {"apiVersion": "v1", "metadata": {"resourceVersion": "1"}}
    if not name:
        items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": meta} for meta in NAMESPACES.values()]
        return aiohttp.web.json_response({**head, "kind": "NamespaceList", "items": items})
    meta = NAMESPACES.pop(name) if method == "DELETE" else NAMESPACES[name]
    return aiohttp.web.json_response({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})


def _selected(item, params) -> bool:
    meta = item["metadata"]
    shown = {f"metadata.{k}": v for k, v in meta.items()}
    shown |= {f"involvedObject.{k}": v for k, v in item.get("involvedObject", {}).items()}
    return _matches(params.get("labelSelector", ""), meta.get("labels", {})) and _matches(
        params.get("fieldSelector", ""), shown
    )


def _matches(selector: str, values) -> bool:
    pairs = [part.replace("==", "=").partition("=") for part in selector.split(",") if part]
    return all(values.get(key) == value for key, _, value in pairs)


def _fill(api: Api) -> None:
    pods = kmock.resource("", "v1", "pods")
    secrets = kmock.resource("", "v1", "secrets")
    deployments = kmock.resource("apps", "v1", "deployments")
    for name in NAMESPACES:
        api.objects[pods, name, "web-00"] = _object("v1", "Pod", "web-00", name, spec={"containers": []})
        secret = _object("v1", "Secret", "db", name, stringData={"password": "hunter2"})
        secret["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(secret)}
        api.objects[secrets, name, "db"] = secret
        api.objects[deployments, name, "web"] = _object("apps/v1", "Deployment", "web", name, spec={"replicas": 2})


def _object(version: str, kind: str, name: str, namespace: str, **body):
    meta = {"name": name, "namespace": namespace, "labels": {"app": "web"}, "creationTimestamp": "2026-11-22T07:00:00Z"}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **body}


async def _main(port: int) -> None:
    async with Api() as api:
        api.resources.load_bundled()
        _fill(api)
        async with kmock.Server(api, port=port):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
