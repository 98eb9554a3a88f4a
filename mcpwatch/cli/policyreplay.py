"""`mcpwatch policy replay`: what-if over the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from mcpwatch.audit import query
from mcpwatch.cli.options import json_option, place_options
from mcpwatch.cli.output import put, put_json, wrapped
from mcpwatch.cli.policyread import compiled
from mcpwatch.cli.reach import known_schemas
from mcpwatch.cli.times import since_option
from mcpwatch.config import Place
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.problems import visible
from mcpwatch.policy.replay import SCHEMA, Finding, Report, replay_json
from mcpwatch.policy.replay import replay as fold
from mcpwatch.records import rfc3339

_DIFFERENT = 6


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--upstream", default="", metavar="NAME", help="Only the calls of this upstream.")
@since_option("24h")
@json_option
@click.option("--file", "audit_file", metavar="FILE", help="A copy of audit.db instead of the gateway's own.")
@place_options
@click.pass_context
def replay(
    context: click.Context,
    file: str,
    upstream: str,
    since_ms: int,
    as_json: bool,
    audit_file: str | None,
    place: Place,
) -> None:
    """Fold the recorded calls over FILE and say which decisions flip (exit 6) or that none does (exit 0).

    The schemas that "validate" needs are asked of the running gateway.
    """
    draft = compiled(file)
    path = Path(audit_file) if audit_file else place.audit
    schemas = known_schemas(place, upstream) if validates(draft.document) else None
    # Calls of the longest window before fill the counters that the first calls met.
    before_ms = max(0, since_ms - longest_window_ms(draft.document))
    report = fold(query.replay_rows(path, before_ms, upstream), draft, schemas=schemas, since=rfc3339(since_ms))
    if as_json:
        put_json(replay_json(report))
    else:
        for line in _lines(report):
            put(visible(line))
    context.exit(_DIFFERENT if report.of("flip") else 0)


def validates(document: PolicyDocument) -> bool:
    """Whether any tool's arguments must satisfy its schema."""
    return any(entry.validate == "schema" for entry in (document.all_tools, *document.tools.values()))


def longest_window_ms(document: PolicyDocument) -> int:
    """The longest window of any limit, 0 when there is none."""
    entries = (document.all_tools, *document.tools.values())
    return max((limit.window.ms for entry in entries for limit in entry.limits), default=0)


def _lines(report: Report) -> Iterable[str]:
    flips = report.of("flip")
    count = sum(finding.count for finding in flips)
    yield f"{count} of {report.calls} recorded calls would be decided otherwise"
    for finding in flips:
        yield f"{finding.before} -> {finding.after}  {finding.tool}"
        yield from wrapped(_times(finding), indent="    ")
        if finding.rule:
            yield f"    {finding.rule}"
    for finding in report.of("observed"):
        yield f"would pass, observed only  {finding.tool}"
        yield from wrapped(_times(finding), indent="    ")
        yield f"    {finding.rule}"
    for finding in report.of("unknown"):
        why = "no running gateway knows it" if finding.rule == SCHEMA else "it is not stored"
        yield from wrapped(f"cannot be known: {finding.tool} {_times(finding)}; {finding.rule}: {why}", indent="")


def _times(finding: Finding) -> str:
    first = ", ".join(str(seq) for seq in finding.seqs)
    return f"{finding.count} x, first {finding.first_at[:19]}Z, calls {first}"
