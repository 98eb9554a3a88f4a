"""The short form and the rules form of a tool's entry, as the v1 lists they amount to.

Source: PolicyLayer's documentation (policy.json, "Writing policies") and PolicyLayer/Intercept, POLICY.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from mcpwatch.policy import fields
from mcpwatch.policy.document import Condition, Limit, Mode, Rule, Span, Window
from mcpwatch.policy.entries import MODES, read_condition
from mcpwatch.policy.source import Broken, Node, Pointer, Report
from mcpwatch.policy.windows import window_of, window_word

SHORT_KEYS: Final = ("action", "reason", "rate_limit")
ACTIONS: Final = ("allow", "deny", "hide", "require_approval")
RULE_ACTIONS: Final = (*ACTIONS, "evaluate")
RULES_KEYS: Final = (
    "name",
    "action",
    "conditions",
    "rate_limit",
    "state",
    "on_deny",
    "reason",
    "approval_timeout",
    "mode",
)
STATE_KEYS: Final = ("counter", "window", "increment", "increment_from")
STATE_CONDITION_KEYS: Final = ("path", "op", "value")
_RATE: Final = re.compile(r"(0|[1-9][0-9]{0,17})/(.+)", re.ASCII)


@dataclass(slots=True)
class Draft:
    """The v1 lists of one entry while they are gathered. `owner` begins the names of counters.

    `counted`: counter and window length (ms) of every limit that came from `rules`.
    """

    owner: str
    require: list[Rule] = field(default_factory=list[Rule])
    deny_if: list[Rule] = field(default_factory=list[Rule])
    approve_if: list[Rule] = field(default_factory=list[Rule])
    limits: list[Limit] = field(default_factory=list[Limit])
    hidden: bool = False
    counted: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])


def owner_of(tool: str) -> str:
    return "_global" if tool == "*" else tool


def read_short(report: Report, found: fields.Members, pointer: Pointer, draft: Draft) -> None:
    """`action`, `reason` and `rate_limit` of a tool's entry."""
    action = fields.choice(report, found.get("action"), (pointer, "action"), ACTIONS)
    reason = fields.text(report, found.get("reason"), (pointer, "reason"))
    rate = found.get("rate_limit")
    if "reason" in found and "action" not in found and rate is None:
        report.error(found["reason"].key, (pointer, "reason"), "a reason needs an action or a rate_limit beside it")
    if action is not None:
        span = _member_span(report, found["action"])
        _act(draft, action, Rule((), reason, span=span))
    limit = None if rate is None else _rate_limit(report, rate, (pointer, "rate_limit"), draft)
    if limit is not None:
        draft.limits.append(limit._replace(on_deny=reason if action in (None, "allow") else None))


def _act(draft: Draft, action: str, rule: Rule) -> None:
    if action == "deny":
        draft.deny_if.append(rule)
    elif action == "require_approval":
        draft.approve_if.append(rule)
    elif action == "hide":
        draft.hidden = True


def _member_span(report: Report, node: Node) -> Span:
    return report.source.span(node.key, node.end)


def _rate_limit(report: Report, node: Node, pointer: Pointer, draft: Draft) -> Limit | None:
    read = _rate(report, node, pointer)
    if read is None:
        return None
    window, most = read
    return Limit(f"{draft.owner}._rate_{window_word(window)}", window, most, span=_member_span(report, node))


def _rate(report: Report, node: Node, pointer: Pointer) -> tuple[Window, int] | None:
    if isinstance(node.value, str):
        found = _RATE.fullmatch(node.value)
        window = window_of(found[2]) if found else None
        if found and window:
            return window, int(found[1])
    if not isinstance(node.value, dict):
        what = 'a rate limit: "10/minute" or {"max": 10, "window": 60}'
        return fields.expected(report, node, pointer, what)
    found = fields.members(report, node, pointer, "a rate limit", ("max", "window"), ("max", "window")) or {}
    most = fields.whole(report, found.get("max"), (pointer, "max"))
    window = fields.window(report, found.get("window"), (pointer, "window"))
    return None if most is None or window is None else (window, most)


def read_catalogue(report: Report, node: Node, pointer: Pointer, draft: Draft) -> None:
    """`rules` of a tool's entry: what the catalogue publishes and what Intercept reads."""
    for at, entry in enumerate(fields.items(report, node, pointer, "a list of rules")):
        rule = (pointer, at)
        found = fields.members(report, entry, rule, "a rule: an object", RULES_KEYS)
        if found is not None:
            _CatalogueRule(report, entry, rule, found, draft).read()


