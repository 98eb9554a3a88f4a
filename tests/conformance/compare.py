"""Is the gateway invisible? Runs the official MCP conformance suites direct and through it, and prints what differs.

    python -m tests.conformance.compare                      everything (about six minutes)
    python -m tests.conformance.compare --part server        the suites as clients of the fixture server
    python -m tests.conformance.compare --part client        a client of ours as the visitor of the suites' own servers
    python -m tests.conformance.compare --upstream http      one kind of upstream: http or stdio
    python -m tests.conformance.compare --suite 2026         suites with this in their name
    python -m tests.conformance.compare --verbose            also what fails alike on both ways

Needs Node 22 or later in PATH. `MCPWATCH_CONFORMANCE_1` and `MCPWATCH_CONFORMANCE_2` name the folders in which
`@modelcontextprotocol/conformance` 0.1.16 and 0.2.0-alpha.12 are installed; without them npm installs both into
`$XDG_CACHE_HOME/mcpwatch-conformance`. Both ways use the same fixture server (`tests/conformance/server.py`); the
gateway runs as `mcpwatch serve` with a policy that allows everything, and with `--open`, as the suites send no token.
Exit code 1 when something differs that is not in `CANNOT`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.conformance.places import direct, through_http, through_stdio
from tests.conformance.suites import SUITES, Check, Suite, node_works, run_client, run_server

WAYS: dict[str, Callable[[], AbstractContextManager[str]]] = {"http": through_http, "stdio": through_stdio}
CLIENT = f"{sys.executable} -m tests.conformance.client"
_RANK = ("SKIPPED", "SUCCESS", "WARNING", "FAILURE")
_NO_POLLING = "a stdio server has no streams it could close for its client to come back to"
CANNOT: dict[str, dict[str, str]] = {
    "http": {},
    "client": {},
    "stdio": {
        "server-sse-polling": _NO_POLLING,
        "server-sse-multiple-streams/server-sse-streams-functional": (
            "a stdio server's answer is one line, which the gateway gives as JSON: streams are optional"
        ),
    },
}
"""Scenarios and checks in which such an upstream cannot do what the fixture does direct, each with the reason."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One check that says something else through the gateway. A status is "" when the check is missing."""

    suite: str
    upstream: str
    check: str
    direct: str
    through: str
    message: str

    @property
    def known(self) -> str:
        """Why nothing else can be expected of this kind of upstream, "" when nothing says so."""
        check, cannot = self.check.partition(" ")[0], CANNOT[self.upstream]
        return cannot.get(check) or cannot.get(check.partition("/")[0], "")


def differences(suite: str, upstream: str, before: Sequence[Check], after: Sequence[Check]) -> list[Difference]:
    """What is not the same. Checks of one id in one scenario are compared in their order."""
    old, new = {check.key: check for check in before}, {check.key: check for check in after}
    found: list[Difference] = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        left, right = was.status if was else "", now.status if now else ""
        if left != right:
            name = f"{key[0]}/{key[1]} #{key[2]}"
            message = (now.message if now else "") or (was.message if was else "")
            found.append(Difference(suite, upstream, name, left, right, message))
    return found


def compare(suite: Suite, upstreams: Sequence[str], *, verbose: bool = False) -> list[Difference]:
    """Run a suite direct and through gateways of these kinds, print figures and differences; the differences."""
    with direct() as url:
        before = run_server(suite, url)
    print(f"{suite.name}: direct {_figures(before)}", flush=True)
    if verbose:
        _print_failing(before)
    found: list[Difference] = []
    for upstream in upstreams:
        with WAYS[upstream]() as endpoint:
            after = run_server(suite, endpoint)
        different = differences(suite.name, upstream, before, after)
        known = sum(1 for difference in different if difference.known)
        told = f"{len(different) - known} differences" + (f", {known} that cannot be otherwise" if known else "")
        print(f"{suite.name}: {upstream} upstream {_figures(after)}; {told}", flush=True)
        for difference in different:
            _print(difference)
        found += different
    return found


def compare_visits(suite: Suite) -> list[Difference]:
    """Visit the suite's own servers direct and through a gateway; where they saw less, or worse, of the client."""
    found: list[Difference] = []
    seen = 0
    for scenario in suite.visits:
        before, after = (_worst(run_client(suite, scenario, f"{CLIENT}{way}")) for way in ("", " --through"))
        seen += len(before)
        for name, check in before.items():
            now = after.get(name)
            right = now.status if now else ""
            if right != check.status and not (check.status == "SKIPPED" and right == "SUCCESS"):
                message = now.message if now else ""
                found.append(Difference(suite.name, "client", f"{scenario}/{name}", check.status, right, message))
    print(f"{suite.name}: {len(suite.visits)} client scenarios, {seen} checks; {len(found)} differences", flush=True)
    for difference in found:
        _print(difference)
    return found


def _worst(checks: Sequence[Check]) -> dict[str, Check]:
    """The worst of each check. The gateway asks that server, too, so that their number says nothing."""
    worst: dict[str, Check] = {}
    for check in checks:
        known = worst.get(check.id)
        if check.status in _RANK and (known is None or _RANK.index(check.status) > _RANK.index(known.status)):
            worst[check.id] = check
    return worst


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(description="Compare conformance direct and through the gateway.")
    parser.add_argument("--suite", default="", help="only suites with this in their name")
    parser.add_argument("--upstream", choices=tuple(WAYS), help="only this kind of upstream")
    parser.add_argument("--verbose", action="store_true", help="print what fails direct, too")
    parser.add_argument("--part", choices=("server", "client"), help="only this part")
    given = parser.parse_args(arguments)
    if not node_works():
        print("Node 22 or later is needed in PATH", file=sys.stderr)
        return 2
    upstreams = (given.upstream,) if given.upstream else tuple(WAYS)
    chosen = [suite for suite in SUITES if given.suite in suite.name]
    found: list[Difference] = []
    for suite in chosen:
        if given.part != "client":
            found += compare(suite, upstreams, verbose=given.verbose)
        if given.part != "server":
            found += compare_visits(suite)
    return 1 if any(not difference.known for difference in found) else 0


def _figures(checks: Sequence[Check]) -> str:
    counted = Counter(check.status for check in checks)
    told = ", ".join(f"{number} {status}" for status, number in sorted(counted.items()))
    return f"{len(checks)} checks ({told})"


def _print(difference: Difference) -> None:
    left, right = difference.direct or "missing", difference.through or "missing"
    print(f"  {difference.check}: direct {left}, through {right}: {difference.known or difference.message[:300]}")


def _print_failing(checks: Sequence[Check]) -> None:
    for check in checks:
        if check.status in ("FAILURE", "WARNING"):
            print(f"  {check.scenario}/{check.id} #{check.nth}: {check.status} direct, too: {check.message[:200]}")


if __name__ == "__main__":
    sys.exit(main())
