"""The filter language of the console and of `mcpwatch audit`, over audit records (`records.record_json`).

    tool:eks* dec:deny agent:x ms>500 arg:ns=prod "some text" -client:cursor since:2h

Terms stand apart by blanks and must all hold; `-` before a term turns it round; `a,b` after a colon means a or b; `*`
stands for any characters; upper and lower case (A-Z) are the same. Quotes keep blanks, commas and colons together.

| term | what it looks at |
|---|---|
| `tool:` `upstream:` `grant:` `client:` `session:` `method:` `instance:` `by:` (who approved) | the whole value |
| `agent:` | grant or client |
| `rule:` | the rule that decided, or that an observing policy would have decided by |
| `dec:` | `allow deny hold reject`, `limit` (denied by a limit), `hidden` (tool), `observe` (would be denied) |
| `outcome:` | `ok tool_error rpc_error …`; `open` for calls without one |
| `policy:` `id:` | how the policy's hash, the call id begins |
| `ms` `bytes` `held` `seq` | numbers: `ms>500`, `seq<=90`, `bytes=0` (`held` in ms) |
| `arg:NAME` `arg:NAME=VALUE` `arg:NAME>3` | an argument of that name at any depth (`a.b`: b in a; `ns`: namespace) |
| `since:` `until:` | `90s 5m 12h 7d` ago, `2026-11-20`, `2026-11-20T14:02`, `14:02` today; all UTC |
| anything else | a part of tool, grant, client, rule, reason, arguments, message or error |
"""

from __future__ import annotations

import difflib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from mcpwatch.errors import ConfigError
from mcpwatch.records import from_rfc3339

_ALIASES = {
    "decision": "dec",
    "up": "upstream",
    "out": "outcome",
    "latency": "ms",
    "latency_ms": "ms",
    "result_bytes": "bytes",
    "held_ms": "held",
    "args": "arg",
    "call": "id",
    "call_id": "id",
    "approved_by": "by",
}
TEXTS = ("tool", "upstream", "grant", "client", "session", "method", "instance", "by", "agent", "rule")
STARTS = ("policy", "id")
NUMBERS = {"ms": "latency_ms", "bytes": "result_bytes", "held": "held_ms", "seq": "seq"}
TIMES = ("since", "until")
DECISIONS = ("allow", "deny", "hold", "reject", "limit", "hidden", "observe")
OUTCOMES = (
    "ok",
    "tool_error",
    "rpc_error",
    "transport_error",
    "timeout",
    "cancelled",
    "client_gone",
    "not_sent",
    "unknown",
    "open",
)
FIELDS = (*TEXTS, *STARTS, *NUMBERS, *TIMES, "dec", "outcome", "arg", "text")
_SHORT_NAMES = {"ns": "namespace"}
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

_TERM = re.compile(r"(?P<no>-?)(?P<field>[A-Za-z_]+)(?P<op>:|>=|<=|>|<|=)")
_PIECE = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<open>")|(?P<plain>[^\s",]+)|(?P<comma>,)')
_ARG = re.compile(r"(?P<name>[^=<>]+?)(?:(?P<op>>=|<=|=|>|<)(?P<value>.*))?\Z", re.S)
_AGO = re.compile(r"([0-9]{1,9})(ms|s|m|h|d|w)\Z")


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `values` are alternatives, folded; `number` of numeric and time fields (ms since 1970)."""

    field: str
    op: str
    values: tuple[str, ...]
    number: float = 0
    name: str = ""
    negated: bool = False

    def matches(self, record: Mapping[str, Any]) -> bool:
        return _CHECKS[self.field](self, record) is not self.negated


@dataclass(frozen=True)
class Filter:
    """A parsed filter; without terms it matches everything."""

    terms: tuple[Term, ...] = ()
    text: str = ""

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether an audit record (JSON form) satisfies every term."""
        return all(check(record) for check in self._checks)

    @cached_property
    def _checks(self) -> tuple[Callable[[Mapping[str, Any]], bool], ...]:
        return tuple(term.matches for term in self.terms)


