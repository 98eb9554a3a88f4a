"""With the gateway between a client and the fixture server nothing is different.

The short version needs the SDK only; the official suites (`python -m tests.conformance.compare`) are marked slow.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from mcpwatch.gateway.http_link.link import HttpLink
from mcpwatch.gateway.stdio_link.link import StdioLink
from tests.conformance.compare import WAYS, compare, compare_visits
from tests.conformance.dialogue import LEGACY, MODERN, Dialogue
from tests.conformance.places import FIXTURE, ROOT
from tests.conformance.server import build, web
from tests.conformance.suites import SUITES, Suite, node_works
from tests.gateway.house import house, serving

_ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@asynccontextmanager
async def fixture() -> AsyncGenerator[str]:
    """The fixture server on Streamable HTTP; its URL."""
    server = build()
    app = web(server)
    async with server.session_manager.run(), serving(app) as port:
        yield f"http://127.0.0.1:{port}/mcp"


@asynccontextmanager
async def link(upstream: str) -> AsyncGenerator[HttpLink | StdioLink]:
    """The fixture as the gateway's upstream."""
    if upstream == "stdio":
        stdio = StdioLink("up", [*FIXTURE, "stdio"], _ENV)
        await stdio.start()
        try:
            yield stdio
        finally:
            await stdio.stop()
        return
    async with fixture() as url:
        http = HttpLink("up", url)
        yield http
        await http.stop()


@pytest.mark.parametrize("mode", [LEGACY, MODERN])
@pytest.mark.parametrize("upstream", ["http", "stdio"])
async def test_a_client_hears_through_the_gateway_what_it_hears_direct(upstream: str, mode: str) -> None:
    async with fixture() as url:
        before = await Dialogue(url, "", mode).hold()
    async with link(upstream) as reached, house(links={"up": reached}) as h:
        after = await Dialogue(h.url, h.token, mode).hold()
    assert after == before
    assert len(before) > 40


@pytest.mark.slow
@pytest.mark.skipif(not node_works(), reason="the official suites need Node 22")
@pytest.mark.parametrize("upstream", sorted(WAYS))
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_official_suites_see_no_difference(suite: Suite, upstream: str) -> None:
    assert [found for found in compare(suite, [upstream]) if not found.known] == []


@pytest.mark.slow
@pytest.mark.skipif(not node_works(), reason="the official suites need Node 22")
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_suites_own_servers_see_no_worse_client(suite: Suite) -> None:
    assert compare_visits(suite) == []
