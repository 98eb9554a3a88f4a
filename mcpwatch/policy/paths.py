"""Paths into the arguments of a call: `args.a.b`, and `args.labels["a.b"]` for a key that has a dot in it."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import cast

_STEP = re.compile(r'\.([^.\[\]"]+)|\[("[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*")\]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN_KEY = re.compile(r'[^.\[\]"\s\x00-\x1f\x7f-\x9f]+')


@lru_cache(maxsize=4_096)
def parse_path(text: str) -> tuple[str, ...]:
    """The keys behind `args`, outermost first. Raises ValueError saying what is wrong."""
    if not text.startswith(("args.", "args[")):
        raise ValueError('a path begins with "args.", as in args.namespace')
    keys: list[str] = []
    at = len("args")
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(_fault(text, at))
        keys.append(_key(found))
        at = found.end()
    return tuple(keys)


def _key(found: re.Match[str]) -> str:
    if found[1] is None:
        return cast(str, json.loads(found[2]))
    if found[1] != found[1].strip() or _CONTROL.search(found[1]):
        raise ValueError(f"blanks around {found[1]!a}; a key like that is written args[{json.dumps(found[1])}]")
    return found[1]


def _fault(text: str, at: int) -> str:
    if re.match(r"\[[0-9*]*\]", text[at:]):
        return "a path goes down objects only, there is no list index"
    if text[at] == "[":
        return 'a key in brackets stands in double quotes, as in args.labels["app.kubernetes.io/name"]'
    if text[at] == ".":
        return "a key is missing between two dots or at the end"
    return 'after a bracket comes a dot or another bracket; keys with [ ] or " stand in brackets and quotes'


def write_path(keys: tuple[str, ...]) -> str:
    """The shortest spelling of a path that reads back as these keys."""
    steps = (f".{key}" if _PLAIN_KEY.fullmatch(key) else f"[{json.dumps(key)}]" for key in keys)
    return "args" + "".join(steps)
