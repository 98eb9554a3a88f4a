"""Arguments of a tool that a modern client repeats in `Mcp-Param-…` headers, as the tool's schema asks it to.

Source: MCP 2026-07-28, transports/streamable-http, custom headers from tool parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mcpwatch.gateway.headers import decoded
from mcpwatch.gateway.link import Headers
from mcpwatch.policy.values import Json

_MARK = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)(?:\.0+)?")
_TYPES = ("string", "integer", "boolean")
# Where JSON Schema 2020-12 keeps further schemas; what stands elsewhere (`default`, `enum`) is data and no schema.
_ONE = {
    *("items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"),
    *("not", "if", "then", "else", "contentSchema"),
}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_MAPS = {"patternProperties", "dependentSchemas", "$defs", "definitions"}

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mirror:
    """The argument at `path` is repeated in `header` (lower case)."""

    path: Path
    header: bytes
    integer: bool


def mirrors_of(schema: Json) -> tuple[Mirror, ...]:
    """What a tool's input schema asks for. () when it asks wrongly: then clients drop the tool and send nothing."""
    found: dict[bytes, Mirror] = {}
    waiting: list[tuple[Path | None, Json]] = [((), schema)]
    while waiting:
        path, node = waiting.pop()
        if not isinstance(node, dict):
            continue
        if _MARK in node:
            mirror = _mirror(path, node)
            if mirror is None or mirror.header in found:
                return ()
            found[mirror.header] = mirror
        waiting += _below(path, node)
    return tuple(found.values())


def contradiction(mirrors: Sequence[Mirror], arguments: Json, headers: Headers) -> str:
    """What is wrong between headers and arguments, "" when they agree."""
    for mirror in mirrors:
        given = [value.decode("latin-1").strip() for name, value in headers if name == mirror.header]
        value = _at(arguments, mirror.path)
        if len(given) > 1:
            return f"The {mirror.header.decode()} header appears more than once"
        if (_text(value) is None) != (not given):
            return f"The {mirror.header.decode()} header and its argument must be there together"
        if given and not _same(value, decoded(given[0]), mirror):
            return f"The {mirror.header.decode()} header does not match its argument"
    return ""


def _mirror(path: Path | None, node: Mapping[str, Json]) -> Mirror | None:
    """None when the mark may not stand here."""
    token, kind = node[_MARK], node.get("type")
    if not path or not isinstance(token, str) or not _TOKEN.fullmatch(token) or kind not in _TYPES:
        return None
    return Mirror(path, b"mcp-param-" + token.lower().encode(), kind == "integer")


def _below(path: Path | None, node: Mapping[str, Json]) -> Iterator[tuple[Path | None, Json]]:
    """The schemas in a schema. Only a chain of `properties` says where in the arguments a value will be."""
    for key, value in node.items():
        if key == "properties" and isinstance(value, dict):
            yield from (((*path, name) if path is not None else None, part) for name, part in value.items())
        elif key in _ONE:
            yield None, value
        elif key in _LISTS and isinstance(value, list):
            yield from ((None, part) for part in value)
        elif key in _MAPS and isinstance(value, dict):
            yield from ((None, part) for part in value.values())


def _at(arguments: Json, path: Path) -> Json:
    node = arguments
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _text(value: Json) -> str | None:
    """As a header has it; None for what cannot be in one, and for null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _same(value: Json, given: str | None, mirror: Mirror) -> bool:
    if given is None:
        return False
    number = _WHOLE_NUMBER.fullmatch(given) if mirror.integer and type(value) in (int, float) else None
    if number is not None:
        return int(number[1]) == value
    return given == _text(value)
