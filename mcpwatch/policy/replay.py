"""What-if: recorded calls folded over a draft, to see which decisions it would have changed.

The records are those of the audit, with their own times, callers and arguments. Counters are counted as the draft would
have counted them. Where the draft looks at an argument that was redacted, the answer is that it cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn

from mcpwatch.policy.amounts import exact
from mcpwatch.policy.compiled import CompiledPolicy
from mcpwatch.policy.counters import Counters
from mcpwatch.policy.decide import SchemaCheck, decide
from mcpwatch.policy.instants import instant_ms
from mcpwatch.policy.messages import DEFAULT_DENY, HIDDEN, INTERNAL, LOOK_ALIKE, NO_POLICY
from mcpwatch.policy.schemas import compile_schema
from mcpwatch.policy.values import Caller, Decision, ToolCall
from mcpwatch.policy.veil import UnknownArgument, Veiled, has_redacted

Kind = Literal["flip", "observed", "unknown"]

SCHEMA: Final = "the tool's schema"
"""Stands where a path stands for a call that only the schema of its tool could decide."""
EXAMPLES: Final = 5
"""How many recorded calls are named under each finding."""

_BY_POLICY: Final = frozenset(("", NO_POLICY, HIDDEN, LOOK_ALIKE, DEFAULT_DENY))


@dataclass(slots=True)
class Finding:
    """Recorded calls of one tool that the draft decides otherwise, by one rule.

    `kind` `flip`: the decision changes. `observed`: the call would pass, but an observing rule would have denied it.
    `unknown`: `rule` is the path of the redacted argument that the draft looks at, or SCHEMA; `after` is "".
    `rule` is the draft's, or when the draft allows the call the one that had refused it. `seqs` are the first records.
    """

    kind: Kind
    tool: str
    rule: str
    before: str
    after: str
    count: int = 0
    first_at: str = ""
    last_at: str = ""
    seqs: list[int] = field(default_factory=list[int])


@dataclass(frozen=True, slots=True)
class Report:
    """`calls` were looked at. `skipped` were not tool calls, or were not decided by a policy (frozen, malformed)."""

    calls: int
    skipped: int
    findings: tuple[Finding, ...]

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind, in order of their first call."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    @property
    def flipped(self) -> int:
        """How many decisions change."""
        return sum(finding.count for finding in self.of("flip"))


def replay(
    records: Iterable[Mapping[str, Any]],
    draft: CompiledPolicy,
    *,
    schemas: Mapping[str, Mapping[str, Any]] | None = None,
    since: str = "",
) -> Report:
    """Fold audit records (JSON of the contract, oldest first) over `draft`.

    `schemas` are the tools' for `validate: schema`; None when nobody knows them, and then what they decide is unknown.

    Records before `since` (RFC 3339 UTC, ms) only fill counters: what was used then counts later, and is not reported.
    """
    checks = None if schemas is None else {tool: compile_schema(schema) for tool, schema in schemas.items()}
    fold = _Fold(draft, _NoSchemas() if checks is None else checks, since)
    for record in records:
        fold.record(record)
    return Report(fold.calls, fold.skipped, tuple(fold.findings.values()))


class _NoSchemas(dict[str, SchemaCheck]):
    """What stands for the schemas when nobody knows them: looking for one is an error."""

    def get(self, key: str, default: Any = None, /) -> NoReturn:
        raise UnknownArgument(SCHEMA)


class _Fold:
    """The draft with its own counters. `_held` is what the draft says of calls that wait for an operator."""

    def __init__(self, draft: CompiledPolicy, schemas: Mapping[str, SchemaCheck], since: str) -> None:
        self._since = since
        self._draft = draft
        self._schemas = schemas
        self._counters = Counters()
        self._counters.watch(draft.sliding())
        self._reads: dict[str, frozenset[str]] = {}
        self._held: dict[str, str] = {}
        self.calls = 0
        self.skipped = 0
        self.findings: dict[tuple[str, ...], Finding] = {}

    def record(self, record: Mapping[str, Any]) -> None:
        held = self._held.pop(record["call_id"], None) if self._held else None
        if not _is_call(record):
            self.skipped += record["at"] >= self._since
        elif record.get("held_ms") is None:
            self._judge(record)
        elif held == "hold" and record["decision"] == "allow":
            self._judge(record, approved=True)

    def _judge(self, record: Mapping[str, Any], approved: bool = False) -> None:
        self.calls += not approved and record["at"] >= self._since
        before = record["decision"]
        try:
            decision = self._decide(record, approved)
        except UnknownArgument as unknown:
            self._add("unknown", record, str(unknown.args[0]), before, "")
            return
        if before == "hold":
            self._held[record["call_id"]] = decision.verdict
        self._count(decision, record)
        if decision.verdict != before:
            self._add("flip", record, decision.rule or record["rule"], before, decision.verdict)
        elif decision.would_deny:
            self._add("observed", record, decision.would_deny, before, decision.verdict)

    def _decide(self, record: Mapping[str, Any], approved: bool) -> Decision:
        client = record["client"]
        args: dict[str, Any] = record["args"]
        for name in self._read_by(record["tool"]) or args:
            if name in args and has_redacted(args[name]):
                args = Veiled(args)
                break
        call = ToolCall(Caller(record["grant"], client["name"], record["session"]), record["tool"], args)
        return decide(self._draft, call, self._counters, instant_ms(record["at"]), self._schemas, approved=approved)

    def _read_by(self, tool: str) -> frozenset[str]:
        """The arguments that the draft looks at when `tool` is called; empty when it may look at all of them."""
        found = self._reads.get(tool)
        if found is None:
            found = self._reads[tool] = self._draft.plan(tool).rules.reads()
        return found

    def _count(self, decision: Decision, record: Mapping[str, Any]) -> None:
        if record.get("outcome") != "not_sent" or record["decision"] == "deny":
            for charge in decision.charges:
                self._counters.charge(charge.key, exact(charge.amount), charge.at_ms)

    def _add(self, kind: Kind, record: Mapping[str, Any], rule: str, before: str, after: str) -> None:
        if record["at"] < self._since:
            return
        tool = record["tool"]
        key = kind, tool, rule, before, after
        finding = self.findings.get(key)
        if finding is None:
            finding = self.findings[key] = Finding(kind, tool, rule, before, after, first_at=record["at"])
        finding.count += 1
        finding.last_at = record["at"]
        if len(finding.seqs) < EXAMPLES:
            finding.seqs.append(record["seq"])


def _is_call(record: Mapping[str, Any]) -> bool:
    """Whether a policy decided this record. A held call that an operator refused has a rule of the operator's."""
    if record["method"] != "tools/call" or not isinstance(record["args"], dict):
        return False
    rule: str = record["rule"]
    decided = rule in _BY_POLICY or (rule.startswith("/") and rule != INTERNAL)
    return record["decision"] != "reject" and (decided or record.get("held_ms") is not None)


def replay_json(report: Report) -> dict[str, Any]:
    """The report as `policy replay --json` shows it."""
    return {
        "calls": report.calls,
        "skipped": report.skipped,
        "flipped": report.flipped,
        "flips": [_finding_json(finding) for finding in report.of("flip")],
        "observed": [_finding_json(finding) for finding in report.of("observed")],
        "cannot_be_known": [
            {"tool": each.tool, "path": each.rule, "count": each.count, "first_at": each.first_at, "seqs": each.seqs}
            for each in report.of("unknown")
        ],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "tool": finding.tool,
        "rule": finding.rule,
        "before": finding.before,
        "after": finding.after,
        "count": finding.count,
        "first_at": finding.first_at,
        "last_at": finding.last_at,
        "seqs": finding.seqs,
    }
