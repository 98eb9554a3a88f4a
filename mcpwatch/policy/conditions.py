"""One condition of a rule as a function of the arguments.

Source of the operators: PolicyLayer/Intercept 1.1.0, made type-safe as the policy language says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from mcpwatch.policy.amounts import number_text
from mcpwatch.policy.document import Condition, Rule
from mcpwatch.policy.regex import compile_regex
from mcpwatch.policy.values import Json

Args = dict[str, Json]
Test = Callable[[Args], int]
Get = Callable[[Args], Any]

FAILS: Final = 0
HOLDS: Final = 1
UNCOMPARABLE: Final = 2
"""What a test answers. UNCOMPARABLE: `lt lte gt gte` met a value that is there, not null and not a number."""


class _Missing:
    def __repr__(self) -> str:
        return "(missing)"


MISSING: Final = _Missing()


def compile_rule(rule: Rule) -> Test:
    """All conditions of `rule` together: FAILS when one fails, else UNCOMPARABLE when one is, else HOLDS.

    One condition that fails for certain outweighs another that cannot be compared: the rule is about other calls.
    Raises ValueError when a regex is not of the language.
    """
    tests = tuple(compile_condition(condition) for condition in rule.conditions)
    if not tests:
        return lambda args: HOLDS
    if len(tests) == 1:
        return tests[0]

    def test_all(args: Args) -> int:
        result = HOLDS
        for test in tests:
            found = test(args)
            if not found:
                return FAILS
            if found == UNCOMPARABLE:
                result = UNCOMPARABLE
        return result

    return test_all


def compile_condition(condition: Condition) -> Test:
    """The test of one condition; a missing argument fails every operator except `exists false`."""
    get = compile_path(condition.path)
    if condition.op == "exists":
        return _exists(get, condition.value is True)
    if condition.op in _ORDER:
        return _ordered(get, condition.op, condition.value)
    matches = _MATCHERS[condition.op](condition.value)
    if condition.op in ("neq", "not_in"):
        return lambda args: int((value := get(args)) is not MISSING and not matches(value))
    return lambda args: int((value := get(args)) is not MISSING and matches(value))


def compile_path(path: tuple[str, ...]) -> Get:
    """A function that finds the value at `path`, going down objects only; MISSING when there is none."""
    if len(path) == 1:
        key = path[0]
        return lambda args: args.get(key, MISSING)

    def walk(args: Args) -> Any:
        value: Any = args
        for step in path:
            if not isinstance(value, dict):
                return MISSING
            value = cast("dict[str, Any]", value).get(step, MISSING)
        return value

    return walk


def equal(left: Any, right: Any) -> bool:
    """`eq` of the language: numbers as numbers, lists and objects by value, everything else by its text."""
    if isinstance(left, (list, dict)) or isinstance(right, (list, dict)):
        return same_value(left, right)
    if left is None or right is None:
        return left is right
    if is_number(left) and is_number(right):
        return left == right
    return text_form(left) == text_form(right) and _one_is_text_or_both_bool(left, right)


def same_value(left: Any, right: Any) -> bool:
    """Equality of JSON values: key order is no difference, 1 and 1.0 are the same, true and 1 are not."""
    if isinstance(left, dict) and isinstance(right, dict):
        ours, theirs = cast("dict[str, Any]", left), cast("dict[str, Any]", right)
        return ours.keys() == theirs.keys() and all(same_value(ours[key], theirs[key]) for key in ours)
    if isinstance(left, list) and isinstance(right, list):
        first, second = cast("list[Any]", left), cast("list[Any]", right)
        return len(first) == len(second) and all(map(same_value, first, second))
    return _comparable(cast(object, left), right) and bool(left == right)


def _comparable(left: object, right: object) -> bool:
    return (is_number(left) and is_number(right)) or type(left) is type(right)


def is_number(value: object) -> bool:
    return type(value) is int or type(value) is float


def text_form(value: Any) -> str:
    """The text of a text, number or bool, as `eq` compares it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value)


def _one_is_text_or_both_bool(left: Any, right: Any) -> bool:
    return isinstance(left, str) or isinstance(right, str) or type(left) is type(right)


def _exists(get: Get, wanted: bool) -> Test:
    def test(args: Args) -> int:
        value = get(args)
        return int((value is not MISSING and value is not None) is wanted)

    return test


def _ordered(get: Get, op: str, bound: Any) -> Test:
    compare = _ORDER[op](bound)
    bounded = is_number(bound)

    def test(args: Args) -> int:
        value = get(args)
        if bounded and is_number(value):
            return HOLDS if compare(value) else FAILS
        return FAILS if value is MISSING or value is None else UNCOMPARABLE

    return test


_ORDER: Final[dict[str, Callable[[Any], Callable[[Any], bool]]]] = {
    "lt": lambda bound: lambda value: value < bound,
    "lte": lambda bound: lambda value: value <= bound,
    "gt": lambda bound: lambda value: value > bound,
    "gte": lambda bound: lambda value: value >= bound,
}


def _equals(wanted: Any) -> Callable[[Any], bool]:
    if isinstance(wanted, str):
        return lambda value: value == wanted if type(value) is str else equal(value, wanted)
    return lambda value: equal(value, wanted)


def _one_of(wanted: Iterable[Any]) -> Callable[[Any], bool]:
    """Texts are looked up in a set, so that long lists cost no more than short ones."""
    entries = tuple(wanted)
    scalars = [entry for entry in entries if not isinstance(entry, (list, dict)) and entry is not None]
    texts = frozenset(text_form(entry) for entry in scalars)

    def matches(value: Any) -> bool:
        if type(value) is str:
            return value in texts
        return any(equal(value, entry) for entry in entries)

    return matches


def _contains(wanted: Any) -> Callable[[Any], bool]:
    def matches(value: Any) -> bool:
        if isinstance(value, str):
            return isinstance(wanted, str) and wanted in value
        return isinstance(value, list) and any(equal(entry, wanted) for entry in cast("list[Any]", value))

    return matches


def _regex(pattern: Any) -> Callable[[Any], bool]:
    search = compile_regex(pattern)
    return lambda value: isinstance(value, str) and search(value)


_MATCHERS: Final[dict[str, Callable[[Any], Callable[[Any], bool]]]] = {
    "eq": _equals,
    "neq": _equals,
    "in": _one_of,
    "not_in": _one_of,
    "contains": _contains,
    "regex": _regex,
}
