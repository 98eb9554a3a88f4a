"""Reads a policy text, whatever its form and dialect, into one document, or says everything that is wrong with it."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Literal

from mcpwatch.policy import fields
from mcpwatch.policy.dialects import SHORT_KEYS, Draft, owner_of, read_catalogue, read_short
from mcpwatch.policy.document import NameRule, PolicyDocument, Span, ToolEntry
from mcpwatch.policy.entries import APPROVE_KEYS, MODES, RULE_KEYS, read_limits, read_rules
from mcpwatch.policy.jsontext import read_json
from mcpwatch.policy.source import TOP, Node, Pointer, Report, Source
from mcpwatch.policy.values import PolicyError, Problem
from mcpwatch.policy.yamltext import read_yaml

MAX_BYTES: Final = 4 * 1024 * 1024
TOP_KEYS: Final = (
    "version",
    "default",
    "description",
    "$schema",
    "mode",
    "hide",
    "all_tools",
    "tools",
    "resources",
    "prompts",
    "approvals",
    "redact",
)
LIST_KEYS: Final = ("require", "deny_if", "approve_if", "limits")
ALL_KEYS: Final = (*LIST_KEYS, "validate")
EXTRA_KEYS: Final = ("mode", "category", "risk")
TOOL_KEYS: Final = (*ALL_KEYS, *EXTRA_KEYS, *SHORT_KEYS, "rules")
DEFAULTS: Final[tuple[Literal["allow", "deny"], ...]] = ("allow", "deny")
VALIDATE: Final[tuple[Literal["off", "schema"], ...]] = ("off", "schema")
CATEGORIES: Final = ("Read", "Write", "Execute", "Destructive", "Financial", "Other")
RISKS: Final = ("low", "medium", "high", "critical")
DEFAULT_TIMEOUT_MS: Final = 45_000
DEFAULT_REMEMBER_MS: Final = 600_000
SHORT: Final = frozenset(SHORT_KEYS)
DIALECT_KEYS: Final = {"rules": frozenset({"rules"}), "short": SHORT}


def read_policy(text: bytes, *, name: str = "policy.json") -> PolicyDocument:
    """The document that a file says. Raises PolicyError with every problem that was found.

    `name` tells JSON from YAML (`.json`, `.yaml`, `.yml`); without such an ending the text itself does.
    """
    report = Report(Source(_decode(text)))
    with _collector_paused():
        document = _read(report, _is_yaml(report.source.text, name.lower()))
    if report.errors:
        raise PolicyError(report.errors)
    return replace(document, digest=hashlib.sha256(text).hexdigest(), warnings=report.warnings)


def _read(report: Report, is_yaml: bool) -> PolicyDocument:
    return _Reader(report).read((read_yaml if is_yaml else read_json)(report.source.text, report))


@contextmanager
def _collector_paused() -> Generator[None]:
    """The tree has no cycles, and searching it for some again and again takes longer than reading it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _decode(text: bytes) -> str:
    if len(text) > MAX_BYTES:
        raise _at_start(f"the file has more than {MAX_BYTES:,} bytes, the most that a policy may have")
    if text.startswith(b"\xef\xbb\xbf"):
        raise _at_start("the file begins with a byte order mark; save it as UTF-8 without one")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        found = text[error.start]
        raise PolicyError((Problem(line, column, "", f"not UTF-8: the byte 0x{found:02x}"),)) from None


def _at_start(message: str) -> PolicyError:
    return PolicyError((Problem(1, 1, "", message),))


def _is_yaml(text: str, name: str) -> bool:
    if name.endswith((".yaml", ".yml")):
        return True
    return not name.endswith((".json", ".jsonc")) and text.lstrip(" \t\r\n")[:1] not in ("", "{", "[")


