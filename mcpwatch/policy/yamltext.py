"""YAML as a tree with places. Readers disagree on much of YAML: what means two things to two readers is a fault.

Source of the disputed forms: YAML 1.1 types (bool, int, float, timestamp, merge) against the core schema of YAML 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import yaml

from mcpwatch.policy.source import BROKEN, Broken, Builder, Node, Pointer, Report, Tree

MAX_ALIASED = 10_000
"""How many entries all aliases of a file may stand for."""

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: dict[str, Tree] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SWITCH = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_NOT_A_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DISPUTED = re.compile(
    r"[-+]?(?:0[0-9_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)"
    r"|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?"
)
_LONGEST_NUMBER = 300
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_yaml(text: str, report: Report) -> Node:
    """The tree of one YAML document. Raises PolicyError for a fault of syntax; other faults go into the report."""
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        raise report.fatal(forbidden.start(), f"the character {forbidden[0]!a} is not allowed in YAML")
    try:
        return _Yaml(text, report).read()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None)
        raise report.fatal(mark.index if mark else 0, str(message or "this is not YAML")) from None


class _Opened:
    """A list or object that is still open: its anchor, how many entries were read before it, what comes next in it."""

    __slots__ = ("anchor", "is_list", "key_comes", "size")

    def __init__(self, anchor: str | None, size: int, is_list: bool) -> None:
        self.anchor = anchor
        self.size = size
        self.is_list = is_list
        self.key_comes = not is_list


class _Yaml:
    """Reads the parser's events; the tree is ours, so no tag ever makes an object."""

    def __init__(self, text: str, report: Report) -> None:
        self._report = report
        self._build = Builder(report)
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._opened: list[_Opened] = []
        self._size = 0
        self._aliased = 0

    def read(self) -> Node:
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._report.fatal(_at(event), "a second document; a file holds one policy")
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close(_at(event))
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
        if self._build.root is None:
            raise self._report.fatal(0, "the file is empty; a policy is an object with version and default")
        return self._build.root

    def _node(self, event: yaml.NodeEvent) -> None:
        self._size += 1
        if isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        else:
            self._scalar(cast(yaml.ScalarEvent, event))

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if self._key_comes():
            raise self._report.fatal(_at(event), "a key must be a text")
        self._refuse_tag(event)
        is_list = isinstance(event, yaml.SequenceStartEvent)
        self._opened.append(_Opened(event.anchor, self._size, is_list))
        self._build.open("[" if is_list else "{", _at(event))

    def _close(self, end: int) -> None:
        opened = self._opened.pop()
        self._remember(opened.anchor, self._build.close(end), self._size - opened.size + 1)
        self._value_read()

    def _key_comes(self) -> bool:
        return bool(self._opened) and self._opened[-1].key_comes

    def _value_read(self) -> None:
        if self._opened:
            self._opened[-1].key_comes = not self._opened[-1].is_list

    def _remember(self, anchor: str | None, node: Node, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, size)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        start, end = _at(event), cast(yaml.Mark, event.end_mark).index
        value = self._value(event, start)
        if not self._key_comes():
            self._remember(event.anchor, self._build.add(value, start, end), 1)
            self._value_read()
            return
        self._opened[-1].key_comes = False
        self._build.key(event.value, start)
        if not isinstance(value, str | Broken):
            message = f"the key {event.value or 'null'} is no text in YAML; put it in quotes"
            self._report.error(start, self._build.pointer(), message, end - start)
        elif event.value == "<<" and event.implicit[0]:
            self._report.error(start, self._build.pointer(), "merge keys are not read; write the entries out", 2)

    def _value(self, event: yaml.ScalarEvent, start: int) -> Tree:
        self._refuse_tag(event)
        if not event.implicit[0]:
            return event.value
        value, fault = plain_value(event.value)
        if fault:
            pointer = self._pointer_of(event.value)
            self._report.error(start, pointer, fault, max(1, len(event.value)))
        return value

    def _pointer_of(self, key: str) -> Pointer:
        """Of the value that is being read; of a key that is just being read, with that key."""
        pointer = self._build.pointer()
        return (pointer[0], key) if pointer and self._key_comes() else pointer

    def _refuse_tag(self, event: yaml.CollectionStartEvent | yaml.ScalarEvent) -> None:
        if event.tag is not None:
            pointer = self._pointer_of(event.value) if isinstance(event, yaml.ScalarEvent) else self._build.pointer()
            self._report.error(_at(event), pointer, f"the tag {event.tag} is not allowed in a policy")

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = str(event.anchor)
        known = self._anchors.get(name)
        if known is None:
            raise self._report.fatal(_at(event), f"*{name} stands for nothing that is complete before this place")
        if self._key_comes():
            raise self._report.fatal(_at(event), "a key must be a text")
        node, size = known
        self._size += size
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise self._report.fatal(_at(event), f"aliases stand for more than {MAX_ALIASED:,} entries")
        self._build.add(node.value, node.start, node.end)
        self._value_read()


def _at(event: yaml.Event) -> int:
    return cast(yaml.Mark, event.start_mark).index


def plain_value(text: str) -> tuple[Tree, str]:
    """What an unquoted scalar stands for, and the fault when readers of YAML disagree about it ("" when they agree)."""
    if text in _WORDS:
        return _WORDS[text], ""
    if _SWITCH.fullmatch(text):
        return BROKEN, f"{text} without quotes is a text or a truth value, depending on the reader; quote it"
    if _NOT_A_NUMBER.fullmatch(text):
        return BROKEN, f"{text} is not a number"
    if len(text) <= _LONGEST_NUMBER:
        if _WHOLE.fullmatch(text):
            return int(text), ""
        if _FRACTION.fullmatch(text):
            return _float(text)
    if _DISPUTED.fullmatch(text):
        what = "a text in quotes, or a plain decimal number"
        return BROKEN, f"{text[:40]} means different things to different readers; write {what}"
    return text, ""


def _float(text: str) -> tuple[Tree, str]:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        return BROKEN, "a number beyond what a 64-bit float can hold"
    return value, ""
