"""One call told whole: how it was decided, by which line of the policy, with what arguments, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import tzinfo
from itertools import groupby
from typing import Any

from textual.content import Content

from mcpwatch.console.fitting import Piece
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.ring import Call, Record, moment_ms
from mcpwatch.console.safe import safe, safe_lines
from mcpwatch.console.theme import Look
from mcpwatch.console.wire import Table, number, tables
from mcpwatch.console.wording import WORDS, amount, client_name, client_version, latency, moment, share_text, span, why

_LABEL = 10
_ARGS_MAX = 8_000
_RESULTS = {
    "pass": "$decision-allow",
    "deny": "$decision-deny",
    "hold": "$decision-hold",
    "observe": "$decision-observe",
}
_OUTCOMES = {
    "ok": "answered",
    "tool_error": "answered with an error of the tool",
    "rpc_error": "answered with a protocol error",
    "transport_error": "the upstream could not be reached",
    "timeout": "no answer in time",
    "cancelled": "cancelled by the caller",
    "client_gone": "the caller went away",
    "not_sent": "not sent to the upstream",
    "unknown": "the gateway stopped before the answer",
}

Line = list[Piece]


def headline(call: Call, look: Look) -> Line:
    """`#1042  ✗ DENY  invoke_agent_runtime`."""
    seq = call.record.get("seq") or ""
    return [
        (f"#{seq}  " if seq else "", "$muted"),
        (f"{look.glyphs[call.word]} {WORDS[call.word]}", f"bold $decision-{call.word}"),
        ("  ", ""),
        (safe(call.tool, 120), "bold"),
    ]


def story(
    call: Call, ledger: Ledger, look: Look, zone: tzinfo | None, width: int, *, arguments_first: bool = False
) -> Content:
    """All of it, one fact a line; what is longer than `width` goes on under its own beginning.

    `arguments_first` is for those who must judge them now.
    """
    record = call.record
    head = [Content.assemble(*headline(call, look))]
    lines = _labelled("decided", _path(call), width)
    for label, make in _FACTS:
        for piece in make(record, ledger):
            lines += _labelled(label, [piece], width)
            label = ""
    lines += _labelled("at", [(moment(call.at_ms, zone, ms=True), "")], width)
    made = [Content.assemble(*line) for line in arguments(record.get("args"))]
    made.insert(0, Content.styled("arguments", "$muted"))
    steps = _steps(record)
    if steps:
        steps.insert(0, Content.styled("steps", "$muted"))
    body = [*made, *lines] if arguments_first else [*lines, *made]
    return Content("\n").join([*head, *body, *steps])


def _labelled(label: str, pieces: Line, width: int) -> list[Content]:
    """A name in the first column, the value beside it, wrapped at blanks where there are any."""
    value = Content.assemble(*pieces)
    rows = value.wrap(max(20, width - _LABEL)) if value.cell_length > width - _LABEL else [value]
    heads = [label.ljust(_LABEL), *[" " * _LABEL] * (len(rows) - 1)]
    return [Content.assemble((head, "$muted"), row) for head, row in zip(heads, rows, strict=True)]


def _path(call: Call) -> Line:
    """`listed → require ok → deny_if ok (3) → pods_rate 10/10 → LIMIT`: the way through the policy, briefly."""
    used = {str(counter.get("rule")): share_text(counter) for counter in call.counters}
    words: list[Piece] = []
    steps = [step for step in tables(call.record.get("steps")) if step.get("result") != "skip"]
    for (kind, result), group in groupby(steps, key=lambda step: (str(step.get("step")), str(step.get("result")))):
        found = list(group)
        if kind == "limits":
            words += [(_limit(step, used), _RESULTS.get(result, "")) for step in found]
        elif (kind, result) != ("hide", "pass"):
            words.append((_stage(kind, result, found), _RESULTS.get(result, "")))
    line: Line = []
    for word in words:
        line += [word, (" → ", "$muted")]
    return [*line, (WORDS[call.word], f"bold $decision-{call.word}")]


def _stage(kind: str, result: str, steps: list[Table]) -> str:
    if result != "pass":
        rule = why({"rule": steps[-1].get("rule")}).removeprefix(kind).strip()
        return f"{safe(kind, 20)} {rule}".rstrip()
    if kind == "default":
        return safe(steps[-1].get("detail") or "default", 60)
    count = f" ({len(steps)})" if len(steps) > 1 else ""
    return f"{safe(kind, 20)} ok{count}"


def _limit(step: Table, used: dict[str, str]) -> str:
    rule = str(step.get("rule", ""))
    return f"{safe(rule.rsplit('/', 1)[-1], 60)} {used.get(rule, '')}".rstrip()


def _steps(record: Record) -> list[Content]:
    """Every step in full, for who wants to know exactly."""
    lines: list[Content] = []
    for step in tables(record.get("steps")):
        result = str(step.get("result", ""))
        style = _RESULTS.get(result, "$muted")
        text = f"{safe(step.get('step', ''), 20):<11}{safe(step.get('detail', ''), 600)}"
        lines.append(Content.assemble(("  ", ""), (f"{safe(result, 8):<8}", style), (text, "$muted")))
    return lines


def _rule(record: Record, ledger: Ledger) -> Line:
    rule = str(record.get("rule") or "")
    if not rule:
        return []
    view = ledger.policies.get(str(record.get("upstream", "")))
    line = view.line_of(rule) if view is not None and _same(view.digest, record) else 0
    place = f"   {safe(view.file.rsplit('/', 1)[-1], 60)}:{line}" if view is not None and line else ""
    return [(safe(rule, 300) + place, "")]


def _same(digest: str, record: Record) -> bool:
    policy = str(record.get("policy") or "")
    return bool(policy) and digest.startswith(policy[:12])


def _text(name: str, style: str = "") -> Callable[[Record, Ledger], Line]:
    def make(record: Record, ledger: Ledger) -> Line:
        del ledger
        value = record.get(name)
        return [(safe(value, 600), style)] if value else []

    return make


def _counters(record: Record, ledger: Ledger) -> Line:
    lines: Line = []
    for counter in tables(record.get("counters")):
        resets = moment_ms(counter.get("resets_at"))
        left = f"   resets in {span(resets - ledger.now_ms)}" if resets > ledger.now_ms else ""
        used = f"{amount(number(counter.get('used')))}/{amount(number(counter.get('max')))}"
        scope = f"{safe(counter.get('scope', ''), 60)} {safe(counter.get('value') or '', 60)}".rstrip()
        lines.append(
            (
                f"{safe(counter.get('name', ''), 80)}  {used} per {safe(counter.get('window', ''), 12)}, {scope}{left}",
                "",
            )
        )
    return lines


def _caller(record: Record, ledger: Ledger) -> Line:
    del ledger
    client = " ".join(part for part in (client_name(record), client_version(record)) if part)
    session = f"   session {safe(record['session'], 60)}" if record.get("session") else ""
    through = f"   with {safe(client, 80)}" if client else ""
    return [(f"{safe(record.get('grant') or '-', 60)}{through}{session}", "")]


def _outcome(record: Record, ledger: Ledger) -> Line:
    del ledger
    outcome = record.get("outcome")
    if outcome is None:
        waits = record.get("decision") == "hold"
        return [("waits for an operator" if waits else "under way", "$decision-hold" if waits else "$muted")]
    text = _OUTCOMES.get(str(outcome), safe(outcome, 40))
    if record.get("latency_ms") is not None:
        text += f" after {latency(number(record['latency_ms']))}, {amount(number(record.get('result_bytes')))} bytes"
    return [(text, "" if outcome in ("ok", "not_sent") else "$decision-limit")]


def _held(record: Record, ledger: Ledger) -> Line:
    del ledger
    if record.get("held_ms") is None:
        return []
    by = f", decided by {safe(record['approved_by'], 60)}" if record.get("approved_by") else ""
    return [(f"{span(int(record['held_ms']))}{by}", "")]


_FACTS: tuple[tuple[str, Callable[[Record, Ledger], Line]], ...] = (
    ("rule", _rule),
    ("reason", _text("reason")),
    ("observe", _text("would_deny", "$decision-observe")),
    ("told", _text("message")),
    ("counter", _counters),
    ("caller", _caller),
    ("upstream", _text("upstream")),
    ("held", _held),
    ("outcome", _outcome),
    ("error", _text("error", "$decision-limit")),
    ("policy", _text("policy")),
    ("call id", _text("call_id")),
)


def arguments(args: Any) -> list[Line]:
    """The whole arguments, indented, names and values in different styles."""
    if not args:
        return [[("  none", "$muted")]]
    try:
        text = json.dumps(args, ensure_ascii=False, indent=2)
    except (TypeError, ValueError, RecursionError):
        text = str(type(args).__name__)
    return [_json_line(line) for line in safe_lines(text, _ARGS_MAX).split("\n")]


def _json_line(line: str) -> Line:
    name, colon, value = line.partition('": ')
    if colon and name.lstrip().startswith('"'):
        return [("  ", ""), (name + '"', "$syntax-key"), (": ", "$syntax-punctuation"), (value, _value_style(value))]
    return [("  ", ""), (line, _value_style(line.strip()))]


def _value_style(value: str) -> str:
    if value.startswith('"'):
        return "$syntax-string"
    if value[:1].isdigit() or value[:1] == "-":
        return "$syntax-number"
    return "$syntax-keyword" if value[:1] in "tfn" and value[:1] else "$syntax-punctuation"
