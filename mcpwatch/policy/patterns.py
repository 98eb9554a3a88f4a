"""Checks patterns: the language is RE2, the engine is the Rust one that pydantic brings. Both are of linear time.

Where the two differ, the pattern is refused: a policy written for RE2 must not silently mean something else here.
Source: RE2 syntax (github.com/google/re2/wiki/Syntax) and the syntax page of the Rust crate regex.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mcpwatch.policy.regex import compile_regex

LONGEST = 10_000
MOST_REPEATS = 1_000
"""RE2's own bound for {n,m}."""

_TOKEN = re.compile(
    r"\\(?P<escape>.)"
    r"|\[\^?\]?(?P<body>(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*)\]"
    r"|\(\?(?P<flags>[A-Za-z-]+)[:)]"
    r"|(?P<repeat>[*+?]|\{(?P<low>[0-9]+)(?:,(?P<high>[0-9]*))?\})(?P<more>\??)(?P<nested>[*+?]|\{[0-9])?"
    r"|.",
    re.DOTALL,
)
_CLASS_PART = re.compile(r"\[:\^?[a-z]+:\]|\\.|(?P<differs>\[|&&|--|~~)|.", re.DOTALL)
_FOREIGN_ESCAPES = frozenset("<>uU")
_FLAGS = frozenset("imsU-")


@lru_cache(maxsize=4_096)
def regex_fault(pattern: str) -> str:
    """Why a text is no pattern of the language, "" when it is one."""
    if len(pattern) > LONGEST:
        return f"a pattern of more than {LONGEST:,} characters"
    try:
        compile_regex(pattern)
    except ValueError as fault:
        return str(fault).rstrip(".")
    differences = (_difference(found) for found in _TOKEN.finditer(pattern))
    return next((difference for difference in differences if difference), "")


def _difference(found: re.Match[str]) -> str:
    """What this piece of a pattern means differently, or not at all, in RE2."""
    if found["escape"] is not None and found["escape"] in _FOREIGN_ESCAPES:
        return f"\\{found['escape']} is not an escape of RE2"
    if found["body"] is not None:
        return _class_difference(found["body"])
    if found["flags"] is not None and not _FLAGS.issuperset(found["flags"]):
        return f"(?{found['flags']}) has flags that RE2 does not know; it knows i, m, s and U"
    if found["nested"] is not None:
        return f"{found['repeat']} is repeated again; RE2 allows one repetition, put the first in brackets"
    bounds = [int(bound) for bound in (found["low"], found["high"]) if bound]
    if any(bound > MOST_REPEATS for bound in bounds):
        return f"more than {MOST_REPEATS:,} repetitions"
    return ""


def _class_difference(body: str) -> str:
    for part in _CLASS_PART.finditer(body):
        if part["differs"] is not None:
            return f"{part['differs']} inside [ ] must be escaped with a backslash"
    return ""
