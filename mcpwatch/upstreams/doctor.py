"""Says whether an upstream can start here, by starting it, and what to do when it cannot.

Names of variables are shown, their values never, whatever the server writes.
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.environment import scrub
from mcpwatch.upstreams.handshake import Greeting, ProbeFailed
from mcpwatch.upstreams.logins.record import Login
from mcpwatch.upstreams.logins.renewal import NotRenewed, Unsaved, renew
from mcpwatch.upstreams.logins.standing import standing, standing_json
from mcpwatch.upstreams.logins.store import LoginStore
from mcpwatch.upstreams.presets import PRESETS, resolve
from mcpwatch.upstreams.probe_http import probe_http
from mcpwatch.upstreams.probe_stdio import probe_stdio
from mcpwatch.upstreams.remedies import explain, remedy_for
from mcpwatch.upstreams.spec import UpstreamSpec

TIMEOUT_S = 45.0
"""How long a server may take to start and list its tools; with the time to end it, this stays under a minute."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found. `exit_code` is 0 or 4; `error` and `remedy` are "" when it can start."""

    name: str
    exit_code: int
    how: str = ""
    server: str = ""
    protocol: str = ""
    tools: tuple[str, ...] = ()
    env_names: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    error: str = ""
    remedy: str = ""
    duration_ms: int = 0
    login: Login | None = None

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    def json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "name": self.name,
            "ok": self.ok,
            "how": self.how,
            "server": self.server,
            "protocol": self.protocol,
            "tools": list(self.tools),
            "env": list(self.env_names),
            "needs": list(self.needs),
            "error": self.error,
            "remedy": self.remedy,
            "duration_ms": self.duration_ms,
            "login": standing_json(self.login, _now_ms()) if self.login else None,
        }

    def lines(self) -> list[str]:
        """The report for people: plain text of at most 80 columns, understood without colour."""
        said = [f"{self.name}: {'ready' if self.ok else 'cannot start'}"]
        said += _row("starts as", self.how) + _row("server", self.server) + _row("protocol", self.protocol)
        if self.ok:
            said += _row("tools", f"{len(self.tools)} in {self.duration_ms / 1000:.1f} s")
        said += _row("login", standing(self.login, _now_ms()) if self.login else "")
        said += _row("sees", " ".join(self.env_names))
        said += [line for need in self.needs for line in _row("needs", need)] if not self.ok else []
        return said + _row("error", self.error) + _row("remedy", self.remedy)


def _row(label: str, text: str) -> list[str]:
    if not text:
        return []
    indent = " " * 13
    return textwrap.wrap(text, 79, initial_indent=f"  {label:<11}", subsequent_indent=indent, break_on_hyphens=False)


async def doctor(
    name: str,
    *,
    environ: Mapping[str, str],
    state_dir: Path,
    version: str,
    extra_env: Sequence[str] = (),
    extra_args: Sequence[str] = (),
    python: str = sys.executable,
    timeout_s: float = TIMEOUT_S,
    logins: LoginStore | None = None,
) -> Report:
    """Examine what `--upstream NAME` would start. `version` is told to the server as the doctor's own.

    Raises ConfigError only for a name that means nothing; a missing program is a report.
    """
    try:
        spec = resolve(
            name, environ=environ, state_dir=state_dir, extra_env=extra_env, extra_args=extra_args, python=python
        )
    except ConfigError as error:
        key = name.partition("=")[0]
        if key not in PRESETS:
            raise
        return Report(key, 4, needs=PRESETS[key].needs, error=error.message, remedy=error.remedy)
    return await examine(spec, version=version, timeout_s=timeout_s, logins=logins)


async def examine(
    spec: UpstreamSpec, *, version: str, timeout_s: float = TIMEOUT_S, logins: LoginStore | None = None
) -> Report:
    """Start or reach the server of `spec`, with the operator's login there if any, ask for its tools, end it."""
    login = None if logins is None or spec.kind != "http" else await asyncio.to_thread(_login, spec, logins)
    report = await _examine(_with(spec, login), version, timeout_s)
    if spec.kind == "http" and "HTTP status 401" in report.error:
        log_in = f"Log in to it: mcpwatch upstream login {spec.name}"
        report = replace(report, remedy="Check its Authorization header." if _has_authorization(spec) else log_in)
    return replace(report, login=login)


async def _examine(spec: UpstreamSpec, version: str, timeout_s: float) -> Report:
    began = time.monotonic()
    how = _how(spec)
    needs = PRESETS[spec.preset].needs if spec.preset else ()
    probe = probe_http if spec.kind == "http" else probe_stdio
    try:
        found = await probe(spec, version=version, timeout_s=timeout_s)
    except ProbeFailed as failure:
        error, remedy = _diagnosis(spec, failure)
        return Report(spec.name, 4, how, env_names=spec.env_names, needs=needs, error=error, remedy=remedy)
    took_ms = round((time.monotonic() - began) * 1000)
    return _healthy(spec, how, needs, found, took_ms)


def _login(spec: UpstreamSpec, logins: LoginStore) -> Login | None:
    """The login that the gateway would use, renewed when it is over."""
    try:
        login = logins.read(spec.name)
        if login is None or not login.belongs_to(spec.url):
            return None
        over = login.is_over(_now_ms()) and login.renews
        return renew(logins, spec.name, login.access_token, _now_ms) if over else login
    except (ConfigError, NotRenewed, Unsaved):
        return None


def _with(spec: UpstreamSpec, login: Login | None) -> UpstreamSpec:
    if login is None or _has_authorization(spec):
        return spec
    return replace(spec, headers={**spec.headers, "Authorization": f"Bearer {login.access_token}"})


def _has_authorization(spec: UpstreamSpec) -> bool:
    return any(name.lower() == "authorization" for name in spec.headers)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _how(spec: UpstreamSpec) -> str:
    """The URL without its query, the program without its arguments: both are places where people put secrets."""
    return spec.url.partition("?")[0] if spec.kind == "http" else f"{spec.command[0]} ({spec.source})"


def _healthy(spec: UpstreamSpec, how: str, needs: tuple[str, ...], found: Greeting, took_ms: int) -> Report:
    names = tuple(str(tool.get("name", "")) for tool in found.tools)
    return Report(spec.name, 0, how, found.server, found.protocol, names, spec.env_names, needs, duration_ms=took_ms)


def _diagnosis(spec: UpstreamSpec, failure: ProbeFailed) -> tuple[str, str]:
    """Its own last words when it ended, what was seen from outside otherwise; never a secret of its environment."""
    error, remedy = failure.error, remedy_for((*failure.stderr, failure.error), spec.preset)
    if failure.exit_code is not None:
        error, remedy = explain(failure.stderr, exit_code=failure.exit_code, preset=spec.preset)
    if not remedy:
        remedy = (
            "Check that the URL is the server's MCP endpoint." if spec.kind == "http" else "Run it by hand to see more."
        )
    hidden = spec.env | spec.headers | {name: value.rpartition(" ")[2] for name, value in spec.headers.items()}
    return scrub(scrub(error, spec.headers), hidden), scrub(remedy, spec.env)