class _Reader:
    """Walks over the tree once. `_dialects` counts which forms the tools' entries are written in."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._dialects: dict[str, list[Node]] = {"v1": [], "short": [], "rules": []}
        self._hidden: list[str] = []

    def read(self, root: Node) -> PolicyDocument:
        what = "a policy: an object with version, default and tools"
        found = fields.members(self._report, root, TOP, what, TOP_KEYS, ("version",))
        if found is None:
            return PolicyDocument("deny")
        self._version(found.get("version"))
        tools, all_tools = self._tools(found.get("tools"), self._all_tools(found.get("all_tools")))
        approvals = self._approvals(found.get("approvals"))
        fields.text(self._report, found.get("$schema"), (TOP, "$schema"))
        return PolicyDocument(
            default=self._default(found.get("default"), root),
            tools=tools,
            all_tools=all_tools,
            hide=tuple(dict.fromkeys((*self._names(found.get("hide"), (TOP, "hide")), *self._hidden))),
            mode=fields.choice(self._report, found.get("mode"), (TOP, "mode"), MODES) or "enforce",
            resources=self._name_rule(found.get("resources"), (TOP, "resources")),
            prompts=self._name_rule(found.get("prompts"), (TOP, "prompts")),
            redact=self._redact(found.get("redact")),
            description=fields.text(self._report, found.get("description"), (TOP, "description")) or "",
            dialect=self._dialect(),
            approval_timeout_ms=approvals.get("timeout", DEFAULT_TIMEOUT_MS),
            approval_remember_ms=approvals.get("remember", DEFAULT_REMEMBER_MS),
            places=MappingProxyType(self._places(found)),
        )

    def _places(self, found: fields.Members) -> dict[str, Span]:
        span = self._report.source.span
        places = {f"/{key}": span(node.key, node.end) for key, node in found.items()}
        hidden = found["hide"].value if "hide" in found else None
        entries = hidden if isinstance(hidden, list) else []
        return places | {f"/hide/{at}": span(node.start, node.end) for at, node in enumerate(entries)}

    def _version(self, node: Node | None) -> None:
        if node is not None and node.value != "1":
            fields.expected(self._report, node, (TOP, "version"), 'the text "1"')

    def _default(self, node: Node | None, root: Node) -> Literal["allow", "deny"]:
        if node is not None:
            return fields.choice(self._report, node, (TOP, "default"), DEFAULTS) or "deny"
        message = '"default" is missing here; "allow" or "deny" is needed: what becomes of tools not listed'
        if not self._dialects["rules"]:
            self._report.error(root.start, (TOP, "default"), message)
            return "deny"
        message = '"default" is missing; this form takes it for "allow": tools not listed are allowed'
        self._report.warn(root.start, (TOP, "default"), message)
        return "allow"

    def _names(self, node: Node | None, pointer: Pointer) -> list[str]:
        names: list[str] = []
        for at, entry in enumerate(fields.items(self._report, node, pointer, "a list of names")):
            found = fields.name(self._report, entry, (pointer, at), "a name")
            if found in names:
                fields.expected(self._report, entry, (pointer, at), "each name once")
            elif found is not None:
                names.append(found)
        return names

    def _name_rule(self, node: Node | None, pointer: Pointer) -> NameRule | None:
        if node is None:
            return None
        if not isinstance(node.value, dict):
            what = "or an object with default, allow and deny"
            return self._plain_name_rule(node, pointer, what)
        keys = ("default", "allow", "deny")
        found = fields.members(self._report, node, pointer, "an object", keys, ("default",)) or {}
        default = fields.choice(self._report, found.get("default"), (pointer, "default"), DEFAULTS)
        allow = self._names(found.get("allow"), (pointer, "allow"))
        deny = self._names(found.get("deny"), (pointer, "deny"))
        return NameRule(default or "deny", tuple(allow), tuple(deny))

    def _plain_name_rule(self, node: Node, pointer: Pointer, what: str) -> NameRule | None:
        for option in DEFAULTS:
            if node.value == option:
                return NameRule(option)
        return fields.expected(self._report, node, pointer, f'"allow", "deny" {what}')

    def _approvals(self, node: Node | None) -> dict[str, int]:
        if node is None:
            return {}
        what = "an object with timeout and remember"
        found = fields.members(self._report, node, (TOP, "approvals"), what, ("timeout", "remember")) or {}
        read: dict[str, int] = {}
        for key in ("timeout", "remember"):
            length = fields.duration(self._report, found.get(key), ((TOP, "approvals"), key))
            if length is not None:
                read[key] = length
        return read

    def _redact(self, node: Node | None) -> tuple[str, ...]:
        entries = fields.items(self._report, node, (TOP, "redact"), "a list of paths")
        for at, entry in enumerate(entries):
            fields.path(self._report, entry, ((TOP, "redact"), at))
        return tuple(entry.value for entry in entries if isinstance(entry.value, str))

    def _all_tools(self, node: Node | None) -> ToolEntry:
        if node is None:
            return ToolEntry()
        found = fields.members(self._report, node, (TOP, "all_tools"), "an object with lists of rules", ALL_KEYS)
        return self._entry("", found or {}, (TOP, "all_tools"), Draft("_global"), node)

    def _tools(self, node: Node | None, all_tools: ToolEntry) -> tuple[Mapping[str, ToolEntry], ToolEntry]:
        if node is None:
            return MappingProxyType({}), all_tools
        if not isinstance(node.value, dict):
            fields.expected(self._report, node, (TOP, "tools"), "an object: tool names, each with its entry")
            return MappingProxyType({}), all_tools
        tools: dict[str, ToolEntry] = {}
        for tool, entry_node in node.value.items():
            entry = self._tool(tool, entry_node)
            if entry is not None and entry.name == "":
                all_tools = _joined(all_tools, entry)
            elif entry is not None:
                tools[tool] = entry
        return MappingProxyType(tools), all_tools

    def _tool(self, tool: str, node: Node) -> ToolEntry | None:
        pointer = ((TOP, "tools"), tool)
        if not tool.strip():
            self._report.error(node.key, pointer, "a tool's name must not be blank", len(tool) + 2)
        what = "an object with the rules of this tool; {} allows it"
        found = fields.members(self._report, node, pointer, what, TOOL_KEYS)
        if found is None:
            return None
        used = [form for form, keys in DIALECT_KEYS.items() if not keys.isdisjoint(found)]
        for form in used or ["v1"]:
            self._dialects[form].append(node)
        for_all = tool == "*" and bool(used)
        if for_all:
            self._no_extras(found, pointer)
        draft = Draft(owner_of(tool))
        entry = self._entry("" if for_all else tool, found, pointer, draft, node)
        if draft.hidden:
            self._hidden.append(tool)
        return entry

    def _no_extras(self, found: fields.Members, pointer: Pointer) -> None:
        for key in EXTRA_KEYS:
            if key in found:
                message = f'"*" of this form stands for all_tools, which has no {key}'
                self._report.error(found[key].key, (pointer, key), message, len(key) + 2)

    def _entry(self, tool: str, found: fields.Members, pointer: Pointer, draft: Draft, node: Node) -> ToolEntry:
        report, get = self._report, found.get
        draft.require.extend(read_rules(report, get("require"), (pointer, "require"), RULE_KEYS))
        draft.deny_if.extend(read_rules(report, get("deny_if"), (pointer, "deny_if"), RULE_KEYS))
        draft.approve_if.extend(read_rules(report, get("approve_if"), (pointer, "approve_if"), APPROVE_KEYS))
        draft.limits.extend(read_limits(report, get("limits"), (pointer, "limits")))
        if not SHORT.isdisjoint(found):
            read_short(report, found, pointer, draft)
        if "rules" in found:
            read_catalogue(report, found["rules"], (pointer, "rules"), draft)
        return ToolEntry(
            tool,
            tuple(draft.require),
            tuple(draft.deny_if),
            tuple(draft.approve_if),
            tuple(draft.limits),
            fields.choice(report, get("validate"), (pointer, "validate"), VALIDATE) or "off",
            fields.choice(report, get("mode"), (pointer, "mode"), MODES) or "enforce",
            fields.choice(report, get("category"), (pointer, "category"), CATEGORIES),
            fields.choice(report, get("risk"), (pointer, "risk"), RISKS),
            report.source.span(node.key, node.end),
        )

    def _dialect(self) -> str:
        used = [form for form, nodes in self._dialects.items() if nodes]
        for form in used:
            nodes = self._dialects[form]
            if form != "v1":
                self._remark(form, nodes)
        return used[0] if len(used) == 1 else "mixed" if used else "v1"

    def _remark(self, form: str, nodes: list[Node]) -> None:
        count = f"{len(nodes)} entries" if len(nodes) > 1 else "an entry"
        name = {"rules": "rules form", "short": "short form"}[form]
        message = f"{count} in the {name}, read as the v1 lists they amount to (policy convert writes those)"
        self._report.warn(nodes[0].key, (TOP, "tools"), message)


def _joined(first: ToolEntry, second: ToolEntry) -> ToolEntry:
    """all_tools with what the entry `*` adds to it."""
    return first._replace(
        require=first.require + second.require,
        deny_if=first.deny_if + second.deny_if,
        approve_if=first.approve_if + second.approve_if,
        limits=first.limits + second.limits,
        validate="schema" if "schema" in (first.validate, second.validate) else "off",
    )
