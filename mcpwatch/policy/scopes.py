"""Whose counter a call is counted on: the scope value of a limit, as it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final, cast

from mcpwatch.policy.amounts import number_text
from mcpwatch.policy.conditions import MISSING, Args, compile_path, is_number, text_form
from mcpwatch.policy.document import Limit
from mcpwatch.policy.values import Caller

ScopeOf = Callable[[Caller, Args], str]

LONGEST_VALUE: Final = 128
"""Characters of an argument or a client's name that are stored as they are; longer ones are stored as their sha-256."""


def compile_scope(limit: Limit, redacted: frozenset[tuple[str, ...]] = frozenset()) -> ScopeOf:
    """The function that names the scope value of a call. Values of redacted paths are stored as their sha-256."""
    if limit.scope_path is None:
        return _CALLERS[limit.scope]
    get = compile_path(limit.scope_path)
    path = limit.scope_path
    secret = any(path[: len(prefix)] == prefix for prefix in redacted)

    def of_argument(_: Caller, args: Args) -> str:
        return _argument(get(args), secret)

    return of_argument


def _of_session(caller: Caller, _: Args) -> str:
    """Where there are no sessions, the connection's grant and client stand for one."""
    if caller.session:
        return "session:" + caller.session
    return f"caller:{len(caller.grant)}:{caller.grant}{_short(caller.client)}"


_CALLERS: Final[dict[str, ScopeOf]] = {
    "grant": lambda caller, _: "grant:" + caller.grant,
    "client": lambda caller, _: "client:" + _short(caller.client),
    "global": lambda _caller, _args: "global",
    "session": _of_session,
}


def _argument(value: Any, secret: bool) -> str:
    """Values that `eq` calls equal have one form; a missing argument and null have another that no value has."""
    if value is MISSING or value is None:
        return "args"
    if isinstance(value, (list, dict)):
        return _stored("args=", canonical(value), secret)
    return _stored("args:", text_form(value), secret)


def _stored(kind: str, text: str, secret: bool) -> str:
    return kind + (_digest(text) if secret else _short(text))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else _digest(text)


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: Any) -> str:
    """One text for all JSON values that are the same: keys sorted, 1.0 written as 1."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return "{" + ",".join(f"{json.dumps(key)}:{canonical(members[key])}" for key in sorted(members)) + "}"
    if isinstance(value, list):
        entries = cast("list[Any]", value)
        return "[" + ",".join(map(canonical, entries)) + "]"
    return number_text(value) if is_number(value) else json.dumps(value)


def shown(stored: str) -> str:
    """A stored scope value as people read it: `alice`, `prod`, `alice/cursor`; "" for global or a missing argument."""
    if stored.startswith("grant:"):
        return stored[6:]
    kind, colon, value = stored.partition(":")
    if not colon or kind not in ("client", "session", "caller", "args"):
        return stored.removeprefix("args=") if stored.startswith("args=") else ""
    return _caller(value) if kind == "caller" else value


def _caller(value: str) -> str:
    length, _, both = value.partition(":")
    return f"{both[: int(length)]}/{both[int(length) :]}"


def scope_kind(stored: str) -> str:
    """Which scopes may have stored this value: `grant`, `session`, `client`, `global` or `args`."""
    kind = stored.partition(":")[0].partition("=")[0]
    return "session" if kind == "caller" else kind


def scope_kind_of(limit: Limit) -> str:
    """The same for a limit, whatever argument it names."""
    return "args" if limit.scope_path is not None else limit.scope
