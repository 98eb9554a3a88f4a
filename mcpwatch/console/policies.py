"""What the console knows of each upstream's policy file, and what follows from its text without asking the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mcpwatch.console.meters import Meter
from mcpwatch.policy.document import Limit, PolicyDocument, Span, ToolEntry
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError

_PLACES = {"(default deny)": "default", "(hidden)": "hide"}
"""Rules that are no pointers, and the key of the document that they come from."""
OF_GRANT = "grant:"
"""In front of a grant's label where the gateway otherwise names the upstream whose policy is meant."""


@dataclass(frozen=True, slots=True)
class PolicyView:
    """One policy in force; `digest` (the whole sha-256) is "" when there is none. `text` and `file_digest` are the
    file's, which is another policy than the one in force while the file is broken.

    `error` is `FILE:LINE:COL POINTER MESSAGE` of the first fault of the file as it is now, or "". `document` is None
    when `text` cannot be read; `by` who installed it.
    """

    upstream: str
    file: str = ""
    text: str = ""
    digest: str = ""
    installed_at_ms: int = 0
    error: str = ""
    by: str = ""
    problems: tuple[Mapping[str, Any], ...] = ()
    document: PolicyDocument | None = field(default=None, compare=False)
    file_digest: str = ""

    @classmethod
    def read(cls, upstream: str, data: Mapping[str, Any], installed_at_ms: int) -> PolicyView:
        """From the JSON of `hello`, of `GET /policy/UPSTREAM` or of a policy_installed event."""
        file, text = str(data.get("file") or ""), str(data.get("text") or "")
        problems = tuple(data.get("problems") or ())
        digest = str(data.get("installed", data.get("digest")) or "")
        view = cls(upstream, file, text, digest, installed_at_ms, by=str(data.get("by") or ""))
        known = replace(view, problems=problems, error=first_error(file, problems), document=_document(file, text))
        return replace(known, file_digest=str(data.get("digest") or ""))

    def rejected(self, problems: Iterable[Mapping[str, Any]]) -> PolicyView:
        """The file is broken; the policy stays in force."""
        kept = tuple(problems)
        return replace(self, problems=kept, error=first_error(self.file, kept))

    @property
    def default(self) -> str:
        """`deny`, `allow`; "" without a policy (everything is refused), "?" when only the broken file is known."""
        if not self.digest:
            return ""
        return self.document.default if self.document else "?"

    def line_of(self, rule: str) -> int:
        """The line (from 1) where a rule's JSON pointer stands in the text, 0 when it cannot be told."""
        return self.lines_of(rule)[0]

    def lines_of(self, rule: str) -> tuple[int, int]:
        """First and last line (from 1) of a rule, (0, 0) when it cannot be told."""
        if rule in _PLACES:
            line = self._line_with(_PLACES[rule])
            return line, line
        if self.document is None or not rule.startswith("/"):
            return 0, 0
        head, *rest = [part.replace("~1", "/").replace("~0", "~") for part in rule.split("#")[0].split("/")[1:]]
        entry = self.document.all_tools
        if head == "tools" and rest:
            name, *rest = rest
            entry = self.document.tools.get(name) or ToolEntry(name, span=Span(0, 0, 0, 0))
        span = _span_in(entry, rest)
        return span.line, span.end_line

    def _line_with(self, key: str) -> int:
        lines = self.text.split("\n")
        return next((number for number, line in enumerate(lines, 1) if line.strip().strip('"').startswith(key)), 0)


def _span_in(entry: ToolEntry, rest: list[str]) -> Span:
    if len(rest) == 2 and rest[0] == "limits":
        return next((limit.span for limit in entry.limits if limit.counter == rest[1]), entry.span)
    rules = {"require": entry.require, "deny_if": entry.deny_if, "approve_if": entry.approve_if}
    if len(rest) == 2 and rest[0] in rules:
        for index, rule in enumerate(rules[rest[0]]):
            ids = ",".join(f"args.{c.path_text.removeprefix('args.')}-{c.op}" for c in rule.conditions)
            if rest[1] in (ids, rule.name, str(index)):
                return rule.span
    return entry.span


def first_error(file: str, problems: Iterable[Mapping[str, Any]]) -> str:
    """The first fault as `FILE:LINE:COL POINTER MESSAGE`, "" when there are only warnings."""
    for problem in problems:
        if problem.get("severity", "error") == "error":
            place = f"{file}:{problem.get('line', 0)}:{problem.get('column', 0)}"
            return " ".join(part for part in (place, problem.get("pointer"), problem.get("message")) if part)
    return ""


def unused_limits(view: PolicyView) -> list[Meter]:
    """Every limit of the policy as a counter that stands at zero."""
    if view.document is None:
        return []
    entries = [("/tools/" + _escaped(name), entry) for name, entry in view.document.tools.items()]
    entries.append(("/all_tools", view.document.all_tools))
    return [_meter(view.upstream, pointer, limit) for pointer, entry in entries for limit in entry.limits]


def _meter(upstream: str, pointer: str, limit: Limit) -> Meter:
    rule = f"{pointer}/limits/{_escaped(limit.counter)}"
    return Meter(upstream, limit.counter, limit.scope, "", limit.window.text, limit.window.ms, limit.max, rule=rule)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _document(file: str, text: str) -> PolicyDocument | None:
    try:
        return read_policy(text.encode("utf-8", "surrogatepass"), name=file or "policy.json") if text else None
    except PolicyError:
        return None


def risk_of(policies: Mapping[str, PolicyView], record: Mapping[str, Any]) -> str:
    """The risk that the policy notes for a call's tool, "" when it notes none, `unknown` when it cannot be read."""
    view = policies.get(str(record.get("upstream", "")))
    if view is None or view.document is None:
        return "unknown"
    tool = str(record.get("tool", ""))
    entry = view.document.tools.get(tool)
    if entry is None:
        entry = next((e for name, e in view.document.tools.items() if "*" in name and _matches(name, tool)), None)
    return (entry.risk or "") if entry is not None else ""


def _matches(pattern: str, name: str) -> bool:
    """Whether a pattern of the policy (`*` is any run of characters) is this tool's."""
    parts = pattern.split("*")
    if not name.startswith(parts[0]) or len(name) < len("".join(parts)):
        return False
    at = len(parts[0])
    for part in parts[1:-1]:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return name.endswith(parts[-1]) and len(name) - len(parts[-1]) >= at
