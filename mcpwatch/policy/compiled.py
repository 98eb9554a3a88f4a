"""A policy made ready to decide: every rule a function with its id, every tool name one lookup away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from mcpwatch.policy.amounts import Exact, amount_of
from mcpwatch.policy.conditions import Args, Test, compile_path, compile_rule
from mcpwatch.policy.document import Limit, NameRule, PolicyDocument, Rule, Span, ToolEntry
from mcpwatch.policy.messages import condition_text, denied_by
from mcpwatch.policy.names import compile_pattern, fold, pointer_part
from mcpwatch.policy.paths import parse_path
from mcpwatch.policy.regex import compile_regex
from mcpwatch.policy.scopes import ScopeOf, compile_scope, scope_kind_of
from mcpwatch.policy.uris import has_dots, resolved
from mcpwatch.policy.values import Step

Matches = Callable[[str], bool]

LONGEST_CACHED_NAME: Final = 256
FEWEST_CACHED_NAMES: Final = 8_192


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its id. `text` are its conditions in words, `passed` the step of a rule that has nothing to say."""

    id: str
    rule: Rule
    test: Test
    observing: bool
    text: str
    message: str
    passed: Step


@dataclass(frozen=True, slots=True)
class CompiledLimit:
    """A limit with its id. `amount` says what a call counts, None when that is no amount."""

    id: str
    limit: Limit
    counter: str
    scope: str
    window: str
    window_ms: int
    max: int
    sliding: bool
    scope_of: ScopeOf
    amount: Callable[[Args], Exact | None]
    observing: bool
    passed: Step


