"""Reads single fields of the tree and says what was expected when they are something else.

Every function gives None after it has reported a fault, so that reading goes on and all faults are seen at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import filterfalse
from typing import TypeVar, cast

from mcpwatch.policy.document import Window
from mcpwatch.policy.paths import parse_path
from mcpwatch.policy.source import Broken, Node, Pointer, Report
from mcpwatch.policy.values import Json
from mcpwatch.policy.windows import duration_ms, window_of

Choice = TypeVar("Choice", bound=str)
Members = dict[str, Node]
_LONGEST_SHOWN = 40


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that a slip of the pen most likely meant."""
    names = list(known)
    folded = {name.casefold(): name for name in reversed(names)}
    found = get_close_matches(word.strip().casefold()[:80], folded, 1, 0.5)
    return folded[found[0]] if found else None


def shown(node: Node) -> str:
    """The value as the author sees it, cut short."""
    value = node.value
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f'the text "{cut(value)}"'
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"the number {cut(str(value))}"


def cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def expected(report: Report, node: Node, pointer: Pointer, what: str, meant: Sequence[str] = ()) -> None:
    """Reports another value than the one that was expected; `meant` are words that it may be a slip of."""
    if isinstance(node.value, str) and not report.full:
        close = nearest(node.value, meant)
        what += f' (did you mean "{close}"?)' if close else ""
    if not isinstance(node.value, Broken):
        length = max(1, node.end - node.start)
        report.error(node.start, pointer, f"expected {what}, found {shown(node)}", length)


def members(
    report: Report, node: Node, pointer: Pointer, what: str, known: Sequence[str], needed: Sequence[str] = ()
) -> Members | None:
    """The known members of an object, which should have no other ones and all of the needed ones."""
    value = node.value
    if not isinstance(value, dict):
        return expected(report, node, pointer, what)
    unknown = list(filterfalse(known.__contains__, value))
    for key in unknown if unknown and not report.full else ():
        _unknown_key(report, value[key].key, pointer, key, known)
    for key in needed:
        if key not in value:
            report.error(node.start, (pointer, key), f'"{key}" is missing here; it is needed')
    return {key: value[key] for key in value if key in known} if unknown else value


def _unknown_key(report: Report, at: int, pointer: Pointer, key: str, known: Sequence[str]) -> None:
    close = None if report.full else nearest(key, known)
    hint = f'did you mean "{close}"?' if close else f"known here: {', '.join(known)}"
    message = f'unknown key "{cut(key)}"; {hint}'
    report.error(at, (pointer, key), message, len(key) + 2)


def items(report: Report, node: Node | None, pointer: Pointer, what: str) -> list[Node]:
    """The entries of a list; [] when there is none or when it is something else."""
    if node is None:
        return []
    if isinstance(node.value, list):
        return node.value
    expected(report, node, pointer, what)
    return []


def text(report: Report, node: Node | None, pointer: Pointer, what: str = "a text") -> str | None:
    if node is None:
        return None
    return node.value if isinstance(node.value, str) else expected(report, node, pointer, what)


def name(report: Report, node: Node | None, pointer: Pointer, what: str) -> str | None:
    """A text that is not blank."""
    found = text(report, node, pointer, what)
    if found is not None and node is not None and not found.strip():
        return expected(report, node, pointer, f"{what} that is not blank")
    return found


def choice(report: Report, node: Node | None, pointer: Pointer, choices: Sequence[Choice]) -> Choice | None:
    if node is None:
        return None
    if node.value in choices:
        return cast(Choice, node.value)
    listed = " or ".join([", ".join(f'"{option}"' for option in choices[:-1]), f'"{choices[-1]}"'])
    return expected(report, node, pointer, listed, choices)


def whole(report: Report, node: Node | None, pointer: Pointer, least: int = 0) -> int | None:
    """A whole number, written as one: 10, not 10.0, "10" or true."""
    if node is None:
        return None
    value = node.value
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    return expected(report, node, pointer, f"a whole number, {least} or more")


def amount(report: Report, node: Node | None, pointer: Pointer) -> int | float | None:
    """A finite number, 0 or more."""
    if node is None:
        return None
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return value
    return expected(report, node, pointer, "a number, 0 or more")


def window(report: Report, node: Node | None, pointer: Pointer) -> Window | None:
    if node is None:
        return None
    value = node.value
    found = window_of(value) if isinstance(value, int | str) else None
    if found is not None:
        return found
    what = 'a window like "minute", "hour", "day", 90, "90s", "5m", "12h", "7d"'
    return expected(report, node, pointer, what, ("minute", "hour", "day"))


def duration(report: Report, node: Node | None, pointer: Pointer) -> int | None:
    """A length of time like `45s`, in milliseconds."""
    if node is None:
        return None
    found = duration_ms(node.value) if isinstance(node.value, str) else None
    if found is not None:
        return found
    return expected(report, node, pointer, 'a time like "45s", "10m", "2h" or "1d"')


def path(report: Report, node: Node | None, pointer: Pointer) -> tuple[str, ...] | None:
    if node is None:
        return None
    if not isinstance(node.value, str):
        return expected(report, node, pointer, 'a path like "args.namespace"')
    try:
        return parse_path(node.value)
    except ValueError as fault:
        message = f'"{cut(node.value)}" is not a path into the arguments: {fault}'
        return report.error(node.start, pointer, message, node.end - node.start)


def plain(node: Node) -> Json:
    """The value without its places. Only for values that hold no broken part (see `has_broken`)."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, Broken) else value


def is_number(node: Node) -> bool:
    value = node.value
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
