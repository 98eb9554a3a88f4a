"""One policy in JSON as text, tree and document together: what is written, what it means, how to change it."""

from __future__ import annotations

from typing import Any, cast

from mcpwatch.policy.document import PolicyDocument, ToolEntry
from mcpwatch.policy.names import compile_pattern
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.source import Node
from mcpwatch.policy.textedit import JsonText, items, member
from mcpwatch.policy.values import PolicyError
from mcpwatch.policy.writer import entry_json, rule_json


class PolicyText:
    """`tool` is a tool's name or a key of `tools`; "" stands for all_tools.

    Raises ValueError, one sentence for the operator, for a text that is not JSON or cannot be put in force.
    """

    def __init__(self, text: str) -> None:
        if text.lstrip()[:1] != "{":
            raise ValueError("quick edits need a policy in JSON; `mcpwatch policy convert` writes one")
        self.document = _read(text)
        self.json = JsonText(text)
        self.root = self.json.root

    def done(self, text: str) -> str:
        """The new text, when it can be put in force."""
        _read(text)
        return text

    # what is written

    def node(self, tool: str) -> Node | None:
        """The entry of a tool as it is written."""
        return member(member(self.root, "tools"), tool) if tool else member(self.root, "all_tools")

    def action(self, tool: str) -> object:
        """The `action` of the short form, None when there is none."""
        node = member(self.node(tool), "action")
        return None if node is None else node.value

    # what it means

    def pattern(self, tool: str) -> str | None:
        """The key with `*` that covers a tool which has no key of its own."""
        if tool == "" or self.node(tool) is not None:
            return None
        return next((key for key in self.document.tools if "*" in key and compile_pattern(key)(tool)), None)

    def entry(self, tool: str) -> ToolEntry:
        """The rules that bear on a tool, without those of all_tools."""
        if tool == "":
            return self.document.all_tools
        return self.document.tools.get(self.pattern(tool) or tool, ToolEntry())

    def denied_by_default(self, tool: str) -> bool:
        listed = tool == "" or self.node(tool) is not None or self.pattern(tool) is not None
        return not listed and self.document.default == "deny"

    def hidden_by(self, tool: str) -> str | None:
        """The entry of `hide`, or the tool itself, that hides it."""
        return next((name for name in self.document.hide if compile_pattern(name)(tool)), None)

    # changes

    def extended(self, tool: str, section: str, value: dict[str, Any]) -> str:
        """The entry with one more element in one of its lists."""
        node = self.node(tool)
        if node is None:
            own = entry_json(self.entry(tool)) if tool else {}
            return self.listed(tool, {**own, section: [*own.get(section, ()), value]})
        elements = member(node, section)
        if elements is not None:
            return self.json.append(elements, value)
        return self.json.add_member(node, section, [value])

    def listed(self, tool: str, entry: dict[str, Any]) -> str:
        """The policy with an entry of its own for a tool, or with all_tools."""
        if tool == "":
            return self.json.add_member(self.root, "all_tools", entry, before="tools")
        tools = member(self.root, "tools")
        if tools is None:
            return self.json.add_member(self.root, "tools", {tool: entry})
        return self.json.add_member(tools, tool, entry)

    def acting(self, tool: str, action: str) -> str:
        """The entry with another word for its `action`."""
        return self.json.replace(cast(Node, member(self.node(tool), "action")), action)

    def undenied(self, tool: str) -> str:
        """Without one of the denials that have no conditions; there is one."""
        node = self.node(tool)
        if node is None:
            own = entry_json(self.entry(tool))
            kept = [rule_json(rule) for rule in self.entry(tool).deny_if if not rule.always]
            return self.listed(tool, {**own, "deny_if": kept})
        if self.action(tool) == "deny":
            return self.acting(tool, "allow")
        key, at = next(
            (key, at) for key in ("deny_if", "rules") for at, rule in enumerate(items(node, key)) if _denies(key, rule)
        )
        return self.json.remove(cast(Node, member(node, key)), at)


def _denies(key: str, rule: Node) -> bool:
    """Whether this rule of `deny_if` or `rules` denies every call."""
    action, mode = member(rule, "action"), member(rule, "mode")
    if items(rule, "conditions") or (mode is not None and mode.value == "observe"):
        return False
    return key == "deny_if" or (action is not None and action.value == "deny")


def _read(text: str) -> PolicyDocument:
    try:
        return read_policy(text.encode("utf-8", "surrogatepass"))
    except PolicyError as error:
        place = error.problems[0]
        raise ValueError(f"line {place.line}: {place.message}") from None
