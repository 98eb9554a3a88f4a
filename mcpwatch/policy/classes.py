"""What kind of tool a name speaks of: the classes of the catalogue, with what speaks for them.

A server's own annotations are hints of a stranger: they may make a tool look more dangerous, never less than its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

Category = Literal["Read", "Write", "Execute", "Destructive", "Financial", "Other"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS: Final[tuple[tuple[Category, frozenset[str]], ...]] = (
    (
        "Destructive",
        _words("delete remove drop destroy purge terminate wipe truncate erase revoke uninstall kill reset rm unlink"),
    ),
    (
        "Financial",
        _words(
            "charge refund pay payment payments payout transfer invoice purchase buy sell withdraw subscription order"
        ),
    ),
    (
        "Execute",
        _words(
            "run exec execute invoke eval shell command script deploy trigger start stop restart rollback launch call"
        ),
    ),
    (
        "Write",
        _words(
            "create update put write set add edit modify patch insert upload move copy rename apply manage post send"
            " commit push merge save import generate enable disable assign attach detach tag register schedule publish"
            " approve close open fork replace change append"
        ),
    ),
)
_READS: Final = _words(
    "list get describe read search find show query fetch count check view status download diff log lookup browse"
)
RISKS: Final[Mapping[Category, str]] = {
    "Read": "low",
    "Write": "medium",
    "Execute": "high",
    "Destructive": "critical",
    "Financial": "critical",
    "Other": "medium",
}


@dataclass(frozen=True, slots=True)
class ToolClass:
    """The class of a tool and why. `risk` is the catalogue's default for the class."""

    category: Category
    why: str

    @property
    def risk(self) -> str:
        return RISKS[self.category]


def classify(tool: Mapping[str, Any]) -> ToolClass:
    """The class of a tool object as `tools/list` has it (`name`, `annotations`)."""
    by_name = _by_name(str(tool.get("name", "")))
    hints = tool.get("annotations")
    if not isinstance(hints, Mapping):
        return by_name
    annotations = cast("Mapping[str, Any]", hints)
    if annotations.get("destructiveHint") is True and by_name.category not in ("Destructive", "Financial"):
        return ToolClass("Destructive", "upstream annotates it as destructive")
    if annotations.get("readOnlyHint") is True and by_name.category == "Other":
        return ToolClass("Read", "upstream annotates it as read-only, and its name says nothing else")
    return by_name


def _by_name(name: str) -> ToolClass:
    words = [word.lower() for word in _WORD.findall(name)]
    danger, *others = _WORDS
    found = next((word for word in words if word in danger[1]), None)
    if found is not None:
        return ToolClass(danger[0], f'its name says "{found}"')
    if words and words[0] in _READS:
        return ToolClass("Read", f'its name begins with "{words[0]}"')
    for category, known in others:
        for word in words:
            if word in known:
                return ToolClass(category, f'its name says "{word}"')
    found = next((word for word in words if word in _READS), None)
    return (
        ToolClass("Other", "its name says nothing known")
        if found is None
        else ToolClass("Read", f'its name says "{found}"')
    )
