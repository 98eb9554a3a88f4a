"""The wording: what a refused agent is told, and what an operator reads as the reason."""

from __future__ import annotations

from mcpwatch.policy.document import Condition, Limit
from mcpwatch.policy.values import Json

LONGEST_VALUE = 80
LONGEST_NAME = 512

NO_POLICY = "(no policy)"
HIDDEN = "(hidden)"
LOOK_ALIKE = "(look-alike)"
DEFAULT_DENY = "(default deny)"
INTERNAL = "/internal"
COUNTERS = "(counters)"


def not_permitted(tool: str) -> str:
    """The same for hidden and for absent tools, so that an agent cannot tell them apart."""
    return f'Tool "{name_words(tool)}" is not permitted by policy'


def name_words(name: str) -> str:
    """A name as the agent gave it, cut when it is longer than any name."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def denied_by(rule: str) -> str:
    return f'Denied by rule "{rule}"'


def limit_reached(limit: Limit, retry_after_s: int | None) -> str:
    """`retry_after_s` is None when waiting does not help: the limit never lets this call pass."""
    text = f"Rate limit of {limit.max} per {limit.window.text} reached."
    return text if retry_after_s is None else f"{text} Try again in {retry_after_s} s."


def condition_text(condition: Condition) -> str:
    """A condition as people say it: `args.amount gt 100`."""
    return f"{condition.path_text} {condition.op} {value_text(condition.value)}"


def value_text(value: Json) -> str:
    """A value as JSON writes it, cut when it is long. Control characters come out escaped."""
    text = _json(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _json(value: Json) -> str:
    if isinstance(value, str):
        return '"' + "".join(map(_visible, value[:LONGEST_VALUE])) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value[:LONGEST_VALUE])) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(key)}: {_json(value[key])}" for key in list(value)[:LONGEST_VALUE]) + "}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return number_words(value)


def number_words(value: int | float) -> str:
    """A number as JSON writes it, or how big it is when that would fill the line."""
    if isinstance(value, int) and value.bit_length() > 4 * LONGEST_VALUE:
        return f"a number of {value.bit_length():,} bits"
    return repr(value)


def _visible(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
