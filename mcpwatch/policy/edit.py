"""The console's quick keys as changes of the policy text: the least text that means what the operator asked for.

All functions are pure: text in, whole new text out, everything else as its author wrote it. They take policies in
JSON that can be put in force, and raise ValueError, one sentence for the operator, when the change cannot be made.
`tool` is a tool's name or a key of `tools`; "" stands for all_tools. A text that already means it comes back as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import Any, Final, NamedTuple

from mcpwatch.policy.dialects import SHORT_KEYS, owner_of
from mcpwatch.policy.document import PolicyDocument, Rule, ToolEntry
from mcpwatch.policy.names import compile_pattern
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.source import Node
from mcpwatch.policy.textedit import JsonText
from mcpwatch.policy.values import PolicyError
from mcpwatch.policy.windows import window_of, window_word
from mcpwatch.policy.writer import entry_json, rule_json

_ALWAYS: Final[dict[str, Any]] = {"conditions": []}


def set_limit(text: str, tool: str, which: int | str, new_max: int) -> str:
    """Another `max` for one limit: `which` is its counter, or its place among the limits of the entry."""
    edit = _Edit(text)
    places = list(edit.limit_places(tool))
    wanted = [place for at, place in enumerate(places) if which in (at, place.counter)]
    if not wanted:
        raise ValueError(f"{_titled(tool)} has no limit {which}")
    return edit.done(wanted[0].written(edit.json, new_max))


def add_limit(text: str, tool: str, counter: str, window: str | int, most: int, scope: str = "grant") -> str:
    """One more limit at the end of the tool's own. Refused where that would allow a tool that is denied now."""
    limit = {"counter": counter, "window": window, "max": most, "scope": scope}
    edit = _Edit(text)
    if edit.denied_by_default(tool):
        raise ValueError(f"{tool} is not listed and default is deny; a limit alone would allow it")
    return edit.done(edit.extended(tool, "limits", limit))


def add_rule(text: str, tool: str, section: str, rule: dict[str, Any]) -> str:
    """One more rule at the end of `require`, `deny_if` or `approve_if` (`section`)."""
    edit = _Edit(text)
    if section == "require" and edit.denied_by_default(tool):
        raise ValueError(f"{tool} is not listed and default is deny; a condition alone would allow it")
    return edit.done(edit.extended(tool, section, rule))


def deny_tool(text: str, tool: str, reason: str | None = None) -> str:
    """Every call of the tool is denied."""
    edit = _Edit(text)
    entry = edit.entry(tool)
    if edit.hidden_by(tool) or edit.denied_by_default(tool) or any(map(_always, entry.deny_if)):
        return text
    if edit.action(tool) in ("allow", "require_approval"):
        return edit.done(edit.json.replace(edit.member(tool, "action"), "deny"))
    rule = _ALWAYS if reason is None else {**_ALWAYS, "on_deny": reason}
    return edit.done(edit.extended(tool, "deny_if", rule))


def allow_tool(text: str, tool: str) -> str:
    """The tool is listed, not hidden and not denied altogether; its conditions, limits and approvals stay."""
    edit = _Edit(unhide_tool(text, tool))
    if any(map(_always, edit.document.all_tools.deny_if)):
        raise ValueError("all_tools denies every call; change that by hand")
    while any(map(_always, edit.entry(tool).deny_if)):
        edit = _Edit(edit.undenied(tool))
    if edit.denied_by_default(tool):
        return edit.done(edit.listed(tool, {}))
    return edit.done(edit.json.text)


def hide_tool(text: str, tool: str) -> str:
    """The tool is gone from the list of tools and refused when called."""
    edit = _Edit(text)
    if edit.hidden_by(tool):
        return text
    found = edit.member_of(edit.json.root, "hide")
    if found is not None:
        return edit.done(edit.json.append(found, tool))
    return edit.done(edit.json.add_member(edit.json.root, "hide", [tool], before="tools"))


