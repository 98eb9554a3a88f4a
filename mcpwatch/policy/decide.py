"""Why a call is allowed, denied or held: the whole order of evaluation, from top to bottom of this page.

The first finding decides. A rule that only observes notes what it found and the call goes on. Nothing is changed here:
the decision says what is to be charged, and whoever asked charges it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from mcpwatch.policy.amounts import Exact, plain
from mcpwatch.policy.compiled import CompiledLimit, CompiledPolicy, CompiledRule, Plan
from mcpwatch.policy.conditions import FAILS, HOLDS, UNCOMPARABLE, Args
from mcpwatch.policy.messages import DEFAULT_DENY, HIDDEN, LOOK_ALIKE, denied_by, limit_reached, not_permitted
from mcpwatch.policy.narrate import bad_amount, counted, looked_at, spent
from mcpwatch.policy.quick import allowed, charge, counter_state
from mcpwatch.policy.scopes import shown
from mcpwatch.policy.values import CounterKey, CounterState, Decision, Step, ToolCall, Verdict

SchemaCheck = Callable[[Args], str]


class Uses(Protocol):
    """What the limits ask of the counters; times are ms since 1970."""

    def look(self, key: CounterKey, sliding: bool, now_ms: int) -> tuple[Exact, int]:
        """What counts at `now_ms`, and when the first of it expires."""
        ...

    def free_at(self, key: CounterKey, sliding: bool, now_ms: int, surplus: Exact) -> int:
        """When `surplus` of what counts at `now_ms` will have expired."""
        ...


class Case:
    """One call before the policy, and what was looked at so far. `full` asks for steps that name values compared."""

    __slots__ = ("args", "call", "full", "plan", "policy", "steps", "would_deny")

    def __init__(self, policy: CompiledPolicy, call: ToolCall, full: bool) -> None:
        self.policy = policy
        self.call = call
        self.args = call.args
        self.plan: Plan = policy.plan(call.tool)
        self.full = full
        self.steps: list[Step] = []
        self.would_deny = ""

    def note(self, step: str, rule: str, detail: str) -> None:
        """An observing rule found something."""
        self.steps.append(Step(step, rule, "observe", detail))
        self.would_deny = self.would_deny or rule

    def refuse(
        self,
        step: str,
        rule: str,
        detail: str,
        message: str,
        verdict: Verdict = "deny",
        counters: tuple[CounterState, ...] = (),
        retry_after_s: int | None = None,
        hold_timeout_ms: int | None = None,
    ) -> Decision:
        """The call does not pass."""
        self.steps.append(Step(step, rule, verdict, detail))
        return Decision(
            verdict,
            rule,
            detail,
            message,
            self.policy.digest,
            (),
            counters,
            tuple(self.steps),
            self.would_deny,
            retry_after_s,
            hold_timeout_ms,
        )


def decide(
    policy: CompiledPolicy,
    call: ToolCall,
    counters: Uses,
    now_ms: int,
    schemas: Mapping[str, SchemaCheck],
    *,
    approved: bool = False,
    full: bool = False,
) -> Decision:
    """The decision on one call at `now_ms`. `approved`: an operator has agreed, so that nothing is held again."""
    case = Case(policy, call, full)
    return ruled(case, schemas, approved) or limits(case, counters, now_ms)


def ruled(case: Case, schemas: Mapping[str, SchemaCheck], approved: bool) -> Decision | None:
    """Everything that comes before the limits, which alone look at counters and the time. None: none of it decides."""
    return (
        hidden(case)
        or look_alike(case)
        or unlisted(case)
        or require(case)
        or deny_if(case)
        or validate(case, schemas)
        or (None if approved else approve_if(case))
    )


def hidden(case: Case) -> Decision | None:
    if not case.plan.hidden:
        case.steps.append(case.plan.visible)
        return None
    return _outside(case, "hide", HIDDEN, "the tool is hidden")


def look_alike(case: Case) -> Decision | None:
    """A name one cannot tell from one the policy knows must not slip through `default: allow`."""
    if not case.plan.look_alike:
        return None
    return _outside(case, "hide", LOOK_ALIKE, f'the name looks like "{case.plan.look_alike}"')


def unlisted(case: Case) -> Decision | None:
    if case.plan.listed or case.policy.allow_unlisted:
        case.steps.append(case.plan.permitted)
        return None
    return _outside(case, "default", DEFAULT_DENY, "not listed, default deny")


def _outside(case: Case, step: str, rule: str, detail: str) -> Decision | None:
    if case.policy.observing:
        case.note(step, rule, detail)
        return None
    return case.refuse(step, rule, detail, not_permitted(case.call.tool))


def require(case: Case) -> Decision | None:
    """Every rule must hold."""
    for rule in case.plan.rules.require:
        if rule.test(case.args) == HOLDS:
            case.steps.append(_passed(case, rule, "require"))
        elif rule.observing:
            case.note("require", rule.id, _detail(case, rule, "does not hold"))
        else:
            return case.refuse("require", rule.id, _detail(case, rule, "does not hold"), rule.message)
    return None


def deny_if(case: Case) -> Decision | None:
    """No rule may hold; one that might hold, were its value a number, denies too (`#type`)."""
    for rule in case.plan.rules.deny_if:
        found = rule.test(case.args)
        if found == FAILS:
            case.steps.append(_passed(case, rule, "deny_if"))
            continue
        rule_id, detail, message = rule.id, _detail(case, rule, "holds"), rule.message
        if found == UNCOMPARABLE:
            rule_id, detail = rule.id + "#type", _detail(case, rule, "not a number")
            message = denied_by(rule_id) if rule.rule.on_deny is None else message
        if not rule.observing:
            return case.refuse("deny_if", rule_id, detail, message)
        case.note("deny_if", rule_id, detail)
    return None


def validate(case: Case, schemas: Mapping[str, SchemaCheck]) -> Decision | None:
    """The arguments must satisfy the schema that upstream last listed; without one, nothing does."""
    for rule_id, observing in case.plan.rules.validate:
        check = schemas.get(case.call.tool)
        fault = "upstream has not listed a schema for this tool" if check is None else check(case.args)
        if not fault:
            case.steps.append(Step("validate", rule_id, "pass", "the arguments satisfy the tool's schema"))
        elif observing:
            case.note("validate", rule_id, fault)
        else:
            return case.refuse("validate", rule_id, fault, f"Arguments refused: {fault}")
    return None


def approve_if(case: Case) -> Decision | None:
    """The first rule that holds sends the call to an operator. Nothing is counted yet."""
    for rule in case.plan.rules.approve_if:
        if rule.test(case.args) != HOLDS:
            case.steps.append(_passed(case, rule, "approve_if"))
        elif rule.observing:
            case.note("approve_if", rule.id, _detail(case, rule, "holds"))
        else:
            return _hold(case, rule)
    return None


def _hold(case: Case, rule: CompiledRule) -> Decision:
    detail = _detail(case, rule, "holds")
    timeout_ms = rule.rule.timeout_ms or case.policy.document.approval_timeout_ms
    return case.refuse("approve_if", rule.id, detail, rule.message, "hold", hold_timeout_ms=timeout_ms)


def limits(case: Case, counters: Uses, now_ms: int) -> Decision:
    """Every limit must have room. All are charged, or none; limits that share a counter charge it once."""
    uses = [_use(case, limit, counters, now_ms) for limit in case.plan.rules.limits]
    charges: dict[CounterKey, Exact] = {}
    for use in uses:
        limit, key, used, _ = use
        amount = limit.amount(case.args)
        if amount is None:
            if not limit.observing:
                return _bad_amount(case, limit, uses)
            case.note("limits", limit.id + "#amount", bad_amount(limit))
            continue
        if used + amount <= limit.max:
            case.steps.append(counted(limit, shown(key[1]), used, amount) if case.full else limit.passed)
        elif limit.observing:
            case.note("limits", limit.id, spent(limit, shown(key[1]), used, amount))
        else:
            return _full(case, use, amount, uses, counters, now_ms)
        charges.setdefault(key, amount)
    return _allow(case, uses, charges, now_ms)


Use = tuple[CompiledLimit, CounterKey, Exact, int]
"""A limit, the call's counter under it, what is used before the call, and when the first of that expires."""


