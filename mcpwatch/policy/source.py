"""The text of a policy as a tree that remembers where everything stands, and the list of its faults.

Both text forms (`jsontext`, `yamltext`) grow the same tree through `Builder`, so that everything after them is one.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal, NamedTuple, TypeAlias

from mcpwatch.policy.document import Span
from mcpwatch.policy.values import PolicyError, Problem

MAX_DEPTH = 64
MAX_PROBLEMS = 1_000


class Broken:
    """Stands for a value whose fault is reported already; whoever meets it stays silent."""

    __slots__ = ()


BROKEN = Broken()

Tree: TypeAlias = "None | bool | int | float | str | Broken | list[Node] | dict[str, Node]"


class Node(NamedTuple):
    """A value and its place: offsets into the text, `key` where the key of this member begins (-1 in a list)."""

    value: Tree
    start: int
    end: int
    key: int


def pointer_token(name: str) -> str:
    """A name as one step of a JSON pointer. Source: RFC 6901, section 3."""
    return name.replace("~", "~0").replace("/", "~1")


class Source:
    """Turns offsets of a text into lines and columns, both from 1. Only a line feed ends a line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = [0]
        at = text.find("\n")
        while at >= 0:
            self._lines.append(at + 1)
            at = text.find("\n", at + 1)

    def place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        return Span(*self.place(start), *self.place(end))


class Report:
    """Collects what is wrong with one text, so that the author sees everything at once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._errors: list[Problem] = []
        self._warnings: list[Problem] = []

    def error(self, offset: int, pointer: str, message: str, length: int = 1) -> None:
        if len(self._errors) < MAX_PROBLEMS:
            self._errors.append(Problem(*self.source.place(offset), pointer, message, length=length))

    def warn(self, offset: int, pointer: str, message: str) -> None:
        if len(self._warnings) < MAX_PROBLEMS:
            self._warnings.append(Problem(*self.source.place(offset), pointer, message, "warning"))

    def fatal(self, offset: int, message: str) -> PolicyError:
        """A fault of syntax: nothing behind it can be read. To be raised by the caller."""
        self._errors.append(Problem(*self.source.place(offset), "", message))
        return PolicyError(self.errors)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._errors, key=lambda problem: (problem.line, problem.column)))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._warnings, key=lambda problem: (problem.line, problem.column)))


class _Frame:
    """A list or object that is still open. `name` and `name_at` are the member's that is being read."""

    __slots__ = ("items", "members", "name", "name_at", "start")

    def __init__(self, kind: Literal["list", "object"], start: int) -> None:
        self.items: list[Node] | None = [] if kind == "list" else None
        self.members: dict[str, Node] = {}
        self.start = start
        self.name: str | None = None
        self.name_at = -1


class Builder:
    """Grows the tree from what a text form reports, and watches depth and keys given twice."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.root: Node | None = None
        self._stack: list[_Frame] = []

    @property
    def depth(self) -> int:
        return len(self._stack)

    @property
    def in_object(self) -> bool:
        return bool(self._stack) and self._stack[-1].items is None

    @property
    def wants_key(self) -> bool:
        return self.in_object and self._stack[-1].name is None

    def open(self, kind: Literal["list", "object"], start: int) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise self.report.fatal(start, f"nested more than {MAX_DEPTH} levels deep")
        self._stack.append(_Frame(kind, start))

    def key(self, name: str, start: int) -> None:
        frame = self._stack[-1]
        frame.name = name
        frame.name_at = start
        if name in frame.members:
            line = self.report.source.place(frame.members[name].key)[0]
            message = f'the key "{name}" stands here a second time (first in line {line})'
            self.report.error(start, self.pointer(), message, len(name) + 2)

    def close(self, end: int) -> Node:
        frame = self._stack.pop()
        value: Tree = frame.members if frame.items is None else frame.items
        return self.add(value, frame.start, end)

    def add(self, value: Tree, start: int, end: int) -> Node:
        if not self._stack:
            self.root = Node(value, start, end, -1)
            return self.root
        frame = self._stack[-1]
        node = Node(value, start, end, frame.name_at)
        if frame.items is not None:
            frame.items.append(node)
        elif frame.name is not None:
            frame.members[frame.name] = node
            frame.name = None
        return node

    def pointer(self) -> str:
        """The JSON pointer of the value that is being read."""
        steps: list[str] = []
        for frame in self._stack:
            if frame.items is not None:
                steps.append(str(len(frame.items)))
            elif frame.name is not None:
                steps.append(pointer_token(frame.name))
        return "".join(f"/{step}" for step in steps)
