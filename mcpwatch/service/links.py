"""From what an upstream is to the link that reaches it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mcpwatch.gateway.http_link.credentials import Credentials
from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.link import Link
from mcpwatch.gateway.stdio_link.link import StdioLink
from mcpwatch.upstreams.environment import scrub
from mcpwatch.upstreams.remedies import remedy_for
from mcpwatch.upstreams.spec import UpstreamSpec

Told = Callable[[str, str, str, str], None]
"""(upstream, state, error, remedy)"""


def link_to(spec: UpstreamSpec, told: Told, credentials: Credentials | None = None) -> Link:
    """A link that is not started yet. What it tells has no value of the upstream's environment in it.

    `credentials` are the operator's login, for an upstream that is reached by URL.
    """

    def on_change(state: str, error: str, remedy: str) -> None:
        told(spec.name, state, scrub(error, spec.env), scrub(remedy, spec.env))

    def remedy(lines: Sequence[str]) -> str:
        return remedy_for(lines, spec.preset)

    if spec.kind == "http":
        return HttpLink(spec.name, spec.url, headers=spec.headers, credentials=credentials, on_change=on_change)
    return StdioLink(spec.name, spec.command, spec.env, on_change=on_change, remedy=remedy)