def _use(case: Case, limit: CompiledLimit, counters: Uses, now_ms: int) -> Use:
    key = limit.counter, limit.scope_of(case.call.caller, case.args), limit.window_ms
    return limit, key, *counters.look(key, limit.sliding, now_ms)


def _allow(case: Case, uses: list[Use], charges: Mapping[CounterKey, Exact], now_ms: int) -> Decision:
    return allowed(
        case.policy.digest,
        f"observed only: {case.would_deny}" if case.would_deny else "",
        tuple([charge(key, plain(amount), now_ms) for key, amount in charges.items()]),
        tuple([state_of(use, charges.get(use[1], 0)) for use in uses]),
        tuple(case.steps),
        case.would_deny,
    )


def _bad_amount(case: Case, limit: CompiledLimit, uses: list[Use]) -> Decision:
    """What a call costs cannot be told, so it is not let through."""
    rule_id = limit.id + "#amount"
    on_deny = limit.limit.on_deny
    return _denied(case, rule_id, bad_amount(limit), denied_by(rule_id) if on_deny is None else on_deny, uses)


def _full(case: Case, use: Use, amount: Exact, uses: list[Use], counters: Uses, now_ms: int) -> Decision:
    """The limit has no room. An amount that never fits is not asked to try again."""
    limit, key, used, _ = use
    retry_after_s = None
    if amount <= limit.max:
        free_ms = counters.free_at(key, limit.sliding, now_ms, used + amount - limit.max)
        retry_after_s = max(1, -((now_ms - free_ms) // 1000))
    on_deny = limit.limit.on_deny
    message = limit_reached(limit.limit, retry_after_s) if on_deny is None else on_deny
    return _denied(case, limit.id, spent(limit, shown(key[1]), used, amount), message, uses, retry_after_s)


def _denied(
    case: Case, rule: str, detail: str, message: str, uses: list[Use], retry_after_s: int | None = None
) -> Decision:
    states = tuple(map(state_of, uses))
    return case.refuse("limits", rule, detail, message, counters=states, retry_after_s=retry_after_s)


def state_of(use: Use, more: Exact = 0) -> CounterState:
    """A limit's counter as people see it, with `more` added to what is used."""
    limit, key, used, resets_at_ms = use
    return counter_state(
        limit.counter,
        limit.scope,
        shown(key[1]),
        plain(used + more),
        limit.max,
        limit.window,
        limit.window_ms,
        resets_at_ms,
        limit.id,
    )


def _passed(case: Case, rule: CompiledRule, stage: str) -> Step:
    if not case.full:
        return rule.passed
    return Step(stage, rule.id, "pass", _detail(case, rule, "holds" if stage == "require" else "does not hold"))


def _detail(case: Case, rule: CompiledRule, result: str) -> str:
    return f"{looked_at(rule, case.args) if case.full else rule.text}: {result}"