class _CatalogueRule:
    """One entry of `rules`. It is several things at once; each part goes to the v1 list it amounts to."""

    def __init__(self, report: Report, node: Node, pointer: Pointer, found: fields.Members, draft: Draft) -> None:
        self._report = report
        self._node = node
        self._pointer = pointer
        self._found = found
        self._draft = draft
        get = found.get
        self._action = fields.choice(report, get("action"), (pointer, "action"), RULE_ACTIONS)
        self._name = fields.name(report, get("name"), (pointer, "name"), "a name")
        self._mode: Mode = fields.choice(report, get("mode"), (pointer, "mode"), MODES) or "enforce"
        self._on_deny = self._message()
        self._timeout = fields.duration(report, get("approval_timeout"), (pointer, "approval_timeout"))

    def read(self) -> None:
        self._check_shape()
        conditions, states = self._conditions()
        if "rate_limit" in self._found:
            rate = self._found["rate_limit"]
            self._limit("rate_limit", _rate_limit(self._report, rate, (self._pointer, "rate_limit"), self._draft))
        self._state(states)
        span = self._report.source.span(self._node.start, self._node.end)
        rule = Rule(conditions, self._on_deny, self._name, self._mode, self._timeout, span)
        if self._action in ("deny", "require_approval", "hide"):
            _act(self._draft, self._action, rule)
        elif conditions:
            self._draft.require.append(rule)

    def _limit(self, key: str, limit: Limit | None) -> None:
        """Two rules of one tool on one counter are a slip: only the smaller limit would ever decide."""
        if limit is None:
            return
        counter = (limit.counter, limit.window.ms)
        if counter in self._draft.counted:
            self._fault(key, f'a second rule on the counter "{limit.counter}"')
        self._draft.counted.add(counter)
        told = limit._replace(on_deny=self._on_deny, mode=self._mode, name=self._name)
        self._draft.limits.append(told)

    def _message(self) -> str | None:
        on_deny, reason = self._found.get("on_deny"), self._found.get("reason")
        if on_deny is not None and reason is not None:
            self._fault("reason", "reason says the same as on_deny; keep one of them")
        text = fields.text(self._report, on_deny, (self._pointer, "on_deny"))
        return text or fields.text(self._report, reason, (self._pointer, "reason"))

    def _fault(self, key: str, message: str) -> None:
        self._report.error(self._found[key].key, (self._pointer, key), message, len(key) + 2)

    def _check_shape(self) -> None:
        """What cannot stand together, and rules that would do nothing."""
        found = self._found
        action = found["action"].value if "action" in found else "evaluate"
        fixed = action in ("deny", "hide")
        if fixed and "conditions" in found and found["conditions"].value != []:
            self._fault("conditions", f'a rule with the action "{action}" has no conditions')
        for key in ("rate_limit", "state"):
            if fixed and key in found:
                self._fault(key, f'a rule with the action "{action}" has no {key}')
        for key in ("conditions", "state"):
            if "rate_limit" in found and key in found:
                self._fault(key, f"{key} cannot stand beside rate_limit; write two rules")
        if "approval_timeout" in found and action != "require_approval":
            self._fault("approval_timeout", 'an approval_timeout needs the action "require_approval"')
        if action == "evaluate" and not self._has_effect():
            message = "a rule that does nothing; it needs conditions, a rate_limit or an action"
            self._report.error(self._node.start, self._pointer, message)

    def _has_effect(self) -> bool:
        conditions = self._found.get("conditions")
        return "rate_limit" in self._found or (conditions is not None and conditions.value != [])

    def _conditions(self) -> tuple[tuple[Condition, ...], list[tuple[Node, Pointer]]]:
        """Conditions on arguments, and those on the rule's own counter."""
        pointer = (self._pointer, "conditions")
        arguments: list[Condition] = []
        states: list[tuple[Node, Pointer]] = []
        entries = fields.items(self._report, self._found.get("conditions"), pointer, "a list of conditions")
        for at, entry in enumerate(entries):
            if _is_state(entry):
                states.append((entry, (pointer, at)))
                continue
            condition = read_condition(self._report, entry, (pointer, at))
            if condition is not None:
                arguments.append(condition)
        return tuple(arguments), states

    def _state(self, conditions: list[tuple[Node, Pointer]]) -> None:
        """A state block with its condition is a limit on the counter TOOL.COUNTER."""
        for node, pointer in conditions[1:] if "state" in self._found else conditions:
            message = "a condition on a counter needs a state block of its own in the same rule"
            self._report.error(node.start, pointer, message, node.end - node.start)
        if "state" not in self._found:
            return
        pointer = (self._pointer, "state")
        what = "a state block: an object with counter and window"
        needed = ("counter", "window")
        found = fields.members(self._report, self._found["state"], pointer, what, STATE_KEYS, needed)
        if found is None:
            return
        counter = fields.name(self._report, found.get("counter"), (pointer, "counter"), "a counter's name")
        window = fields.window(self._report, found.get("window"), (pointer, "window"))
        increment = fields.amount(self._report, found.get("increment"), (pointer, "increment"))
        source = fields.path(self._report, found.get("increment_from"), (pointer, "increment_from"))
        if not conditions:
            message = "a state block needs a condition on its counter, lt or lte, in the same rule"
            self._report.error(self._found["state"].key, pointer, message)
        elif counter is not None and window is not None:
            most = self._most(*conditions[0], counter)
            limit = Limit(
                f"{self._draft.owner}.{counter}",
                window,
                most or 0,
                increment=1 if increment is None else increment,
                increment_from=source,
                span=_member_span(self._report, self._found["state"]),
            )
            self._limit("state", limit)

    def _most(self, node: Node, pointer: Pointer, counter: str) -> int | None:
        """The limit that a condition on a counter sets: `lte 10` is 10, `lt 10` is 9."""
        what = "a condition"
        keys = STATE_CONDITION_KEYS
        found = fields.members(self._report, node, pointer, what, keys, keys) or {}
        own = f"state.{self._draft.owner}.{counter}"
        path = found.get("path")
        if path is not None and path.value != own:
            fields.expected(self._report, path, (pointer, "path"), f'the counter of this rule, "{own}"')
        op = fields.choice(self._report, found.get("op"), (pointer, "op"), ("lt", "lte"))
        value = found.get("value")
        most = fields.whole(self._report, value, (pointer, "value"), 1 if op == "lt" else 0)
        return most - 1 if most is not None and op == "lt" else most


def _is_state(node: Node) -> bool:
    path = node.value.get("path") if isinstance(node.value, dict) else None
    if path is None or isinstance(path.value, Broken):
        return False
    return isinstance(path.value, str) and (path.value == "state" or path.value.startswith("state."))
