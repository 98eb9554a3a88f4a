"""The filter language as SQL over `calls` (c), the call's row (r) and its outcome's row (o).

Each term becomes a condition that lets through at least what the term matches; `Filter.matches` decides afterwards.
A term that is turned round is only translated when its condition is exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mcpwatch.filters import DECISIONS, Filter, Term, glob

_COLUMNS: dict[str, tuple[str, ...]] = {
    "tool": ("c.tool",),
    "upstream": ("c.upstream",),
    "grant": ('c."grant"',),
    "client": ("c.client",),
    "session": ("c.session",),
    "method": ("c.method",),
    "agent": ('c."grant"', "c.client"),
    "rule": ("c.rule", "c.would_deny"),
    "outcome": ("coalesce(c.outcome, iif(c.decision IN ('deny', 'reject'), 'not_sent', 'open'))",),
}
_STARTS = {"policy": "c.policy", "id": "c.call_id"}
_NUMBERS = {"ms": "c.latency_ms", "seq": "c.seq"}
_WORDS = {
    **{word: f"c.decision = '{word}'" for word in DECISIONS[:4]},
    "limit": "(c.decision = 'deny' AND c.rule LIKE '%/limits/%')",
    "hidden": "c.rule = '(hidden)'",
    "observe": "c.would_deny <> ''",
}
_OPEN = """c.seq IN (SELECT seq FROM calls INDEXED BY calls_open
    WHERE outcome_row IS NULL AND decision IN ('allow', 'hold'))"""
_SAFE = re.compile(r"[A-Za-z0-9 _./@-]+\Z")
"""Texts that JSON writes as they are, so that they can be looked for in a row's JSON."""

_EXPONENT = re.compile(r"(?i)[0-9]e-?[0-9]")
"""Numbers that can be written in more than one way."""


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL and its values. `exact`: matches what the term matches, nothing more."""

    sql: str
    values: tuple[str | float, ...] = ()
    exact: bool = True


def agent_lookups(wanted: Filter) -> list[tuple[str, str]]:
    """Column and value to look an `agent:` term up in the indexes; empty when there is none, or one with `*`.

    An OR over two columns reads every call. When few are found here, reading those is enough.
    """
    for term in wanted.terms:
        if term.field == "agent" and not term.negated and not any("*" in value for value in term.values):
            return [(column, value) for column in _COLUMNS["agent"] for value in term.values]
    return []


def conditions(wanted: Filter) -> tuple[str, list[str | float]]:
    """` AND …` for a WHERE and its values; "" when nothing can be translated."""
    sql = ""
    values: list[str | float] = []
    for term in wanted.terms:
        found = _condition(term)
        if found is None or (term.negated and not found.exact):
            continue
        sql += f" AND NOT coalesce({found.sql}, 0)" if term.negated else f" AND {found.sql}"
        values += found.values
    return sql, values


def _condition(term: Term) -> Condition | None:
    if term.field == "outcome" and term.values == ("open",):
        return Condition(_OPEN)
    if term.field in _COLUMNS:
        return _either(_like(column, value) for column in _COLUMNS[term.field] for value in term.values)
    if term.field in _STARTS:
        return _either(_like(_STARTS[term.field], f"{value[:12]}*", exact=False) for value in term.values)
    if term.field in _NUMBERS:
        return Condition(f"{_NUMBERS[term.field]} {term.op} ?", (term.number,))
    match term.field:
        case "dec":
            words = (word for value in term.values for word in DECISIONS if glob(value, word))
            return _either(Condition(_WORDS[word]) for word in words)
        case "since":
            return Condition("c.at_ms >= ?", (term.number,))
        case "until":
            return Condition("c.at_ms < ?", (term.number,))
        case "text":
            return _part(term.values[0], "(r.body LIKE ? ESCAPE '\\' OR o.body LIKE ? ESCAPE '\\')", 2)
        case "arg":
            return _argument(term)
        case _:
            return None


def _either(found: Iterable[Condition | None]) -> Condition | None:
    several = list(found)
    known = [item for item in several if item is not None]
    if len(known) < len(several):
        return None
    if not known:
        return Condition("0")
    if len(known) == 1:
        return known[0]
    # The plus keeps SQLite from an index for each part, whose findings it would all have to read and sort.
    sql = " OR ".join(item.sql.replace("c.", "+c.") for item in known)
    values = tuple(value for item in known for value in item.values)
    return Condition(f"({sql})", values, all(item.exact for item in known))


def _like(column: str, pattern: str, *, exact: bool = True) -> Condition | None:
    if "*" not in pattern:
        return Condition(f"{column} = ? COLLATE NOCASE", (pattern,), exact)
    if "\0" in pattern or len(pattern) > 1000:
        return None
    return Condition(f"{column} LIKE ? ESCAPE '\\'", ("%".join(map(_literal, pattern.split("*"))),), exact)


def _literal(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _argument(term: Term) -> Condition | None:
    """The name, and of a value its longest part without `*`, stand somewhere in the row."""
    parts = [term.name.rpartition(".")[2]]
    if term.op == "=" and len(term.values) == 1:
        parts.append(max(term.values[0].split("*"), key=len))
    found = [item for part in parts if (item := _part(part, "r.body LIKE ? ESCAPE '\\'", 1))]
    sql = " AND ".join(item.sql for item in found)
    return Condition(f"({sql})", tuple(value for item in found for value in item.values), exact=False) if sql else None


def _part(text: str, sql: str, count: int) -> Condition | None:
    if not _SAFE.match(text) or len(text) > 1000 or _EXPONENT.search(text):
        return None
    return Condition(sql, (f"%{_literal(text)}%",) * count, exact=False)