def parse_filter(text: str, now_ms: int | None = None) -> Filter:
    """Read a filter. `now_ms` is what `since:5m` counts from (default: the clock). ConfigError names the column."""
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    terms: list[Term] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        term, position = _read_term(text, position, now)
        terms.append(term)
    return Filter(tuple(terms), text)


def parse_time(text: str, now_ms: int) -> int:
    """Milliseconds since 1970 of `5m` (ago), `14:02` (today), a date or a time; UTC. Raises ValueError."""
    ago = _AGO.match(text)
    if ago:
        return now_ms - int(ago[1]) * _UNITS_MS[ago[2]]
    if re.match(r"[0-9]{2}:[0-9]{2}", text):
        return now_ms - now_ms % 86_400_000 + from_rfc3339(f"1970-01-01T{text}Z")
    return from_rfc3339(text)


def _read_term(text: str, start: int, now_ms: int) -> tuple[Term, int]:
    head = _TERM.match(text, start)
    if head is None:
        negated = text[start] == "-" and start + 1 < len(text) and not text[start + 1].isspace()
        values, end = _read_values(text, start + negated, split=False)
        return Term("text", ":", (fold(" ".join(values)),), negated=negated), end
    field = _field(head["field"], head.start("field"))
    values, end = _read_values(text, head.end(), split=True)
    op, negated = head["op"], bool(head["no"])
    column = head.end()
    if op != ":" and field not in NUMBERS:
        raise _fault(column - len(op), f'"{field}" is compared with a colon: {field}:VALUE')
    if field in TIMES:
        return Term(field, op, (), _time(values, now_ms, column), negated=negated), end
    if field in NUMBERS:
        return Term(field, "=" if op == ":" else op, (), _number(values, column), negated=negated), end
    if field == "arg":
        return _arg(values, column, negated), end
    _known(field, values, column)
    return Term(field, op, tuple(fold(value) for value in values), negated=negated), end


def _read_values(text: str, start: int, *, split: bool) -> tuple[list[str], int]:
    values, position, joined = [""], start, False
    while piece := _PIECE.match(text, position):
        if piece["open"]:
            raise _fault(position, "this quote is not closed")
        if piece["comma"] and split:
            values.append("")
        elif piece["quoted"] is not None:
            values[-1] += re.sub(r"\\(.)", r"\1", piece["quoted"])
            joined = True
        else:
            values[-1] += piece[0]
        position = piece.end()
    kept = [value for value in values if value]
    if not kept and not joined:
        raise _fault(start, "a value is missing here")
    return kept or [""], position


def _field(written: str, column: int) -> str:
    name = written.lower()
    name = _ALIASES.get(name, name)
    if name in FIELDS:
        return name
    near = difflib.get_close_matches(name, (*FIELDS, *_ALIASES), 1)
    hint = f', did you mean "{near[0]}"?' if near else f". Known: {', '.join(FIELDS)}; or quote the text"
    raise _fault(column, f'unknown field "{written}"{hint}')


def _known(field: str, values: list[str], column: int) -> None:
    words = {"dec": DECISIONS, "outcome": OUTCOMES}.get(field)
    for value in values:
        if words and "*" not in value and value.lower() not in words:
            raise _fault(column, f'"{field}" is one of {", ".join(words)}')


def _time(values: list[str], now_ms: int, column: int) -> float:
    try:
        return parse_time(values[0], now_ms)
    except ValueError:
        raise _fault(column, "this is no time; write 5m, 12h, 2026-11-20, 2026-11-20T14:02 or 14:02") from None


def _number(values: list[str], column: int) -> float:
    try:
        return float(values[0])
    except ValueError:
        raise _fault(column, "a number is expected here") from None


def _arg(values: list[str], column: int, negated: bool) -> Term:
    match = _ARG.match(values[0])
    if match is None:
        raise _fault(column, "write arg:NAME or arg:NAME=VALUE")
    name = fold(match["name"])
    name = ".".join(_SHORT_NAMES.get(key, key) for key in name.split("."))
    op, value = match["op"] or "", match["value"] or ""
    number = _number([value], column) if op not in ("", "=") else 0
    return Term("arg", op, (fold(value), *(fold(other) for other in values[1:])), number, name, negated)


