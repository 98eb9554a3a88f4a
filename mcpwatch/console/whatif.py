"""What a draft would have done to the calls that are known. Pure: texts and records in, lines for people out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.diff import policy_diff
from mcpwatch.policy.document import PolicyDocument
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
        return policy_diff(_read(before), _read(after))
    except PolicyError:
        return []


def what_if(
    now: str,
    draft: str,
    records: Sequence[Mapping[str, Any]],
    schemas: Mapping[str, Mapping[str, Any]] | None = None,
) -> WhatIf:
    """Fold `records` (oldest first) over the policy text `draft`. Raises PolicyError when it cannot be put in force.

    Flips that the policy text `now` shows on the same records are none of the draft's: the records begin somewhere,
    and calls before them had filled counters that stand at zero here.
    """
    report = replay(records, compile_policy(_read(draft)), schemas=schemas)
    flips = _flips(report)
    flips.subtract(_baseline(now, records, schemas))
    kept = {flip: count for flip, count in flips.most_common() if count > 0}
    return WhatIf(_summary(report, kept), tuple(_lines(kept)))


_Flip = tuple[str, str, str, str]
"""(tool, rule, decision before, decision after)"""


def _baseline(
    now: str, records: Sequence[Mapping[str, Any]], schemas: Mapping[str, Mapping[str, Any]] | None
) -> Counter[_Flip]:
    try:
        return _flips(replay(records, compile_policy(_read(now)), schemas=schemas))
    except PolicyError:
        return Counter()


def _read(text: str) -> PolicyDocument:
    return read_policy(text.encode("utf-8", "surrogatepass"))


def _flips(report: Report) -> Counter[_Flip]:
    return Counter({(each.tool, each.rule, each.before, each.after): each.count for each in report.of("flip")})


def _summary(report: Report, flips: Mapping[_Flip, int]) -> str:
    if report.calls == 0:
        return "No recorded call to try it on yet."
    calls = "the last call" if report.calls == 1 else f"the last {report.calls:,} calls"
    unknown = sum(finding.count for finding in report.of("unknown"))
    veiled = f" {unknown} cannot be known: their arguments are redacted." if unknown else ""
    if not flips:
        return f"None of {calls} would have been decided otherwise.{veiled}"
    kinds: dict[str, int] = {}
    for (_, _, before, after), count in flips.items():
        kind = f"{before} → {after}"
        kinds[kind] = kinds.get(kind, 0) + count
    parts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1]))
    return f"{sum(flips.values())} of {calls} flip: {parts}.{veiled}"


def _lines(flips: Mapping[_Flip, int]) -> list[str]:
    return [
        f"{count} × {tool}  {before} → {after}  {rule}".rstrip() for (tool, rule, before, after), count in flips.items()
    ]
