"""The real servers and emulators, each in an environment of its own, made once and reused."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "eks": ("awslabs.eks-mcp-server==0.2.1",),
        "agentcore": ("awslabs.amazon-bedrock-agentcore-mcp-server==0.2.1",),
        "emulators": ("moto[server,all]==5.2.5", "kmock==0.8"),
        "others": ("mcp-server-git==2026.10.19", "mcp-server-time==2026.10.19"),
        "mcp130": ("mcp==1.30.0",),
    }
)
NPM_PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "npm": (
            "@modelcontextprotocol/server-everything@2026.8.31",
            "@modelcontextprotocol/server-filesystem@2026.8.31",
        ),
        "clients": ("node@22", "@anthropic-ai/claude-code@2.1.330", "@modelcontextprotocol/inspector@2.12.0"),
    }
)


def folder() -> Path:
    """Where the parts are kept."""
    named = os.environ.get("MCPWATCH_REAL_PARTS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else cache / "mcpwatch-real-parts"


def program(part: str, name: str) -> str:
    """The path of a program of a part, installing the part first when it is not there."""
    place = folder() / part
    path = place / "bin" / name
    _once(place, path, lambda: _python_part(place, PACKAGES[part]))
    return str(path)


def npm_program(part: str, name: str) -> str:
    """The path of a program of an npm part, installing the part first when it is not there."""
    place = folder() / part
    path = place / "node_modules" / ".bin" / name
    options = ["--prefix", str(place), "--no-audit", "--no-fund"]
    _once(place, path, lambda: _run(["npm", "install", *options, *NPM_PACKAGES[part]]))
    return str(path)


def _once(place: Path, path: Path, build: Callable[[], None]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / f".{place.name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        shutil.rmtree(place, ignore_errors=True)
        build()
        assert path.exists(), f"{path} was not installed"


def _python_part(place: Path, packages: tuple[str, ...]) -> None:
    _run([sys.executable, "-m", "venv", str(place)])
    _run([str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=900)