def _fault(index: int, message: str) -> ConfigError:
    return ConfigError(f"column {index + 1}: {message}", "The filter language: mcpwatch audit search --help")


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def fold(text: str) -> str:
    """Lower case of A-Z and of nothing else: what SQLite's NOCASE and LIKE do, so that both find the same."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def glob(pattern: str, text: str) -> bool:
    """Whether `text` is what `pattern` says, `*` being any characters; in linear time."""
    first, *rest = pattern.split("*")
    if not rest:
        return first == text
    last = rest.pop()
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return False
    position = len(first)
    for part in rest:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _any(term: Term, *texts: str | None) -> bool:
    return any(glob(value, fold(text)) for text in texts if text is not None for value in term.values)


def _compare(term: Term, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    match term.op:
        case ">":
            return value > term.number
        case ">=":
            return value >= term.number
        case "<":
            return value < term.number
        case "<=":
            return value <= term.number
        case _:
            return value == term.number


def _decision(term: Term, record: Mapping[str, Any]) -> bool:
    words = [record["decision"]]
    if record["decision"] == "deny" and "/limits/" in record["rule"]:
        words.append("limit")
    if record["rule"] == "(hidden)":
        words.append("hidden")
    if record["would_deny"]:
        words.append("observe")
    return _any(term, *words)


def _arguments(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its dotted path, outermost first; entries of lists go by the path of the list."""
    waiting: list[tuple[str, Any]] = [(path, value)]
    for here, item in waiting:
        yield here, item
        if isinstance(item, dict):
            members = cast("dict[str, Any]", item)
            waiting += [(fold(f"{here}.{key}"), below) for key, below in members.items()]
        elif isinstance(item, list):
            waiting += [(here, below) for below in cast("list[Any]", item)]


def _argument(term: Term, record: Mapping[str, Any]) -> bool:
    ending = f".{term.name}"
    for path, value in _arguments(record["args"]):
        if not path.endswith(ending):
            continue
        if not term.op or (_compare(term, value) if term.op != "=" else _any(term, _shown(value))):
            return True
    return False


def _shown(value: Any) -> str:
    return fold(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _text(term: Term, record: Mapping[str, Any]) -> bool:
    needle = term.values[0]
    parts = ("tool", "grant", "rule", "would_deny", "reason", "message", "error", "method", "call_id")
    if any(needle in fold(record[part]) for part in parts):
        return True
    return needle in fold(record["client"]["name"]) or needle in _shown(record["args"])


def _field_check(field: str) -> Callable[[Term, Mapping[str, Any]], bool]:
    return lambda term, record: _any(term, record[field])


def _number_check(field: str) -> Callable[[Term, Mapping[str, Any]], bool]:
    return lambda term, record: _compare(term, record[field])


_CHECKS: dict[str, Callable[[Term, Mapping[str, Any]], bool]] = {
    **{name: _field_check(name) for name in ("tool", "upstream", "grant", "session", "method", "instance")},
    **{name: _number_check(field) for name, field in NUMBERS.items()},
    "client": lambda term, record: _any(term, record["client"]["name"]),
    "agent": lambda term, record: _any(term, record["grant"], record["client"]["name"]),
    "by": lambda term, record: _any(term, record["approved_by"] or ""),
    "rule": lambda term, record: _any(term, record["rule"], record["would_deny"] or None),
    "policy": lambda term, record: any(record["policy"].startswith(value[:12]) for value in term.values),
    "id": lambda term, record: any(fold(record["call_id"]).startswith(value) for value in term.values),
    "dec": _decision,
    "outcome": lambda term, record: _any(term, record["outcome"] or "open"),
    "arg": _argument,
    "text": _text,
    "since": lambda term, record: from_rfc3339(record["at"]) >= term.number,
    "until": lambda term, record: from_rfc3339(record["at"]) < term.number,
}
