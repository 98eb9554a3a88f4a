"""JSON as a tree with places. Stricter than the usual readers: what two readers could take differently is a fault."""

from __future__ import annotations

import json
import re
from typing import cast

from mcpwatch.policy.source import BROKEN, Builder, Node, Report, Tree

_BLANK = re.compile(r"[ \t\n\r]*+")
_KEY = re.compile(r'"([^"\\\x00-\x1f]*+)"[ \t\n\r]*+:[ \t\n\r]*+')
_VALUE = re.compile(
    r'"([^"\\\x00-\x1f]*+)"'
    r"|(-?(?:0|[1-9][0-9]*+))((?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)"
    r"|([{\[])"
    r"|(true|false|null)(?![A-Za-z0-9_])"
)
_NEXT = re.compile(r"[ \t\n\r]*+([,}\]])[ \t\n\r]*+")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"')
_GOOD_PART = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_NOT_A_NUMBER = re.compile(r"-?(?:NaN|Infinity)")
_WORD = re.compile(r"[^\s{}\[\],:\"]{1,20}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LITERALS: dict[str, Tree] = {"true": True, "false": False, "null": None}
_TEXT, _WHOLE, _FRACTION, _OPEN, _LITERAL = 1, 2, 3, 4, 5
_SAFE_DIGITS = 300  # shorter numbers are always within a float


def read_json(text: str, report: Report) -> Node:
    """The tree of one JSON text. Raises PolicyError for a fault of syntax; other faults go into the report."""
    return _Json(text, report).read()


class _Json:
    """One pass over the text, without recursion: the depth of the text is not the depth of the stack."""

    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._build = Builder(report)

    def read(self) -> Node:
        at = self._skip(0)
        if at == len(self._text):
            raise self._report.fatal(0, "the file is empty; a policy is an object with version and default")
        while self._build.root is None:
            at = self._value(at)
        at = self._skip(at)
        if at < len(self._text):
            raise self._report.fatal(at, "text after the end of the policy; a file holds one policy")
        return self._build.root

    def _skip(self, at: int) -> int:
        return cast(re.Match[str], _BLANK.match(self._text, at)).end()

    def _value(self, at: int) -> int:
        """Reads one value, or the beginning of a list or object; gives the place of the next value."""
        found = _VALUE.match(self._text, at)
        if found is None:
            end = self._odd_value(at)
        elif found.lastindex == _OPEN:
            return self._open(found[_OPEN], at)
        else:
            end = found.end()
            self._build.add(self._scalar(found), at, end)
        return self._after(end)

    def _scalar(self, found: re.Match[str]) -> Tree:
        if found.lastindex == _TEXT:
            return found[_TEXT]
        if found.lastindex == _LITERAL:
            return _LITERALS[found[_LITERAL]]
        return self._number(found)

    def _number(self, found: re.Match[str]) -> Tree:
        whole, fraction = found[_WHOLE], found[_FRACTION]
        if fraction or len(whole) > _SAFE_DIGITS:
            size = float(found[0])
            if size in (float("inf"), float("-inf")):
                message = "a number beyond what a 64-bit float can hold"
                self._report.error(found.start(), self._build.pointer(), message, len(found[0]))
                return BROKEN
            if fraction:
                return size
        return int(whole)

    def _open(self, bracket: str, at: int) -> int:
        is_list = bracket == "["
        self._build.open("list" if is_list else "object", at)
        inside = self._skip(at + 1)
        if self._text[inside : inside + 1] == ("]" if is_list else "}"):
            self._build.close(inside + 1)
            return self._after(inside + 1)
        return inside if is_list else self._key(inside)

    def _after(self, end: int) -> int:
        """What may follow a value: a comma and the next one, or the end of what is open."""
        while self._build.depth:
            found = _NEXT.match(self._text, end)
            closing = "}" if self._build.in_object else "]"
            if found is None or found[1] not in ("," + closing):
                raise self._expected(self._skip(end), f"a comma or {closing}")
            if found[1] == ",":
                return self._key(found.end()) if self._build.in_object else self._element(found.end())
            end = found.end(1)
            self._build.close(end)
        return end

    def _element(self, at: int) -> int:
        if self._text[at : at + 1] == "]":
            raise self._report.fatal(at, "a comma before the end of a list; JSON allows none")
        return at

    def _key(self, at: int) -> int:
        found = _KEY.match(self._text, at)
        if found is not None:
            self._build.key(found[1], at)
            return found.end()
        if self._text[at : at + 1] == "}":
            raise self._report.fatal(at, "a comma before the end of an object; JSON allows none")
        if self._text[at : at + 1] != '"':
            raise self._expected(at, "a key in double quotes")
        name, end = self._string(at)
        end = self._skip(end)
        if self._text[end : end + 1] != ":":
            raise self._expected(end, "a colon after the key")
        self._build.key(name, at)
        if _SURROGATE.search(name):
            self._report.error(at, self._build.pointer(), "half of a surrogate pair is no text", end - at)
        return self._skip(end + 1)

    def _odd_value(self, at: int) -> int:
        """The rare values: a text with escapes, and what is no JSON."""
        if self._text[at : at + 1] == '"':
            return self._escaped(at)
        found = _NOT_A_NUMBER.match(self._text, at)
        if found is None:
            raise self._expected(at, "a value")
        message = f"{found[0]} is not a number of JSON"
        self._report.error(at, self._build.pointer(), message, len(found[0]))
        self._build.add(BROKEN, at, found.end())
        return found.end()

    def _escaped(self, at: int) -> int:
        text, end = self._string(at)
        if _SURROGATE.search(text):
            self._report.error(at, self._build.pointer(), "half of a surrogate pair is no text", end - at)
            self._build.add(BROKEN, at, end)
        else:
            self._build.add(text, at, end)
        return end

    def _string(self, at: int) -> tuple[str, int]:
        found = _STRING.match(self._text, at)
        if found is None:
            raise self._bad_string(at)
        return cast(str, json.loads(found[0])), found.end()

    def _bad_string(self, at: int) -> Exception:
        end = cast(re.Match[str], _GOOD_PART.match(self._text, at)).end()
        follows = self._text[end : end + 1]
        if not follows:
            return self._report.fatal(at, "a text without its closing quote")
        if follows == "\\":
            return self._report.fatal(end, f"unknown escape {self._text[end : end + 2]!a} in a text")
        return self._report.fatal(end, "a text must end on its line; write a line feed as \\n")

    def _expected(self, at: int, what: str) -> Exception:
        rest = self._text[at : at + 2]
        if not rest:
            return self._report.fatal(at, f"the file ends too early; expected {what}")
        if rest in ("//", "/*") or rest[0] == "#":
            return self._report.fatal(at, "JSON has no comments")
        if rest[0] == "'":
            return self._report.fatal(at, "single quotes; JSON texts and keys stand in double quotes")
        word = _WORD.match(self._text, at)
        return self._report.fatal(at, f"expected {what}, found {word[0] if word else rest[0]!a}")
