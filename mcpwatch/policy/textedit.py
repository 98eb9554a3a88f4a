"""Changes single places of a JSON text and leaves every other character as its author wrote it.

Each function gives a new text. Nodes belong to one text: after a change, read the new one.
"""

from __future__ import annotations

import json

from mcpwatch.policy.jsontext import read_json
from mcpwatch.policy.source import Node, Report, Source
from mcpwatch.policy.writer import layout


class JsonText:
    """One JSON text, its tree, and the layout its author uses. Raises PolicyError for what is not JSON."""

    def __init__(self, text: str) -> None:
        self.root = read_json(text, Report(Source(text)))
        self.text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._spread = "\n" in text[self.root.start : self.root.end]
        self._unit = self._first_indent() or "  "

    def _first_indent(self) -> str:
        children = _children(self.root)
        return self._indent_of(_begin(children[0])) if children and self._leads(_begin(children[0])) else ""

    def replace(self, node: Node, value: object) -> str:
        return self._splice(node.start, node.end, json.dumps(value, ensure_ascii=False))

    def append(self, node: Node, value: object) -> str:
        """A list with one more entry."""
        return self._insert_last(node, "", value)

    def add_member(self, node: Node, key: str, value: object, before: str | None = None) -> str:
        """An object with one more member, the last one or in front of the member `before`."""
        name = json.dumps(key, ensure_ascii=False) + ": "
        found = member(node, before)
        if found is None:
            return self._insert_last(node, name, value)
        if not self._leads(found.key):
            return self._splice(found.key, found.key, f"{name}{self._laid(value, '', name, flat=True)}, ")
        indent = self._indent_of(found.key)
        return self._splice(found.key, found.key, f"{name}{self._laid(value, indent, name)},{self._newline}{indent}")

    def remove(self, node: Node, at: int) -> str:
        """A list without one of its entries, and without the comma and blanks that belonged to it."""
        children = _children(node)
        if len(children) == 1:
            return self._splice(node.start + 1, node.end - 1, "")
        if at == 0:
            return self._splice(children[0].start, children[1].start, "")
        return self._splice(children[at - 1].end, children[at].end, "")

    def _insert_last(self, node: Node, name: str, value: object) -> str:
        children = _children(node)
        if not children:
            return self._fill(node, name, value)
        last = children[-1]
        if not self._leads(_begin(last)):
            return self._splice(last.end, last.end, f", {name}{self._laid(value, '', name, flat=True)}")
        indent = self._indent_of(_begin(last))
        laid = self._laid(value, indent, name, like=last)
        return self._splice(last.end, last.end, f",{self._newline}{indent}{name}{laid}")

    def _fill(self, node: Node, name: str, value: object) -> str:
        """Puts the first entry into an empty list or object."""
        opening, closing = self.text[node.start], self.text[node.end - 1]
        if not self._spread:
            return self._splice(
                node.start, node.end, f"{opening}{name}{json.dumps(value, ensure_ascii=False)}{closing}"
            )
        outer = self._indent_of(node.key if node.key >= 0 else node.start)
        indent = outer + self._unit
        laid = self._laid(value, indent, name)
        body = f"{opening}{self._newline}{indent}{name}{laid}{self._newline}{outer}{closing}"
        return self._splice(node.start, node.end, body)

    def _laid(self, value: object, indent: str, name: str, flat: bool = False, like: Node | None = None) -> str:
        """The new value in the manner of its neighbour `like`: on one line, or spread over several."""
        if flat or not self._spread:
            return json.dumps(value, ensure_ascii=False)
        if like is not None and "\n" in self.text[like.start : like.end] and isinstance(value, dict):
            spread = json.dumps(value, ensure_ascii=False, indent=self._unit)
            return spread.replace("\n", self._newline + indent)
        return layout(value, indent, self._unit, self._newline, len(indent) + len(name))

    def _splice(self, start: int, end: int, new: str) -> str:
        return self.text[:start] + new + self.text[end:]

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _indent_of(self, at: int) -> str:
        """The blanks that the line of this place begins with."""
        line = self.text[self._line_start(at) : at]
        return line[: len(line) - len(line.lstrip())]

    def _leads(self, at: int) -> bool:
        """Whether only blanks stand before this place on its line, and it is not the first line."""
        start = self._line_start(at)
        return start > 0 and not self.text[start:at].strip()


def _children(node: Node) -> list[Node]:
    value = node.value
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def member(node: Node | None, key: str | None) -> Node | None:
    """A member of an object, None when there is none or no object."""
    return node.value.get(key) if node is not None and key is not None and isinstance(node.value, dict) else None


def items(node: Node | None, key: str) -> list[Node]:
    """The entries of a list that is a member of an object, [] when there is none."""
    found = member(node, key)
    return found.value if found is not None and isinstance(found.value, list) else []


def _begin(node: Node) -> int:
    return node.key if node.key >= 0 else node.start
