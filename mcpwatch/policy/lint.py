"""Remarks on a policy that can be put in force: what its author may not have meant. Never a silent fix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from mcpwatch.policy import lintrules
from mcpwatch.policy.classes import classify
from mcpwatch.policy.document import Limit, PolicyDocument, Span, ToolEntry
from mcpwatch.policy.fields import nearest
from mcpwatch.policy.names import compile_pattern
from mcpwatch.policy.source import pointer_token
from mcpwatch.policy.values import Problem

Tool = Mapping[str, Any]
_DANGEROUS = ("Write", "Execute", "Destructive", "Financial")
_MOST_NAMED = 5
_MOST_HINTS = 50  # looking for the nearest of many names is slow


def lint(document: PolicyDocument, tools: Sequence[Tool] | None) -> tuple[Problem, ...]:
    """All remarks in file order. `tools`: what the upstream offers, as `tools/list` has it; None when unknown."""
    remarks = list(_Lint(document, tools).remarks())
    return tuple(sorted(remarks, key=lambda problem: (problem.line, problem.column, problem.pointer)))


def warning(span: Span, pointer: str, message: str) -> Problem:
    length = span.end_column - span.column if span.line == span.end_line else 1
    return Problem(span.line, span.column, pointer, message, "warning", max(1, length))


class _Lint:
    def __init__(self, document: PolicyDocument, tools: Sequence[Tool] | None) -> None:
        self._document = document
        self._tools = None if tools is None else {str(tool.get("name", "")): tool for tool in tools}
        self._hints = iter(range(_MOST_HINTS))
        self._hidden = [(name, compile_pattern(name)) for name in document.hide]
        self._patterns = [(name, compile_pattern(name)) for name in document.tools if "*" in name]

    def remarks(self) -> Iterator[Problem]:
        yield from self._names()
        yield from self._shadowed_patterns()
        yield from self._unruled()
        yield from self._limits()
        for name, entry in self._document.tools.items():
            pointer = f"/tools/{pointer_token(name)}"
            yield from self._entry(name, entry, pointer)
            yield from lintrules.remarks(entry, self._document.all_tools, pointer, self._schema(name))
        yield from lintrules.remarks(self._document.all_tools, ToolEntry(), "/all_tools", None)

    def _place(self, pointer: str) -> Span:
        return self._document.places.get(pointer, Span())

    def _is_hidden(self, name: str) -> bool:
        return any(matches(name) for _, matches in self._hidden)

    def _schema(self, name: str) -> Mapping[str, Any] | None:
        schema = (self._tools or {}).get(name, {}).get("inputSchema")
        return cast("Mapping[str, Any]", schema) if isinstance(schema, dict) else None

    # names

    def _names(self) -> Iterator[Problem]:
        """Names and patterns that no offered tool has."""
        if self._tools is None:
            return
        for name, entry in self._document.tools.items():
            yield from self._unknown(name, entry.span, f"/tools/{pointer_token(name)}", self._tools)
        for at, name in enumerate(self._document.hide):
            span = self._place(f"/hide/{at}")
            if name not in self._document.tools:
                yield from self._unknown(name, span, f"/hide/{at}", self._tools)

    def _unknown(self, name: str, span: Span, pointer: str, offered: Mapping[str, Tool]) -> Iterator[Problem]:
        if "*" in name:
            if not any(map(compile_pattern(name), offered)):
                yield warning(span, pointer, f'no tool that the upstream offers matches "{name}"')
        elif name not in offered:
            close = nearest(name, offered) if next(self._hints, None) is not None else None
            hint = f'; did you mean "{close}"?' if close else ""
            yield warning(span, pointer, f'the upstream offers no tool "{name}"{hint}')

    def _shadowed_patterns(self) -> Iterator[Problem]:
        for at, (name, _) in enumerate(self._patterns):
            for earlier, matches in self._patterns[:at]:
                if matches(name):  # a star of the later one can only be matched by a star of the earlier one
                    message = f'never decides: "{earlier}" stands before it and matches all that "{name}" matches'
                    yield warning(self._document.tools[name].span, f"/tools/{pointer_token(name)}", message)
                    break

    # what is not limited or ruled

    def _unruled(self) -> Iterator[Problem]:
        """Offered tools that `default: allow` lets pass without any rule."""
        if self._document.default != "allow" or self._tools is None or has_rules(self._document.all_tools):
            return
        free = [name for name in self._tools if not self._is_listed(name) and not self._is_hidden(name)]
        if free:
            names = ", ".join(free[:_MOST_NAMED]) + (", …" if len(free) > _MOST_NAMED else "")
            count = f"{len(free)} offered tools are" if len(free) > 1 else "an offered tool is"
            yield warning(self._place("/default"), "/default", f"{count} allowed without any rule: {names}")

    def _is_listed(self, name: str) -> bool:
        return name in self._document.tools or any(matches(name) for _, matches in self._patterns)

    def _entry(self, name: str, entry: ToolEntry, pointer: str) -> Iterator[Problem]:
        all_tools = self._document.all_tools
        if self._is_hidden(name) and has_rules(entry):
            yield warning(entry.span, pointer, f'"{name}" is hidden, its rules never decide')
        elif self._document.default == "allow" and not has_rules(entry) and not has_rules(all_tools):
            message = f'"{name}" has no rule, and default is "allow": this entry changes nothing'
            yield warning(entry.span, pointer, message)
        if not self._is_hidden(name) and not any(rule.always for rule in (*entry.deny_if, *all_tools.deny_if)):
            yield from self._unlimited(name, entry, pointer)

    def _unlimited(self, name: str, entry: ToolEntry, pointer: str) -> Iterator[Problem]:
        if entry.limits or self._document.all_tools.limits:
            return
        known = classify((self._tools or {}).get(name, {"name": name}))
        category = entry.category or known.category
        if category in _DANGEROUS:
            why = "says the policy" if entry.category else known.why
            yield warning(entry.span, pointer, f'"{name}" is of the class {category} ({why}) and has no limit')

    # limits over the whole policy

    def _limits(self) -> Iterator[Problem]:
        entries = [(f"/tools/{pointer_token(name)}", entry) for name, entry in self._document.tools.items()]
        placed = [
            (f"{pointer}/limits/{at}", limit)
            for pointer, entry in [*entries, ("/all_tools", self._document.all_tools)]
            for at, limit in enumerate(entry.limits)
        ]
        yield from _shared(placed)
        yield from _fixed_edge(
            [(pointer, limit) for pointer, limit in placed if limit.algorithm == "fixed" and limit.max]
        )


def has_rules(entry: ToolEntry) -> bool:
    lists = (entry.require, entry.deny_if, entry.approve_if, entry.limits)
    return any(lists) or entry.validate == "schema"


def _shared(placed: list[tuple[str, Limit]]) -> Iterator[Problem]:
    counters: dict[tuple[str, int, str], list[tuple[str, Limit]]] = defaultdict(list)
    for pointer, limit in placed:
        counters[limit.counter, limit.window.ms, limit.scope].append((pointer, limit))
    for (counter, _, _), uses in counters.items():
        first, limit = uses[0]
        for pointer, other in uses[1:]:
            most = "" if other.max == limit.max else f"; their maxima differ, {limit.max} and {other.max}"
            yield warning(other.span, pointer, f'the counter "{counter}" is shared with {first}{most}')


def _fixed_edge(placed: list[tuple[str, Limit]]) -> Iterator[Problem]:
    """One remark a file: it is true of every fixed window."""
    if placed:
        pointer, limit = placed[0]
        also = f" (and {len(placed) - 1} more like it)" if len(placed) > 1 else ""
        message = (
            f"a fixed window{also}: up to twice the maximum, here 2 x {limit.max} = {2 * limit.max}, can pass around "
            'its edge; "algorithm": "sliding" allows no such burst'
        )
        yield warning(limit.span, pointer, message)
