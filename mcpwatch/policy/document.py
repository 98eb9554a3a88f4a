"""What a policy file says, in one form whatever dialect it is in. Read by `reader`, evaluated by `compiled`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from mcpwatch.policy.values import Json, Problem

Mode = Literal["enforce", "observe"]
Op = Literal["eq", "neq", "lt", "lte", "gt", "gte", "in", "not_in", "exists", "regex", "contains"]
Algorithm = Literal["fixed", "sliding"]
Validate = Literal["off", "schema"]


class Span(NamedTuple):
    """Where something stands in the text; lines and columns count from 1, the end is exclusive."""

    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1


class Condition(NamedTuple):
    """`path` without its leading `args`, one entry a key; `path_text` as written (`args.labels["a.b"]`)."""

    path: tuple[str, ...]
    path_text: str
    op: Op
    value: Json
    span: Span = Span()


class Rule(NamedTuple):
    """Conditions are ANDed. `timeout_ms` is for approve_if only."""

    conditions: tuple[Condition, ...]
    on_deny: str | None = None
    name: str | None = None
    mode: Mode = "enforce"
    timeout_ms: int | None = None
    span: Span = Span()

    @property
    def always(self) -> bool:
        """Whether it decides every call: it has no conditions and is enforced."""
        return not self.conditions and self.mode == "enforce"


class Window(NamedTuple):
    """`text` as messages name it (`minute`, `90s`), `ms` its length."""

    text: str
    ms: int


class Limit(NamedTuple):
    """`scope`: `grant`, `session`, `client`, `global` or `args.PATH`; `scope_path` the path of the last kind.

    `name` is what the rules form called it; v1 has no place for it.
    """

    counter: str
    window: Window
    max: int
    scope: str = "grant"
    scope_path: tuple[str, ...] | None = None
    on_deny: str | None = None
    algorithm: Algorithm = "fixed"
    increment: int | float = 1
    increment_from: tuple[str, ...] | None = None
    mode: Mode = "enforce"
    span: Span = Span()
    name: str | None = None


class ToolEntry(NamedTuple):
    """The rules of one key of `tools` (a name, or a pattern with `*`), or of `all_tools` (name "")."""

    name: str = ""
    require: tuple[Rule, ...] = ()
    deny_if: tuple[Rule, ...] = ()
    approve_if: tuple[Rule, ...] = ()
    limits: tuple[Limit, ...] = ()
    validate: Validate = "off"
    mode: Mode = "enforce"
    category: str | None = None
    risk: str | None = None
    span: Span = Span()


@dataclass(frozen=True, slots=True)
class NameRule:
    """What `resources` or `prompts` say: patterns with `*` on URIs or names; deny beats allow beats default."""

    default: Literal["allow", "deny"]
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


NO_RULES: Final = ToolEntry()


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A whole policy. `digest` is the sha-256 (hex) of the exact bytes; `warnings` what the reader remarked.

    `hide` holds names and patterns in file order (tools hidden by the short form `action: hide` are there too).
    `places` says where the members of the top and the entries of `hide` stand, by pointer (`/default`, `/hide/0`).
    """

    default: Literal["allow", "deny"]
    tools: Mapping[str, ToolEntry] = field(default_factory=lambda: MappingProxyType({}))
    all_tools: ToolEntry = NO_RULES
    hide: tuple[str, ...] = ()
    mode: Mode = "enforce"
    resources: NameRule | None = None
    prompts: NameRule | None = None
    approval_timeout_ms: int = 45_000
    approval_remember_ms: int = 600_000
    redact: tuple[str, ...] = ()
    description: str = ""
    version: str = "1"
    dialect: str = "v1"
    digest: str = ""
    warnings: tuple[Problem, ...] = ()
    places: Mapping[str, Span] = field(default_factory=lambda: MappingProxyType({}))
