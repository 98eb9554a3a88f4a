"""How a problem of a policy text is written on one line, without anything that could drive a terminal."""

from __future__ import annotations

import re
import unicodedata

from mcpwatch.policy.values import Problem

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_PLAIN = re.compile(r"[ -~]*")
_BLANKS = re.compile(r"(?<= ) ")


def visible(text: str) -> str:
    """The text with control, format and line-breaking characters written as escapes."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _HIDDEN else char for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def render_problem(file: str, problem: Problem) -> str:
    """`FILE:LINE:COL  POINTER  MESSAGE`: two blanks between, and no two blanks within a pointer.

    A fault of syntax has no pointer: its place stays empty.
    """
    pointer = _BLANKS.sub(r"\\x20", visible(problem.pointer))
    mark = "warning: " if problem.severity == "warning" else ""
    return f"{visible(file)}:{problem.line}:{problem.column}  {pointer}  {mark}{visible(problem.message)}"