@dataclass(frozen=True, slots=True)
class CompiledEntry:
    """What one key of `tools` or `all_tools` asks for. `validate` are the ids of the stage, with their mode."""

    require: tuple[CompiledRule, ...]
    deny_if: tuple[CompiledRule, ...]
    approve_if: tuple[CompiledRule, ...]
    limits: tuple[CompiledLimit, ...]
    validate: tuple[tuple[str, bool], ...]

    def reads(self) -> frozenset[str]:
        """The names of the arguments that are looked at; empty when it may be any of them."""
        if self.validate:
            return frozenset()
        rules = (*self.require, *self.deny_if, *self.approve_if)
        names = {condition.path[0] for each in rules for condition in each.rule.conditions}
        limits = [each.limit for each in self.limits]
        names |= {path[0] for limit in limits for path in (limit.scope_path, limit.increment_from) if path}
        return frozenset(names)

    def then(self, other: CompiledEntry) -> CompiledEntry:
        """Both together, in each list these first."""
        return CompiledEntry(
            self.require + other.require,
            self.deny_if + other.deny_if,
            self.approve_if + other.approve_if,
            self.limits + other.limits,
            self.validate + other.validate,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a policy says about one tool name: the tool's own rules before those of `all_tools`."""

    hidden: bool
    listed: bool
    look_alike: str
    rules: CompiledEntry
    visible: Step
    permitted: Step


@dataclass(frozen=True, slots=True)
class CompiledNames:
    """`resources` or `prompts`: deny beats allow beats default.

    A resource is denied in every spelling that a server may take for it; one that leads elsewhere by dot segments must
    be allowed there too.
    """

    default: bool
    allow: tuple[Matches, ...]
    deny: tuple[Matches, ...]

    def permits(self, name: str) -> bool:
        if any(matches(name) for matches in self.deny):
            return False
        return self.default or any(matches(name) for matches in self.allow)

    def permits_uri(self, uri: str) -> bool:
        there = resolved(uri)
        if not self.permits(uri) or any(matches(there) for matches in self.deny):
            return False
        return not has_dots(uri) or self.permits(there)


class CompiledPolicy:
    """One policy, immutable. `digest` is the sha-256 (hex) of its text.

    Entries are made ready when their tool is first called, so that a policy of thousands of tools is in force at once.
    """

    def __init__(self, document: PolicyDocument) -> None:
        self.document = document
        self.digest = document.digest
        self.observing = document.mode == "observe"
        self.allow_unlisted = document.default == "allow"
        self.resources = _names(document.resources, self.allow_unlisted)
        self.prompts = _names(document.prompts, self.allow_unlisted)
        self._redacted = frozenset(map(parse_path, document.redact))
        self._all_tools = _entry(document.all_tools, "/all_tools", self.observing, self._redacted)
        self._entries: dict[str, CompiledEntry] = {}
        self._patterns = _patterns(document.tools)
        self._hidden = frozenset(document.hide)
        self._hidden_patterns = _patterns(document.hide)
        self._folded = _folded((*document.hide, *document.tools) if self.allow_unlisted else ())
        self._plans: dict[str, Plan] = {}
        self._most_plans = max(FEWEST_CACHED_NAMES, 2 * len(document.tools))

    def plan(self, tool: str) -> Plan:
        """What bears on calls of `tool`; the answer is remembered."""
        found = self._plans.get(tool)
        if found is None:
            found = self._make_plan(tool)
            if len(tool) <= LONGEST_CACHED_NAME:
                if len(self._plans) >= self._most_plans:
                    self._plans.clear()
                self._plans[tool] = found
        return found

    @cached_property
    def _limits(self) -> dict[tuple[str, int, str], tuple[str | None, int]]:
        return _first_limits(self.document)

    def limit(self, counter: str, window_ms: int, kind: str) -> CompiledLimit | None:
        """The first limit in file order on counters of this name, window and kind of scope; `all_tools` come last."""
        found = self._limits.get((counter, window_ms, kind))
        if found is None:
            return None
        key, index = found
        return (self._all_tools if key is None else self._entry(key)).limits[index]

    def limits_on(self, counter: str) -> Iterator[CompiledLimit]:
        """One limit for each window and kind of scope that counters of this name have, in file order."""
        keys = [key for key in self._limits if key[0] == counter]
        return (limit for key in keys if (limit := self.limit(*key)))

    def sliding(self) -> Iterator[tuple[str, int]]:
        """Name and window (ms) of the counters that sliding limits use."""
        entries = (*self.document.tools.values(), self.document.all_tools)
        return (
            (limit.counter, limit.window.ms)
            for entry in entries
            for limit in entry.limits
            if limit.algorithm == "sliding"
        )

    def span(self, rule_id: str) -> Span | None:
        """Where the rule or limit with this id stands in the text; `#type` or `#amount` behind it is no difference."""
        wanted = rule_id.partition("#")[0]
        return next((span for found, span in self._spans() if found == wanted), None)

    def hidden_at(self, tool: str) -> Span | None:
        """Where the text hides `tool`, which it does: the entry of `hide`, or the tool's own in the short form."""
        at, name = next(pair for pair in enumerate(self.document.hide) if compile_pattern(pair[1])(tool))
        own = self.document.tools.get(name)
        return self.document.places.get(f"/hide/{at}", None if own is None else own.span)

    def _spans(self) -> Iterator[tuple[str, Span]]:
        for key, written in self.document.tools.items():
            yield f"/tools/{pointer_part(key)}/validate", written.span
        yield "/all_tools/validate", self.document.places.get("/all_tools", self.document.all_tools.span)
        for entry in (*map(self._entry, self.document.tools), self._all_tools):
            for rule in (*entry.require, *entry.deny_if, *entry.approve_if):
                yield rule.id, rule.rule.span
            for limit in entry.limits:
                yield limit.id, limit.limit.span

    def _make_plan(self, tool: str) -> Plan:
        key = self._key(tool)
        hidden = tool in self._hidden or any(matches(tool) for _, matches in self._hidden_patterns)
        look_alike = self._folded.get(fold(tool), "") if self.allow_unlisted and key is None else ""
        return Plan(
            hidden,
            key is not None,
            "" if look_alike == tool else look_alike,
            self._all_tools if key is None else self._entry(key),
            Step("hide", "", "pass", "not hidden"),
            Step("default", "", "pass", _why_permitted(key, tool)),
        )

    def _key(self, tool: str) -> str | None:
        """The key of `tools` that speaks for `tool`: itself, else the first pattern in file order."""
        if tool in self.document.tools:
            return tool
        return next((key for key, matches in self._patterns if matches(tool)), None)

    def _entry(self, key: str) -> CompiledEntry:
        """The rules of one key, those of `all_tools` behind them."""
        found = self._entries.get(key)
        if found is None:
            pointer = "/tools/" + pointer_part(key)
            own = _entry(self.document.tools[key], pointer, self.observing, self._redacted)
            found = self._entries[key] = own.then(self._all_tools)
        return found


def compile_policy(document: PolicyDocument) -> CompiledPolicy:
    """Make `document` ready to decide. Raises ValueError on a regex that the reader would have refused."""
    for entry in (*document.tools.values(), document.all_tools):
        for rule in (*entry.require, *entry.deny_if, *entry.approve_if):
            for condition in rule.conditions:
                if condition.op == "regex":
                    compile_regex(str(condition.value))
    return CompiledPolicy(document)


def _folded(names: Iterable[str]) -> dict[str, str]:
    return {fold(name): name for name in names if "*" not in name}


def _first_limits(document: PolicyDocument) -> dict[tuple[str, int, str], tuple[str | None, int]]:
    """For each counter name, window (ms) and kind of scope where its first limit is; the key None is `all_tools`."""
    first: dict[tuple[str, int, str], tuple[str | None, int]] = {}
    entries = (*document.tools.items(), (None, document.all_tools))
    for key, entry in entries:
        for index, limit in enumerate(entry.limits):
            first.setdefault((limit.counter, limit.window.ms, scope_kind_of(limit)), (key, index))
    return first


def _why_permitted(key: str | None, tool: str) -> str:
    if key is None:
        return "not listed, default allow"
    return "listed" if key == tool else f'listed by the pattern "{key}"'


def _patterns(names: Iterable[str]) -> tuple[tuple[str, Matches], ...]:
    return tuple((name, compile_pattern(name)) for name in names if "*" in name)


def _names(rule: NameRule | None, allow_unlisted: bool) -> CompiledNames:
    if rule is None:
        return CompiledNames(allow_unlisted, (), ())
    return CompiledNames(
        rule.default == "allow", tuple(map(compile_pattern, rule.allow)), tuple(map(compile_pattern, rule.deny))
    )


def _entry(entry: ToolEntry, pointer: str, observing: bool, redacted: frozenset[tuple[str, ...]]) -> CompiledEntry:
    observing = observing or entry.mode == "observe"
    return CompiledEntry(
        _rules(entry.require, "require", pointer, observing),
        _rules(entry.deny_if, "deny_if", pointer, observing),
        _rules(entry.approve_if, "approve_if", pointer, observing),
        tuple(_limit(limit, pointer, observing, redacted) for limit in entry.limits),
        ((pointer + "/validate", observing),) if entry.validate == "schema" else (),
    )


def _rules(rules: tuple[Rule, ...], stage: str, pointer: str, observing: bool) -> tuple[CompiledRule, ...]:
    return tuple(_rule(rule, index, stage, pointer, observing) for index, rule in enumerate(rules))


def _rule(rule: Rule, index: int, stage: str, pointer: str, observing: bool) -> CompiledRule:
    rule_id = f"{pointer}/{stage}/{rule_name(rule, index)}"
    text = " and ".join(map(condition_text, rule.conditions)) or "always"
    return CompiledRule(
        rule_id,
        rule,
        compile_rule(rule),
        observing or rule.mode == "observe",
        text,
        denied_by(rule_id) if rule.on_deny is None else rule.on_deny,
        Step(stage, rule_id, "pass", f"{text}: {'holds' if stage == 'require' else 'does not hold'}"),
    )


def rule_name(rule: Rule, index: int) -> str:
    """The last part of a rule's id: its conditions, or without any its place in the list."""
    return ",".join(pointer_part(f"{each.path_text}-{each.op}") for each in rule.conditions) or str(index)


def _limit(limit: Limit, pointer: str, observing: bool, redacted: frozenset[tuple[str, ...]]) -> CompiledLimit:
    limit_id = f"{pointer}/limits/{pointer_part(limit.counter)}"
    return CompiledLimit(
        limit_id,
        limit,
        limit.counter,
        limit.scope,
        limit.window.text,
        limit.window.ms,
        limit.max,
        limit.algorithm == "sliding",
        compile_scope(limit, redacted),
        _amount(limit),
        observing or limit.mode == "observe",
        Step("limits", limit_id, "pass", f"within {limit.max} per {limit.window.text} per {limit.scope}"),
    )


def _amount(limit: Limit) -> Callable[[Args], Exact | None]:
    if limit.increment_from is None:
        constant = amount_of(limit.increment)
        return lambda args: constant
    get = compile_path(limit.increment_from)
    return lambda args: amount_of(get(args))
