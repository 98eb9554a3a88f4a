"""A JSON reader that leaves nothing open, written from RFC 8259 and RFC 3629 alone: the other opinion of the tests.

Slow, small, and without a line in common with the gateway or with Python's `json`. Objects keep their members in order
and as often as they are there, so that whoever asks can see what another reader would have lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

MOST_DIGITS = 4300
"""Digits of an integer; Python converts no longer ones (`sys.get_int_max_str_digits`)."""
_TOO_LARGE = 2**1024 - 2**970
"""The smallest magnitude that IEEE 754 rounds to infinity."""
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_DIGITS = "0123456789"
T = TypeVar("T")
_HEX = "0123456789abcdefABCDEF"


class NotJson(Exception):
    """The bytes are not exactly one JSON text that every reader understands in the same way."""


@dataclass(frozen=True)
class Members:
    """An object as it is written."""

    pairs: tuple[tuple[str, Value], ...]

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.pairs]

    def get(self, key: str) -> Value:
        return next((value for name, value in self.pairs if name == key), None)


Value = None | bool | int | float | str | list["Value"] | Members


def read(raw: bytes, depth: int) -> Value:
    """The one value in `raw`. Raises NotJson, also for a key twice and for more than `depth` levels."""
    return _Reader(text_of(raw), depth).whole()


def plain(value: Value) -> object:
    """The same as Python's own types."""
    if isinstance(value, Members):
        return {key: plain(inner) for key, inner in value.pairs}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def text_of(raw: bytes) -> str:
    """UTF-8 as RFC 3629 has it: shortest forms only, no surrogates, nothing above U+10FFFF."""
    found: list[str] = []
    at = 0
    while at < len(raw):
        first = raw[at]
        more, least = (0, 0) if first < 0x80 else _lead(first)
        code = first if more == 0 else first & (0x3F >> more)
        tail = raw[at + 1 : at + 1 + more]
        if len(tail) < more or any(byte & 0xC0 != 0x80 for byte in tail):
            raise NotJson("a character breaks off")
        for byte in tail:
            code = code << 6 | byte & 0x3F
        if code < least or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise NotJson("no character")
        found.append(chr(code))
        at += 1 + more
    return "".join(found)


def _lead(byte: int) -> tuple[int, int]:
    if byte & 0xE0 == 0xC0:
        return 1, 0x80
    if byte & 0xF0 == 0xE0:
        return 2, 0x800
    if byte & 0xF8 == 0xF0:
        return 3, 0x10000
    raise NotJson("no first byte of a character")


class _Reader:
    def __init__(self, text: str, depth: int) -> None:
        self._text = text
        self._at = 0
        self._room = depth

    def whole(self) -> Value:
        value = self._value()
        self._blanks()
        if self._at != len(self._text):
            raise NotJson("something follows")
        return value

    def _value(self) -> Value:
        self._blanks()
        match self._peek():
            case "{":
                return self._inside(self._object)
            case "[":
                return self._inside(self._list)
            case '"':
                return self._string()
            case "t":
                return self._word("true", True)
            case "f":
                return self._word("false", False)
            case "n":
                return self._word("null", None)
            case _:
                return self._number()

    def _inside(self, read: Callable[[], T]) -> T:
        if self._room == 0:
            raise NotJson("too deep")
        self._room -= 1
        self._at += 1
        value = read()
        self._room += 1
        return value

    def _object(self) -> Members:
        pairs: list[tuple[str, Value]] = []
        if not self._ends("}"):
            while True:
                self._blanks()
                key = self._string()
                if any(key == known for known, _ in pairs):
                    raise NotJson("a key twice")
                self._blanks()
                self._take(":")
                pairs.append((key, self._value()))
                if self._ends("}"):
                    break
                self._take(",")
        return Members(tuple(pairs))

    def _list(self) -> list[Value]:
        values: list[Value] = []
        if not self._ends("]"):
            while True:
                values.append(self._value())
                if self._ends("]"):
                    break
                self._take(",")
        return values

    def _string(self) -> str:
        self._take('"')
        found: list[str] = []
        while (char := self._next()) != '"':
            if char < " ":
                raise NotJson("a control character")
            found.append(self._escape() if char == "\\" else char)
        return "".join(found)

    def _escape(self) -> str:
        kind = self._next()
        if kind != "u":
            if kind not in _ESCAPES:
                raise NotJson("no escape")
            return _ESCAPES[kind]
        code = self._unit()
        if 0xDC00 <= code <= 0xDFFF:
            raise NotJson("the second half of a pair alone")
        if not 0xD800 <= code <= 0xDBFF:
            return chr(code)
        self._take("\\")
        self._take("u")
        low = self._unit()
        if not 0xDC00 <= low <= 0xDFFF:
            raise NotJson("the first half of a pair alone")
        return chr(0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00)

    def _unit(self) -> int:
        digits = [self._next() for _ in range(4)]
        if any(digit not in _HEX for digit in digits):
            raise NotJson("no code unit")
        return int("".join(digits), 16)

    def _number(self) -> int | float:
        sign = -1 if self._skip("-") else 1
        whole = self._digits()
        if not whole or (len(whole) > 1 and whole[0] == "0"):
            raise NotJson("no number")
        part = self._after(".")
        exponent = ""
        if self._peek() in ("e", "E"):
            self._at += 1
            minus = "-" if self._peek() == "-" else ""
            if self._peek() in ("+", "-"):
                self._at += 1
            exponent = minus + self._some_digits()
        if part == "" and exponent == "":
            if len(whole) > MOST_DIGITS:
                raise NotJson("an integer of too many digits")
            return sign * int(whole)
        return sign * _float(whole, part, int(exponent[:12] or "0"))

    def _after(self, mark: str) -> str:
        return self._some_digits() if self._skip(mark) else ""

    def _some_digits(self) -> str:
        found = self._digits()
        if not found:
            raise NotJson("digits are missing")
        return found

    def _digits(self) -> str:
        begin = self._at
        while self._peek() in _DIGITS and self._peek():
            self._at += 1
        return self._text[begin : self._at]

    def _word(self, word: str, value: T) -> T:
        for char in word:
            self._take(char)
        return value

    def _blanks(self) -> None:
        while self._peek() in (" ", "\t", "\n", "\r"):
            self._at += 1

    def _ends(self, mark: str) -> bool:
        self._blanks()
        return self._skip(mark)

    def _skip(self, mark: str) -> bool:
        if self._peek() != mark:
            return False
        self._at += 1
        return True

    def _take(self, char: str) -> None:
        if self._next() != char:
            raise NotJson(f"not {char}")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise NotJson("it breaks off")
        self._at += 1
        return char


def _float(whole: str, part: str, exponent: int) -> float:
    """The nearest number of IEEE 754; refused when that is infinity."""
    digits = (whole + part).lstrip("0")
    if not digits:
        return 0.0
    magnitude = len(digits) - len(part) + exponent
    if magnitude < -400:
        return 0.0
    if magnitude > 310:
        raise NotJson("too large a number")
    scale = exponent - len(part)
    value = Fraction(_long(digits)) * (Fraction(10) ** scale)
    if value >= _TOO_LARGE:
        raise NotJson("too large a number")
    return value.numerator / value.denominator


def _long(digits: str) -> int:
    """An integer of any length, in pieces that Python converts."""
    value = 0
    for at in range(0, len(digits), 1000):
        piece = digits[at : at + 1000]
        value = value * 10 ** len(piece) + int(piece)
    return value
