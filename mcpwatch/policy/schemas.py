"""`validate: schema`: arguments must satisfy the tool's inputSchema, and none may be undeclared.

The schema comes from upstream and is hostile until shown otherwise: nothing is fetched for it, its patterns run on a
linear-time engine, and one that cannot be compiled refuses every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import jsonschema_rs

from mcpwatch.policy.conditions import Args
from mcpwatch.policy.regex import compile_regex

Check = Callable[[Args], str]
"""Says what is wrong with the arguments, "" when nothing is. Values of arguments are never repeated."""

_DEEPEST_REF = 16


def compile_schema(schema: Any) -> Check:
    """The check of one inputSchema. Never raises: of a schema that is of no use, every call is refused."""
    try:
        return _compile(schema)
    except (ValueError, TypeError, RecursionError, jsonschema_rs.ReferencingError) as error:
        sentence = f"the tool's schema cannot be used: {str(error).strip().splitlines()[0][:200]}"
        return lambda args: sentence


def _compile(schema: Any) -> Check:
    validator = jsonschema_rs.validator_for(
        schema, mask="value", retriever=_refuse_to_fetch, pattern_options=jsonschema_rs.RegexOptions()
    )
    declared = Declared(schema)

    def check(args: Args) -> str:
        for name in args:
            if not declared.knows(name):
                return f"{name!a} is not an argument of this tool"
        if validator.is_valid(args):
            return ""
        return _sentence(next(iter(validator.iter_errors(args))))

    return check


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    where = ".".join(["args", *map(str, error.instance_path)])
    return f"{where}: {error.message}"


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"it refers to {uri}, and nothing is fetched")


class Declared:
    """The names that a schema declares at its top, also through `allOf` and the like and references within itself."""

    def __init__(self, schema: Any) -> None:
        self.names: set[str] = set()
        self.patterns: list[Callable[[str], bool]] = []
        self.open = False
        self._root = schema
        self._read(schema, 0)

    def knows(self, name: str) -> bool:
        return name in self.names or self.open or any(matches(name) for matches in self.patterns)

    def _read(self, schema: Any, depth: int) -> None:
        part = _object(schema)
        if part is None or depth > _DEEPEST_REF:
            return
        self.names.update(part.get("properties") or ())
        self.patterns += map(compile_regex, part.get("patternProperties") or ())
        self.open = self.open or isinstance(part.get("additionalProperties"), Mapping)
        for keyword in ("allOf", "anyOf", "oneOf"):
            for branch in part.get(keyword) or ():
                self._read(branch, depth + 1)
        for keyword in ("if", "then", "else"):
            self._read(part.get(keyword), depth + 1)
        self._read(self._referred(part.get("$ref")), depth + 1)

    def _referred(self, ref: Any) -> Any:
        if not isinstance(ref, str) or not ref.startswith("#"):
            return None
        found = self._root
        for step in ref[1:].split("/")[1:]:
            found = (_object(found) or {}).get(step.replace("~1", "/").replace("~0", "~"))
        return found


def _object(value: Any) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
