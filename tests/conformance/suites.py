"""The official conformance suites: where they are, how they run, what their checks said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "@modelcontextprotocol/conformance"
_INSTALL_S = 300
_RUN_S = 300
_SUMMARY = 2000


@dataclass(frozen=True, slots=True)
class Suite:
    """One run of one release. `variable` names the environment variable with the folder it is installed in.

    `visits` are the client scenarios that apply through a gateway, all but those of authorization.
    """

    name: str
    release: str
    variable: str
    arguments: tuple[str, ...]
    visits: tuple[str, ...]


_OLD, _NEW = ("0.1.16", "MCPWATCH_CONFORMANCE_1"), ("0.2.0-alpha.12", "MCPWATCH_CONFORMANCE_2")
_LEGACY = ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry")
_MODERN = (
    "tools_call",
    "request-metadata",
    "sep-2322-client-request-state",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "json-schema-2020-12-preservation",
)
SUITES = (
    Suite("0.1.16 all", *_OLD, ("--suite", "all"), _LEGACY),
    Suite("0.2 2025-11-25", *_NEW, ("--requirements", "2025-11-25"), _LEGACY),
    Suite("0.2 2026-07-28", *_NEW, ("--requirements", "2026-07-28"), _MODERN),
)


@dataclass(frozen=True, slots=True)
class Check:
    """What one check of one scenario said. `nth` tells checks of one id apart, in their order."""

    scenario: str
    id: str
    nth: int
    status: str
    message: str

    @property
    def key(self) -> tuple[str, str, int]:
        return self.scenario, self.id, self.nth


def node_works() -> bool:
    """Whether there is a Node the suites run on (22 or later)."""
    if shutil.which("node") is None:
        return False
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    return said.startswith("v") and int(said[1:].partition(".")[0]) >= 22


def program(suite: Suite) -> Path:
    """The suite's program, installed into the cache folder when nobody says where it is."""
    folder = os.environ.get(suite.variable)
    place = Path(folder) if folder else _cache() / suite.release
    found = place / "node_modules" / PACKAGE / "dist" / "index.js"
    if not found.exists() and not folder:
        place.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(place), f"{PACKAGE}@{suite.release}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_INSTALL_S)
    if not found.exists():
        raise FileNotFoundError(found)
    return found


def run_server(suite: Suite, url: str) -> list[Check]:
    """Every check of the server at `url`."""
    return _run(suite, ("server", "--url", url, *suite.arguments))


def run_client(suite: Suite, scenario: str, command: str) -> list[Check]:
    """Every check of a client scenario; the suite adds its own server's URL to `command`."""
    version = suite.arguments[1:] if suite.arguments[0] == "--requirements" else ()
    more = ("--spec-version", *version) if version else ()
    return _run(suite, ("client", "--command", command, "--scenario", scenario, *more))


def _run(suite: Suite, arguments: tuple[str, ...]) -> list[Check]:
    with tempfile.TemporaryDirectory() as folder:
        command = ["node", str(program(suite)), *arguments, "--output-dir", folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_S, check=False)
        found = sorted(Path(folder).glob("*/checks.json")) or sorted(Path(folder).glob("*/*/checks.json"))
        if not found:
            raise RuntimeError(f"the suite said nothing that can be read: {(done.stdout + done.stderr)[-_SUMMARY:]}")
        return [check for path in found for check in _checks(path)]


def _checks(path: Path) -> list[Check]:
    """The checks of one scenario. Its folder has the name, and the time as its last 25 characters."""
    scenario, seen, checks = path.parent.name[:-25].removeprefix("server-"), Counter[str](), list[Check]()
    for check in json.loads(path.read_text(encoding="utf-8")):
        name = check["id"]
        seen[name] += 1
        checks.append(Check(scenario, name, seen[name], check["status"], str(check.get("errorMessage", ""))))
    return checks


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcpwatch-conformance"
