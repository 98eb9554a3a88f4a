"""The policy language once more, written from its specification as plainly as possible. Shares no code with the engine.

Policies are the JSON of version 1 with the extensions, calls are plain values, all charges ever made are kept in a
list, and every question about a counter goes through that list.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeGuard

Json = Any
Number = int | float | Fraction
ABSENT = object()
SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass
class Spent:
    """One charge."""

    name: str
    scope: tuple[str, Json]
    window_ms: int
    at_ms: int
    amount: Number


@dataclass
class Answer:
    verdict: str
    rule: str
    would_deny: str = ""
    spent: list[Spent] = field(default_factory=list[Spent])


@dataclass
class Asked:
    """One call: who, what, with which arguments, when."""

    grant: str
    client: str
    session: str
    tool: str
    args: dict[str, Json]
    at_ms: int
    approved: bool = False


class Denied(Exception):
    """`args` are the verdict and the rule."""


class Model:
    """`policy` may be changed at any time; `spent` is all that is remembered."""

    def __init__(self) -> None:
        self.policy: dict[str, Json] | None = None
        self.schemas: dict[str, Json] = {}
        self.spent: list[Spent] = []

    def ask(self, call: Asked) -> Answer:
        judge = Judge(self, call)
        try:
            spent = judge.evaluate()
        except Denied as denied:
            verdict, rule = denied.args
            return Answer(verdict, rule, judge.would_deny)
        self.spent += spent
        return Answer("allow", "", judge.would_deny, spent)

    def refund(self, spent: list[Spent]) -> None:
        self.spent = [each for each in self.spent if not any(each is gone for gone in spent)]

    def used(self, limit: dict[str, Json], scope: tuple[str, Json], now_ms: int) -> Number:
        """All that was charged since the window began; what lies in the future after a clock jumped back counts too."""
        length = window_ms(limit["window"])
        sliding = limit.get("algorithm") == "sliding"
        since = now_ms - length + 1 if sliding else now_ms // length * length
        return sum(
            each.amount
            for each in self.spent
            if each.name == limit["counter"]
            and each.window_ms == length
            and each.scope[0] == scope[0]
            and same_scope(each.scope[1], scope[1])
            and (each.at_ms if sliding else each.at_ms // length * length) >= since
        )


class Judge:
    """One call, from the first question to the last."""

    def __init__(self, model: Model, call: Asked) -> None:
        self.model, self.call, self.args = model, call, call.args
        self.would_deny = ""

    def finding(self, observe: bool, rule: str, verdict: str = "deny") -> None:
        if not observe:
            raise Denied(verdict, rule)
        self.would_deny = self.would_deny or rule

    def evaluate(self) -> list[Spent]:
        policy, tool = self.model.policy, self.call.tool
        if policy is None:
            raise Denied("deny", "(no policy)")
        watching = policy.get("mode") == "observe"
        tools: dict[str, Json] = policy.get("tools", {})
        hide: list[str] = policy.get("hide", [])
        if any(matches(pattern, tool) for pattern in hide):
            self.finding(watching, "(hidden)")
        key = tool if tool in tools else next((key for key in tools if "*" in key and matches(key, tool)), None)
        if key is None and policy["default"] == "allow":
            known = [name for name in [*hide, *tools] if "*" not in name and name != tool]
            if any(fold(name) == fold(tool) for name in known):
                self.finding(watching, "(look-alike)")
        if key is None and policy["default"] == "deny":
            self.finding(watching, "(default deny)")
        entries: list[tuple[str, dict[str, Json], bool]] = []
        if key is not None:
            observe = watching or tools[key].get("mode") == "observe"
            entries.append(("/tools/" + escape(key), tools[key], observe))
        entries.append(("/all_tools", policy.get("all_tools", {}), watching))
        self.rules(entries)
        return self.limits(entries)

    def rules(self, entries: list[tuple[str, dict[str, Json], bool]]) -> None:
        for rule_id, rule, observe in each_rule(entries, "require"):
            if not all(holds(each, self.args) for each in rule["conditions"]):
                self.finding(observe, rule_id)
        for rule_id, rule, observe in each_rule(entries, "deny_if"):
            odd = [each for each in rule["conditions"] if uncomparable(each, self.args)]
            if all(each in odd or holds(each, self.args) for each in rule["conditions"]):
                self.finding(observe, rule_id + ("#type" if odd else ""))
        for base, entry, observe in entries:
            if entry.get("validate") == "schema" and not fits(self.model.schemas.get(self.call.tool), self.args):
                self.finding(observe, base + "/validate")
        for rule_id, rule, observe in each_rule(entries, "approve_if"):
            if not self.call.approved and all(holds(each, self.args) for each in rule["conditions"]):
                self.finding(observe, rule_id, "hold")

    def limits(self, entries: list[tuple[str, dict[str, Json], bool]]) -> list[Spent]:
        spent: list[Spent] = []
        for base, entry, watching in entries:
            for limit in entry.get("limits", []):
                rule_id = f"{base}/limits/{escape(limit['counter'])}"
                observe = watching or limit.get("mode") == "observe"
                amount = self.amount(limit)
                if amount is None:
                    self.finding(observe, rule_id + "#amount")
                    continue
                scope = self.scope(limit.get("scope", "grant"))
                if self.model.used(limit, scope, self.call.at_ms) + amount > limit["max"]:
                    self.finding(observe, rule_id)
                new = Spent(limit["counter"], scope, window_ms(limit["window"]), self.call.at_ms, amount)
                shared = [
                    each
                    for each in spent
                    if (each.name, each.window_ms, each.scope[0]) == (new.name, new.window_ms, new.scope[0])
                    and same_scope(each.scope[1], new.scope[1])
                ]
                if not shared:
                    spent.append(new)
        return spent

    def amount(self, limit: dict[str, Json]) -> Number | None:
        if "increment_from" not in limit:
            return Fraction(str(limit.get("increment", 1)))
        value = find(limit["increment_from"], self.args)
        if not number(value) or not 0 <= value < math.inf:
            return None
        return Fraction(str(value))

    def scope(self, scope: str) -> tuple[str, Json]:
        if scope == "session":
            call = self.call
            return "session", ("s", call.session) if call.session else ("g", call.grant, call.client)
        if scope.startswith("args."):
            value = find(scope, self.args)
            return "args", None if value is ABSENT else value
        return scope, {"grant": self.call.grant, "client": self.call.client, "global": ""}[scope]


def each_rule(entries: list[tuple[str, dict[str, Json], bool]], stage: str) -> list[tuple[str, dict[str, Json], bool]]:
    found: list[tuple[str, dict[str, Json], bool]] = []
    for base, entry, observe in entries:
        for index, rule in enumerate(entry.get(stage, [])):
            name = ",".join(escape(f"{each['path']}-{each['op']}") for each in rule["conditions"])
            found.append((f"{base}/{stage}/{name or index}", rule, observe or rule.get("mode") == "observe"))
    return found


def find(path: str, args: dict[str, Json]) -> Json:
    here: Json = args
    for key in path.split(".")[1:]:
        if not is_object(here) or key not in here:
            return ABSENT
        here = here[key]
    return here


def is_object(value: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(value, dict)


def is_list(value: Json) -> TypeGuard[list[Json]]:
    return isinstance(value, list)


def number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def uncomparable(condition: dict[str, Json], args: dict[str, Json]) -> bool:
    value = find(condition["path"], args)
    return condition["op"] in ("lt", "lte", "gt", "gte") and value not in (ABSENT, None) and not number(value)


def holds(condition: dict[str, Json], args: dict[str, Json]) -> bool:
    value, op, wanted = find(condition["path"], args), condition["op"], condition["value"]
    if op == "exists":
        return (value is not ABSENT and value is not None) == wanted
    if value is ABSENT:
        return False
    if op in ("eq", "neq"):
        return eq(value, wanted) == (op == "eq")
    if op in ("in", "not_in"):
        return any(eq(value, each) for each in wanted) == (op == "in")
    if op == "contains":
        if isinstance(value, str):
            return isinstance(wanted, str) and wanted in value
        return is_list(value) and any(eq(each, wanted) for each in value)
    if op == "regex":
        return isinstance(value, str) and re.search(wanted.replace("$", r"\Z"), value, re.ASCII) is not None
    if not number(value) or not number(wanted):
        return False
    return {"lt": value < wanted, "lte": value <= wanted, "gt": value > wanted, "gte": value >= wanted}[op]


def eq(one: Json, other: Json) -> bool:
    if number(one) and number(other):
        return one == other
    if isinstance(one, str) or isinstance(other, str):
        return text(one) == text(other)
    return exactly(one, other)


def exactly(one: Json, other: Json) -> bool:
    """Equal as JSON values, with all numbers of one kind."""
    if is_object(one) and is_object(other):
        return set(one) == set(other) and all(exactly(one[key], other[key]) for key in one)
    if is_list(one) and is_list(other):
        return len(one) == len(other) and all(exactly(a, b) for a, b in zip(one, other, strict=True))
    return number(one) == number(other) and isinstance(one, bool) == isinstance(other, bool) and one == other


def text(value: Json) -> Json:
    """Null, lists and objects have no text that another could equal."""
    if isinstance(value, bool):
        return str(value).lower()
    if number(value):
        return str(int(value)) if value == int(value) else str(value)
    return value if isinstance(value, str) else ABSENT


def same_scope(one: Json, other: Json) -> bool:
    return one == other if isinstance(one, tuple) or isinstance(other, tuple) else eq(one, other)


def fits(schema: Json, args: dict[str, Json]) -> bool:
    """As much of JSON Schema as the tests use: properties that are integers or texts, required."""
    if schema is None or not set(schema["required"]) <= set(args) <= set(schema["properties"]):
        return False
    texts = {name for name in args if schema["properties"][name]["type"] == "string"}
    return all(isinstance(args[name], str) for name in texts) and all(
        number(args[name]) and args[name] == int(args[name]) for name in set(args) - texts
    )


def matches(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def fold(name: str) -> str:
    seen = unicodedata.normalize("NFKC", name).casefold()
    return "".join(each for each in seen if not each.isspace() and unicodedata.category(each) not in ("Cf", "Cc"))


def window_ms(window: Json) -> int:
    seconds = window if isinstance(window, int) else SECONDS.get(window) or int(window[:-1]) * UNITS[window[-1]]
    return seconds * 1_000


def escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
