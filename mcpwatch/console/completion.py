"""The rest of the word under the cursor: fields and values of the language, names of the upstream's tools. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_OPEN_STRING = re.compile(r'"([^"\\]*)$')
_QUOTED = re.compile(r'["\\]')
_WORDS = [
    "version",
    "default",
    "description",
    "mode",
    "hide",
    "all_tools",
    "tools",
    "resources",
    "prompts",
    "approvals",
    "redact",
    "require",
    "deny_if",
    "approve_if",
    "limits",
    "validate",
    "category",
    "risk",
    "conditions",
    "on_deny",
    "name",
    "timeout",
    "remember",
    "path",
    "op",
    "value",
    "counter",
    "window",
    "max",
    "scope",
    "algorithm",
    "increment",
    "increment_from",
    "allow",
    "deny",
    "enforce",
    "observe",
    "off",
    "schema",
    "grant",
    "session",
    "client",
    "global",
    "minute",
    "hour",
    "day",
    "fixed",
    "sliding",
    "eq",
    "neq",
    "lt",
    "lte",
    "gt",
    "gte",
    "in",
    "not_in",
    "exists",
    "regex",
    "contains",
    "args.",
    "low",
    "medium",
    "high",
    "critical",
    "Read",
    "Write",
    "Execute",
    "Destructive",
    "Financial",
    "Other",
]


def rest_of(line_before: str, line_after: str, tools: Iterable[str]) -> str:
    """What completes the string that is open at the cursor, "" when nothing does. Tools go first."""
    if line_after[:1] not in ("", '"', ",", " "):
        return ""
    found = _OPEN_STRING.search(line_before)
    if found is None or not found.group(1) or line_before.count('"') % 2 == 0:
        return ""
    typed = found.group(1)
    for word in (*tools, *_WORDS):
        if word.startswith(typed) and word != typed and word.isprintable() and not _QUOTED.search(word):
            return word[len(typed) :]
    return ""