def unhide_tool(text: str, tool: str) -> str:
    """The tool is hidden no more; whether it is allowed is another matter."""
    edit = _Edit(text)
    names = edit.names_of("hide")
    if tool in names:
        return unhide_tool(edit.done(edit.json.remove(edit.found("hide"), names.index(tool))), tool)
    if edit.action(tool) == "hide":
        return unhide_tool(edit.done(edit.json.replace(edit.member(tool, "action"), "allow")), tool)
    hidden_by = edit.hidden_by(tool)
    if hidden_by:
        raise ValueError(f'"{hidden_by}" hides {tool} too; change that by hand')
    return text


def require_approval(text: str, tool: str, reason: str | None = None) -> str:
    """Every call of the tool is held for an operator, as far as nothing denies it."""
    edit = _Edit(text)
    entry = edit.entry(tool)
    if edit.hidden_by(tool) or any(map(_always, (*entry.deny_if, *edit.document.all_tools.deny_if))):
        raise ValueError(f"{tool} is denied altogether; allow it first")
    if any(map(_always, entry.approve_if)):
        return text
    if edit.action(tool) == "allow":
        return edit.done(edit.json.replace(edit.member(tool, "action"), "require_approval"))
    rule = _ALWAYS if reason is None else {**_ALWAYS, "on_deny": reason}
    return edit.done(edit.extended(tool, "approve_if", rule))


def diff(old: str, new: str) -> list[str]:
    """The change as unified diff lines without line ends; [] when nothing changes."""
    return list(unified_diff(old.splitlines(), new.splitlines(), "now", "then", lineterm=""))


def _always(rule: Rule) -> bool:
    return not rule.conditions and rule.mode == "enforce"


def _titled(tool: str) -> str:
    return tool or "all_tools"


class _LimitPlace(NamedTuple):
    """Where the maximum of one limit is written, and how."""

    counter: str
    node: Node
    before: str = ""
    after: str = ""
    more: int = 0

    def written(self, json: JsonText, most: int) -> str:
        new = f"{self.before}{most + self.more}{self.after}"
        return json.replace(self.node, new if self.after else most + self.more)


