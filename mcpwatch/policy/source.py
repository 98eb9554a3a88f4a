"""The text of a policy as a tree that remembers where everything stands, and the list of its faults.

Both text forms (`jsontext`, `yamltext`) grow the same tree through `Builder`, so that everything after them is one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias, cast

from mcpwatch.policy.document import Span
from mcpwatch.policy.problems import visible
from mcpwatch.policy.values import PolicyError, Problem

MAX_DEPTH = 64
MAX_PROBLEMS = 1_000
_MORE = "there are more problems than these; mend these and check again"


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


make_node: Final = cast("Callable[[type[Node], tuple[Tree, int, int, int]], Node]", cast(Any, tuple).__new__)
"""Makes a Node without the detour over its own `__new__`: there are as many as values in the text."""

Pointer: TypeAlias = "tuple[Pointer, str | int] | None"
"""A place in the tree: the place around it and the key or index there. Written out only for those that have a fault."""
TOP: Final = None


def pointer_token(name: str) -> str:
    """A name as one step of a JSON pointer. Source: RFC 6901, section 3."""
    return name.replace("~", "~0").replace("/", "~1")


def pointer_text(pointer: Pointer) -> str:
    """The JSON pointer of a place, "" for the top."""
    steps: list[str] = []
    while pointer is not None:
        pointer, step = pointer
        steps.append("/" + pointer_token(str(step)))
    return "".join(reversed(steps))


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
        lines = self._lines
        first, last = bisect_right(lines, start), bisect_right(lines, end)
        return Span(first, start - lines[first - 1] + 1, last, end - lines[last - 1] + 1)


class Report:
    """Collects what is wrong with one text, so that the author sees everything at once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._errors: list[Problem] = []
        self._warnings: list[Problem] = []

    def error(self, offset: int, pointer: Pointer, message: str, length: int = 1) -> None:
        if not self.full:
            self._errors.append(
                Problem(*self.source.place(offset), pointer_text(pointer), visible(message), length=length)
            )

    @property
    def full(self) -> bool:
        """Whether there are so many errors already that no more are kept."""
        return len(self._errors) >= MAX_PROBLEMS

    def warn(self, offset: int, pointer: Pointer, message: str) -> None:
        self._warnings.append(Problem(*self.source.place(offset), pointer_text(pointer), visible(message), "warning"))

    def fatal(self, offset: int, message: str) -> PolicyError:
        """A fault of syntax: nothing behind it can be read. To be raised by the caller."""
        self._errors.append(Problem(*self.source.place(offset), "", visible(message)))
        return PolicyError(self.errors)

    @property
    def errors(self) -> tuple[Problem, ...]:
        found = sorted(self._errors, key=lambda problem: (problem.line, problem.column))
        if not self.full:
            return tuple(found)
        last = found[MAX_PROBLEMS - 1]
        return *found[: MAX_PROBLEMS - 1], Problem(last.line, last.column, "", _MORE)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._warnings, key=lambda problem: (problem.line, problem.column)))


_Frame: TypeAlias = "tuple[list[Node] | None, dict[str, Node], int, str, int]"


class Builder:
    """Grows the tree from what a text form reports, and watches depth and keys given twice.

    The list or object that is being filled is in the attributes, those around it are on the stack: that is quick.
    """

    __slots__ = ("_items", "_members", "_name", "_name_at", "_stack", "_start", "closer", "report", "root")

    def __init__(self, report: Report) -> None:
        self.report = report
        self.root: Node | None = None
        self.closer = ""
        """The bracket that ends what is open, "" outside."""
        self._stack: list[_Frame] = []
        self._items: list[Node] | None = None
        self._members: dict[str, Node] = {}
        self._start = 0
        self._name = ""
        self._name_at = -1

    def open(self, bracket: str, start: int) -> None:
        """A list (`[`) or an object (`{`) begins."""
        if len(self._stack) >= MAX_DEPTH:
            raise self.report.fatal(start, f"nested more than {MAX_DEPTH} levels deep")
        self._stack.append((self._items, self._members, self._start, self._name, self._name_at))
        self._start = start
        self._name_at = -1
        if bracket == "[":
            self._items = []
            self.closer = "]"
        else:
            self._items = None
            self._members = {}
            self.closer = "}"

    def key(self, name: str, start: int) -> None:
        self._name = name
        self._name_at = start
        if name in self._members:
            line = self.report.source.place(self._members[name].key)[0]
            message = f'the key "{name}" stands here a second time (first in line {line})'
            self.report.error(start, self.pointer(), message, len(name) + 2)

    def member(self, name: str, key: int, value: Tree, start: int, end: int) -> None:
        """A key and its value at once, when the value is neither list nor object."""
        if name in self._members:
            self.key(name, key)
        self._members[name] = make_node(Node, (value, start, end, key))

    def close(self, end: int) -> Node:
        value: Tree = self._members if self._items is None else self._items
        start = self._start
        self._items, self._members, self._start, self._name, self._name_at = self._stack.pop()
        self.closer = "" if not self._stack else "}" if self._items is None else "]"
        return self.add(value, start, end)

    def add(self, value: Tree, start: int, end: int) -> Node:
        node = make_node(Node, (value, start, end, self._name_at))
        if self._items is not None:
            self._items.append(node)
        elif self._stack:
            self._members[self._name] = node
        else:
            self.root = node
        return node

    def pointer(self) -> Pointer:
        """The place of the value that is being read."""
        here = (self._items, self._members, self._start, self._name, self._name_at)
        pointer: Pointer = TOP
        for items, _, _, name, _ in (*self._stack, here)[1:]:
            pointer = (pointer, name if items is None else len(items))
        return pointer
