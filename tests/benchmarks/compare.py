"""Direct, nginx and mcpwatch in turn on one machine, as ratios: `python -m tests.benchmarks.compare [--calls N]`.

Everything of mcpwatch is on: token, policy with rules and limits, counters, durable audit, a console attached. CPU is
that of the process under test and its children, per call; the load, the upstream and the console are not in it. nginx
is left out where it is not installed. Rows: `mcpwatch` lets the calls pass, `refused` answers them itself; at last an
open loop of 1,000 calls a second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop

from tests.benchmarks.load import Result, rss_mb, run, tree

POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {
        "echo": {
            "require": [{"conditions": [{"path": "args.text", "op": "exists", "value": True}]}],
            "deny_if": [
                {"conditions": [{"path": "args.text", "op": "regex", "value": "^forbidden$"}]},
                {"conditions": [{"path": "args.size", "op": "gt", "value": 1000}]},
            ],
            "limits": [
                {"counter": "per_minute", "window": "minute", "max": 100_000_000, "scope": "grant"},
                {"counter": "per_day", "window": "day", "max": 1_000_000_000, "scope": "global"},
            ],
        }
    },
}
NGINX = """
worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream echo {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://echo; proxy_http_version 1.1;
    proxy_set_header Connection ""; }} }}
}}
"""
PLAIN = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def ended(process: subprocess.Popen[str]) -> Generator[subprocess.Popen[str], None, None]:
    """The process, ended on the way out."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def start_upstream(stack: ExitStack) -> int:
    """Start the echo upstream; its port."""
    command = [sys.executable, "-m", "tests.benchmarks.upstream"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.enter_context(ended(process))
    assert process.stdout
    return int(process.stdout.readline())


def start_nginx(stack: ExitStack, folder: Path, upstream: int) -> tuple[int, int]:
    """Start nginx as a reverse proxy; its port and pid."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, upstream=upstream, port=port))
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(config)], text=True)
    stack.enter_context(ended(process))
    wait_for(port)
    return port, process.pid


def wait_for(port: int) -> None:
    """Return when something listens on the port."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def start_gateway(stack: ExitStack, folder: Path, upstream: int) -> tuple[str, int, int, str]:
    """Start mcpwatch in front of the upstream, with a console; its path, port, pid and token."""
    policy = folder / "policy.json"
    policy.write_text(json.dumps(POLICY))
    shut = folder / "shut.json"
    shut.write_text(json.dumps({**POLICY, "tools": {}}))
    command = [sys.executable, "-m", "mcpwatch", "serve", "--state-dir", str(folder / "state")]
    command += ["--upstream", f"echo=http://127.0.0.1:{upstream}/mcp", "--policy", f"echo={policy}"]
    command += ["--upstream", f"shut=http://127.0.0.1:{upstream}/mcp", "--policy", f"shut={shut}"]
    command += ["--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.enter_context(ended(process))
    assert process.stdout
    ready = json.loads(process.stdout.readline())
    watcher = [sys.executable, "-m", "tests.benchmarks.watcher", ready["control"]]
    stack.enter_context(ended(subprocess.Popen(watcher, text=True)))
    url: str = ready["endpoints"]["echo"]
    port = int(url.split(":")[2].split("/")[0])
    connect = [sys.executable, "-m", "mcpwatch", "connect", "--state-dir", str(folder / "state"), "--json"]
    told = json.loads(subprocess.run([*connect, "claude"], capture_output=True, text=True, check=True).stdout)
    return "/mcp/echo", port, process.pid, told[0]["token"]


async def measure(calls: int, sessions: tuple[int, ...]) -> None:
    """Run all targets for each number of sessions and print the table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = start_upstream(stack)
        nginx = start_nginx(stack, folder, upstream) if shutil.which("nginx") else None
        path, port, pid, token = start_gateway(stack, folder, upstream)
        trusted = {**PLAIN, "Authorization": f"Bearer {token}"}
        proxied = [
            ("direct", upstream, "/mcp", list[int]()),
            *([("nginx", nginx[0], "/mcp", tree(nginx[1]))] if nginx else []),
        ]
        for count in sessions:
            results = [await run(n, p, w, headers=PLAIN, sessions=count, calls=calls, pids=c) for n, p, w, c in proxied]
            pids = tree(pid)
            await run("warm", port, path, headers=trusted, sessions=count, calls=count * 20, pids=pids)
            results.append(await run("mcpwatch", port, path, headers=trusted, sessions=count, calls=calls, pids=pids))
            results.append(
                await run(
                    "refused", port, "/mcp/shut", headers=trusted, sessions=count, calls=calls, pids=pids,
                    marker=b"POLICY DENIED",
                )
            )  # fmt: skip
            show(f"{count} sessions", results, rss_mb(pids))
        targets = [*proxied, ("mcpwatch", port, path, tree(pid))]
        results = [
            await run(
                n, p, w, headers=trusted if n == "mcpwatch" else PLAIN, sessions=64, calls=min(calls, 8_000), pids=c,
                per_s=1_000,
            )
            for n, p, w, c in targets
        ]  # fmt: skip
        show("open loop, 1,000 calls a second", results, rss_mb(tree(pid)))


def show(title: str, results: list[Result], rss: float) -> None:
    """Print one table; ratios are to nginx where it ran."""
    nginx = next((r for r in results if r.name == "nginx"), None)
    print(f"\n{title}, 64 B echo; mcpwatch RSS {rss:.0f} MB")
    print(f"{'target':10} {'calls/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} {'x nginx':>8} {'failed':>7}")
    for r in results:
        ratio = f"{r.cpu_us / nginx.cpu_us:.1f}" if nginx and nginx.cpu_us and r.cpu_us else "-"
        figures = f"{r.per_s:9,.0f} {r.quantile(0.5):8.2f} {r.quantile(0.99):8.2f} {r.cpu_us:8.0f}"
        print(f"{r.name:10} {figures} {ratio:>8} {r.failures:7}")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    uvloop.run(measure(options.calls, tuple(options.sessions)))


if __name__ == "__main__":
    main()