class _Edit:
    """One policy text as text, tree and document together."""

    def __init__(self, text: str) -> None:
        if text.lstrip()[:1] != "{":
            raise ValueError("quick edits need a policy in JSON; `mcpwatch policy convert` writes one")
        self.json = JsonText(text)
        self.document = _read(text)

    def done(self, text: str) -> str:
        """The new text, when it can be put in force."""
        _read(text)
        return text

    # what is written

    def member_of(self, node: Node | None, key: str) -> Node | None:
        return node.value.get(key) if node is not None and isinstance(node.value, dict) else None

    def found(self, key: str) -> Node:
        node = self.member_of(self.json.root, key)
        assert node is not None
        return node

    def names_of(self, key: str) -> list[object]:
        node = self.member_of(self.json.root, key)
        return [item.value for item in node.value] if node is not None and isinstance(node.value, list) else []

    def node(self, tool: str) -> Node | None:
        if tool == "":
            return self.member_of(self.json.root, "all_tools")
        return self.member_of(self.member_of(self.json.root, "tools"), tool)

    def member(self, tool: str, key: str) -> Node:
        node = self.member_of(self.node(tool), key)
        assert node is not None
        return node

    def action(self, tool: str) -> object:
        node = self.member_of(self.node(tool), "action") if tool else None
        return node.value if node is not None else None

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
        section_node = self.member_of(node, section)
        if section_node is not None:
            return self.json.append(section_node, value)
        return self.json.add_member(node, section, [value])

    def listed(self, tool: str, entry: dict[str, Any]) -> str:
        """The policy with an entry of its own for a tool, or with all_tools."""
        if tool == "":
            return self.json.add_member(self.json.root, "all_tools", entry, before="tools")
        tools = self.member_of(self.json.root, "tools")
        if tools is None:
            return self.json.add_member(self.json.root, "tools", {tool: entry})
        return self.json.add_member(tools, tool, entry)

    def undenied(self, tool: str) -> str:
        """Without one of the denials that have no conditions."""
        node = self.node(tool)
        if node is None:
            own = entry_json(self.entry(tool))
            kept = [rule_json(rule) for rule in self.entry(tool).deny_if if not _always(rule)]
            return self.done(self.listed(tool, {**own, "deny_if": kept}))
        if self.action(tool) == "deny":
            return self.done(self.json.replace(self.member(tool, "action"), "allow"))
        for key in ("deny_if", "rules"):
            rules = self.member_of(node, key)
            at = self._first_denial(key, rules)
            if rules is not None and at is not None:
                return self.done(self.json.remove(rules, at))
        raise ValueError(f"{tool} is denied in a way that must be changed by hand")

    def _first_denial(self, key: str, rules: Node | None) -> int | None:
        entries = rules.value if rules is not None and isinstance(rules.value, list) else []
        for at, rule in enumerate(entries):
            conditions = self.member_of(rule, "conditions")
            action = self.member_of(rule, "action")
            mode = self.member_of(rule, "mode")
            denies = key == "deny_if" or (action is not None and action.value == "deny")
            if denies and (conditions is None or conditions.value == []) and (mode is None or mode.value == "enforce"):
                return at
        return None

    def limit_places(self, tool: str) -> Iterator[_LimitPlace]:
        """The limits of an entry in the order the document has them."""
        yield from self._places_of(self.node(tool), owner_of(tool))
        star = self.member_of(self.member_of(self.json.root, "tools"), "*")
        if tool == "" and any(self.member_of(star, key) is not None for key in (*SHORT_KEYS, "rules")):
            yield from self._places_of(star, owner_of("*"))

    def _places_of(self, node: Node | None, owner: str) -> Iterator[_LimitPlace]:
        for limit in self._items(node, "limits"):
            counter, most = self.member_of(limit, "counter"), self.member_of(limit, "max")
            assert counter is not None
            assert most is not None
            yield _LimitPlace(str(counter.value), most)
        yield from self._rate_place(node, owner)
        for rule in self._items(node, "rules"):
            yield from self._rate_place(rule, owner)
            yield from self._state_place(rule, owner)

    def _items(self, node: Node | None, key: str) -> list[Node]:
        found = self.member_of(node, key)
        return found.value if found is not None and isinstance(found.value, list) else []

    def _rate_place(self, node: Node | None, owner: str) -> Iterator[_LimitPlace]:
        rate = self.member_of(node, "rate_limit")
        if rate is None:
            return
        if isinstance(rate.value, str):
            _, _, word = rate.value.partition("/")
            yield _LimitPlace(_rate_counter(owner, word), rate, "", f"/{word}")
        else:
            most, window = self.member_of(rate, "max"), self.member_of(rate, "window")
            assert most is not None
            assert window is not None
            yield _LimitPlace(_rate_counter(owner, window.value), most)

    def _state_place(self, rule: Node, owner: str) -> Iterator[_LimitPlace]:
        counter = self.member_of(self.member_of(rule, "state"), "counter")
        if counter is None:
            return
        name = f"{owner}.{counter.value}"
        for condition in self._items(rule, "conditions"):
            path, op = self.member_of(condition, "path"), self.member_of(condition, "op")
            most = self.member_of(condition, "value")
            if path is not None and path.value == f"state.{name}" and op is not None and most is not None:
                yield _LimitPlace(name, most, more=1 if op.value == "lt" else 0)


def _rate_counter(owner: str, window: object) -> str:
    found = window_of(window)
    assert found is not None
    return f"{owner}._rate_{window_word(found)}"


def _read(text: str) -> PolicyDocument:
    try:
        return read_policy(text.encode("utf-8", "surrogatepass"))
    except PolicyError as error:
        place = error.problems[0]
        raise ValueError(f"line {place.line}: {place.message}") from None
