"""AWS, Kubernetes and an agent runtime, emulated on loopback, each as a context manager that ends what it started."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from tests.real.parts import program

CLUSTER = "demo-eks"
_START_S = 60.0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def base_env() -> dict[str, str]:
    """What a program needs to run, and nothing of the caller's cloud."""
    return {key: os.environ[key] for key in ("HOME", "PATH", "LANG") if key in os.environ}


@contextlib.contextmanager
def running(command: list[str], url: str, env: dict[str, str] | None = None) -> Generator[None]:
    """Run a server until the block ends; it is up when `url` answers anything at all."""
    process = subprocess.Popen(
        command,
        env=env or base_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await_answer(url, process)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    """No event tells that a foreign server listens, so it is asked until it answers."""
    deadline = time.monotonic() + _START_S
    pause = threading.Event()
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{url}: the server ended with code {process.returncode}"
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            pause.wait(0.1)
    raise AssertionError(f"{url} did not answer")


@dataclass(frozen=True, slots=True)
class Cloud:
    """The environment that points an AWS or Kubernetes client at the emulators."""

    env: dict[str, str]


@contextlib.contextmanager
def kubernetes(folder: Path) -> Generator[Cloud]:
    """A Kubernetes API with pods, deployments and Secrets in default, dev, staging and prod."""
    port = free_port()
    script = Path(__file__).with_name("kubernetes_api.py")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": CLUSTER, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "none"}}],
                "contexts": [{"name": "demo", "context": {"cluster": CLUSTER, "user": "u"}}],
                "current-context": "demo",
            }
        )
    )
    with running([program("emulators", "python"), str(script), str(port)], f"http://127.0.0.1:{port}/api/"):
        yield Cloud({"EKS_AUTH_MODE": "kubeconfig", "KUBECONFIG": str(kubeconfig)})


@contextlib.contextmanager
def aws() -> Generator[Cloud]:
    """AWS as moto emulates it."""
    port = free_port()
    command = [program("emulators", "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, f"http://127.0.0.1:{port}/moto-api/"):
        yield Cloud(aws_env(f"http://127.0.0.1:{port}"))


def aws_env(endpoint: str) -> dict[str, str]:
    """Made-up credentials and an endpoint on this machine."""
    return {
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class _Runtime(http.server.BaseHTTPRequestHandler):
    """An agent runtime that greets whoever invokes it (Source: Bedrock AgentCore API, InvokeAgentRuntime)."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = json.dumps({"answer": "hello from the agent"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "s" * 36)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A test prints nothing."""


@contextlib.contextmanager
def agent_runtime() -> Generator[Cloud]:
    """A scripted agent behind the endpoint of AgentCore."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Runtime)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Cloud(aws_env(f"http://127.0.0.1:{server.server_address[1]}"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
