"""JSON as a tree with places. Stricter than the usual readers: what two readers could take differently is a fault."""

from __future__ import annotations

import json
import re
from typing import Literal, cast

from mcpwatch.policy.source import BROKEN, Builder, Node, Report, Tree

# Groups are never possessive: before Python 3.11.5 such a repeat may match wrongly (python/cpython#106052).
_BLANK = re.compile(r"[ \t\n\r]*+")
_TOKEN = re.compile(
    r'(?:"([^"\\\x00-\x1f]*+)"[ \t\n\r]*+:[ \t\n\r]*+)?'
    r'(?:"([^"\\\x00-\x1f]*+)"(?![ \t\n\r]*+:)'
    r"|([{\[])"
    r"|([}\]])"
    r"|(-?(?:0|[1-9][0-9]{0,299}+)(?![0-9.eE])|true|false|null)(?![A-Za-z0-9_]))"
    r"[ \t\n\r]*+(,?)[ \t\n\r]*+"
)
_COMMA = re.compile(r"[ \t\n\r]*+(,?)[ \t\n\r]*+")
_COLON = re.compile(r"[ \t\n\r]*+:[ \t\n\r]*+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?(?![A-Za-z0-9_.])")
_NOT_A_NUMBER = re.compile(r"-?(?:NaN|Infinity)(?![A-Za-z0-9_])")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*"')
_GOOD_PART = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_WORD = re.compile(r"[^\s{}\[\],:\"]{1,20}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING_AT, _OPENING_AT, _CLOSING_AT, _LITERAL_AT, _COMMA_AT = 2, 3, 4, 5, 6
_TORN = "half of a surrogate pair is no text"
_LITERALS: dict[str, Tree] = {"true": True, "false": False, "null": None}
_Want = Literal["member", "value", "end", "colon"]


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
        root, at = self._tree(at)
        if at < len(self._text):
            raise self._report.fatal(at, "text after the end of the policy; a file holds one policy")
        return root

    def _tree(self, at: int) -> tuple[Node, int]:
        """One turn a value. Kept in one piece: this loop decides how long a big policy takes to load."""
        build, match = self._build, _TOKEN.match
        groups: tuple[str | None, ...]
        want: _Want = "value"
        opened = False  # a list or object has just begun: here it may also end
        while build.root is None:
            found = match(self._text, at)
            if found is None:
                if want == "member":
                    at, want, opened = self._key(at), "value", False
                    continue
                at, comma = self._odd(at, want)
            else:
                groups = found.groups()
                key, string, opening, closing, literal, comma = groups
                if want != "member" if key is not None else want != "value" and closing is None:
                    raise self._misplaced(found, at, want)
                if string is not None:
                    start, end = found.span(_STRING_AT)
                    if key is None:
                        build.add(string, start - 1, end + 1)
                    else:
                        build.member(key, at, string, start - 1, end + 1)
                elif opening is not None and not comma:
                    if key is not None:
                        build.key(key, at)
                    build.open(opening, found.start(_OPENING_AT))
                    want, at, opened = ("member" if opening == "{" else "value"), found.end(), True
                    continue
                elif literal is not None:
                    value = _LITERALS[literal] if literal in _LITERALS else int(literal)
                    if key is not None:
                        build.key(key, at)
                    build.add(value, *found.span(_LITERAL_AT))
                elif key is None and closing == build.closer and (opened or want == "end"):
                    build.close(at + 1)
                else:
                    raise self._misplaced(found, at, want)
                at = found.end()
            opened = False
            want = "end" if not comma else "member" if build.closer == "}" else "value"
        return build.root, at if want == "end" else self._text.rfind(",", 0, at)

    def _misplaced(self, found: re.Match[str], at: int, want: _Want) -> Exception:
        """A piece of JSON in a place where another one must stand."""
        key, string, opening, closing, _, comma = cast("tuple[str | None, ...]", found.groups())
        if opening is not None and comma and (want == "value" or key is not None):
            return self._unexpected(found.start(_COMMA_AT), "member" if opening == "{" else "value")
        if key is not None and closing is not None and want == "member":
            return self._unexpected(found.start(_CLOSING_AT), "value")
        if key is not None and want == "value":
            return self._unexpected(self._text.index(":", found.end(1)), "end")
        if string is not None and want == "member":
            return self._unexpected(self._skip(found.end(_STRING_AT) + 1), "colon")
        return self._unexpected(at, want)

    def _skip(self, at: int) -> int:
        return cast(re.Match[str], _BLANK.match(self._text, at)).end()

    def _key(self, at: int) -> int:
        """A key with escapes, or a key whose value is odd; gives the place of the value."""
        if self._text[at : at + 1] != '"':
            raise self._unexpected(at, "member")
        name, end = self._string(at)
        colon = _COLON.match(self._text, end)
        if colon is None:
            raise self._unexpected(self._skip(end), "colon")
        torn = _SURROGATE.search(name) is not None
        self._build.key(ascii(name)[1:-1] if torn else name, at)
        if torn:
            self._report.error(at, self._build.pointer(), _TORN, end - at)
        return colon.end()

    def _odd(self, at: int, want: _Want) -> tuple[int, str | None]:
        """The rare values: texts with escapes, fractions, big numbers; what else stands there is a fault."""
        if want == "end":
            raise self._unexpected(at, want)
        end = self._escaped(at) if self._text[at : at + 1] == '"' else self._number(at)
        comma = cast(re.Match[str], _COMMA.match(self._text, end))
        return comma.end(), comma[1]

    def _number(self, at: int) -> int:
        wrong = _NOT_A_NUMBER.match(self._text, at)
        if wrong is not None:
            return self._broken(at, wrong.end(), f"{wrong[0]} is not a number of JSON")
        found = _NUMBER.match(self._text, at)
        if found is None:
            raise self._unexpected(at, "value")
        size = float(found[0])
        if size in (float("inf"), float("-inf")):
            return self._broken(at, found.end(), "a number beyond what a 64-bit float can hold")
        is_whole = found[0].removeprefix("-").isdigit()
        self._build.add(int(found[0]) if is_whole else size, at, found.end())
        return found.end()

    def _broken(self, at: int, end: int, message: str) -> int:
        self._report.error(at, self._build.pointer(), message, end - at)
        self._build.add(BROKEN, at, end)
        return end

    def _escaped(self, at: int) -> int:
        text, end = self._string(at)
        if _SURROGATE.search(text):
            return self._broken(at, end, _TORN)
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
            return self._report.fatal(end, f"unknown escape {self._text[end : end + 2]} in a text")
        return self._report.fatal(end, "a text must end on its line; write a line feed as \\n")

    def _unexpected(self, at: int, want: _Want) -> Exception:
        closes = self._text[at : at + 1] == self._build.closer and at < len(self._text)
        if closes and want in ("member", "value") and self._text[:at].rstrip().endswith(","):
            return self._report.fatal(at, "a comma before the end; JSON allows none")
        names = {
            "member": "a key in double quotes",
            "value": "a value",
            "end": f"a comma or {self._build.closer}" if self._build.closer else "the end",
            "colon": "a colon after the key",
        }
        return self._expected(at, names[want])

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
