"""Arguments of which parts were redacted: what cannot be known must not be guessed, so looking at it is an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn, cast

REDACTED = "[redacted]"
"""What stands in audit records where a secret was. Texts of which only a part was secret contain it."""


class UnknownArgument(Exception):
    """A rule looked at an argument that the record does not have. `args[0]` is its path."""


class Veiled(dict[str, Any]):
    """Arguments that raise UnknownArgument when a redacted value is looked at, or an object as a whole that has one."""

    def __init__(self, args: dict[str, Any], path: str = "args") -> None:
        super().__init__(args)
        self._path = path

    def get(self, key: str, default: Any = None, /) -> Any:
        value: Any = super().get(key, default)
        path = f"{self._path}.{key}"
        if isinstance(value, dict) and has_redacted(cast("dict[str, Any]", value)):
            return Veiled(cast("dict[str, Any]", value), path)
        if has_redacted(value):
            raise UnknownArgument(path)
        return cast(Any, value)

    def keys(self) -> NoReturn:
        raise UnknownArgument(self._path)

    def __iter__(self) -> Iterator[str]:
        raise UnknownArgument(self._path)


def has_redacted(value: Any) -> bool:
    """Whether anything in `value` was redacted."""
    if isinstance(value, str):
        return REDACTED in value
    if isinstance(value, dict):
        return any(map(has_redacted, cast("dict[str, Any]", value).values()))
    return isinstance(value, list) and any(map(has_redacted, cast("list[Any]", value)))
