"""What a draft would have done to the calls that are known. Pure: texts and records in, lines for people out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.diff import policy_diff
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.replay import Report, replay
from mcpwatch.policy.values import PolicyError

LOOKED_AT = 1000
"""How many of the last calls a draft is tried on."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """`summary` in one line; `flips` one line for each kind of changed decision, most first."""

    summary: str
    flips: tuple[str, ...]


def in_words(before: str, after: str) -> list[str]:
    """What changes, in the language's own terms; [] when either text cannot be put in force or both mean the same."""
    try:
        return policy_diff(read_policy(before.encode()), read_policy(after.encode()))
    except (PolicyError, UnicodeEncodeError):
        return []


def what_if(
    draft: str, records: Sequence[Mapping[str, Any]], schemas: Mapping[str, Mapping[str, Any]] | None = None
) -> WhatIf:
    """Fold `records` (oldest first) over the policy text `draft`. Raises PolicyError when it cannot be put in force."""
    report = replay(records, compile_policy(read_policy(draft.encode())), schemas=schemas)
    return WhatIf(_summary(report), tuple(_lines(report)))


def _summary(report: Report) -> str:
    if report.calls == 0:
        return "No recorded call to try it on yet."
    calls = "the last call" if report.calls == 1 else f"the last {report.calls:,} calls"
    unknown = sum(finding.count for finding in report.of("unknown"))
    veiled = f" {unknown} cannot be known: their arguments are redacted." if unknown else ""
    if report.flipped == 0:
        return f"None of {calls} would have been decided otherwise.{veiled}"
    kinds: dict[str, int] = {}
    for finding in report.of("flip"):
        kind = f"{finding.before} → {finding.after}"
        kinds[kind] = kinds.get(kind, 0) + finding.count
    parts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1]))
    return f"{report.flipped} of {calls} flip: {parts}.{veiled}"


def _lines(report: Report) -> list[str]:
    found = sorted(report.of("flip"), key=lambda finding: -finding.count)
    return [f"{each.count} × {each.tool}  {each.before} → {each.after}  {each.rule}".rstrip() for each in found]
