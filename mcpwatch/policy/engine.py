"""The engine: holds the policy in force and the counters, decides and charges in one step.

Nothing in here waits, so that one call of `admit` is atomic for everything else in the same event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final

from mcpwatch.policy.amounts import exact
from mcpwatch.policy.compiled import CompiledLimit, CompiledPolicy
from mcpwatch.policy.counters import Counters
from mcpwatch.policy.decide import Case, SchemaCheck, Uses, decide, limits, ruled, state_of
from mcpwatch.policy.demands import Pending, SharedCounters
from mcpwatch.policy.messages import INTERNAL, NO_POLICY, denied_by, name_words, not_permitted
from mcpwatch.policy.schemas import compile_schema
from mcpwatch.policy.scopes import scope_kind
from mcpwatch.policy.values import Charge, CounterKey, CounterState, Decision, Step, ToolCall

MOST_SHOWN: Final = 5_000
"""Counters that are listed at most: a list is made once a second while calls are decided."""


class Engine:
    """Decides calls of one upstream. Engines of one upstream (grants with own policies) may share `counters`.

    With `shared` counters nothing is counted in here: calls are decided by `begin`, and those answer the rest.
    """

    def __init__(self, counters: Counters | None = None, shared: SharedCounters | None = None) -> None:
        self._counters = Counters() if counters is None else counters
        self.shared = shared
        self._policy: CompiledPolicy | None = None
        self._schemas: dict[str, SchemaCheck] = {}

    @property
    def policy(self) -> CompiledPolicy | None:
        """The policy in force, None before the first one."""
        return self._policy

    def install(self, policy: CompiledPolicy) -> None:
        """Put `policy` in force from the next call on. What has been used stays used."""
        (self.shared or self._counters).watch(policy.sliding())
        self._policy = policy

    def set_schemas(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        """The inputSchema of every tool as upstream last listed it; a tool that is missing here has none."""
        self._schemas = {tool: compile_schema(schema) for tool, schema in schemas.items()}

    def admit(self, call: ToolCall, now_ms: int, *, approved: bool = False) -> Decision:
        """Decide `call` and charge its limits. Never raises: what goes wrong inside denies with `/internal`."""
        decision = self._decide(call, now_ms, approved, full=False)
        if not decision.charges:
            return decision
        try:
            self._charge(decision.charges)
        except Exception as error:
            return _internal(decision.policy, error)
        return decision

    def begin(self, call: ToolCall, *, approved: bool = False) -> Decision | Pending:
        """Decide as far as that needs no counter; the limits are left to the shared ones. Never raises."""
        policy = self._policy
        if policy is None:
            return _deny(NO_POLICY, "no policy is in force", not_permitted(call.tool), "")
        try:
            case = Case(policy, call, False)
            decision = ruled(case, self._schemas, approved)
            return decision or (Pending(case) if case.plan.rules.limits else limits(case, self._counters, 0))
        except Exception as error:
            return _internal(policy.digest, error)

    def explain(self, call: ToolCall, now_ms: int, approved: bool = False) -> Decision:
        """What `admit` would answer, charging nothing; the steps name the values that were compared.

        Shared counters are not asked: as far as they go, the call passes.
        """
        return self._decide(call, now_ms, approved, full=True)

    def refund(self, charges: Iterable[Charge]) -> None:
        """Take back the charges of a call that could not be sent at all."""
        (self.shared or self._counters).refund(charges)

    def restore(self, charges: Iterable[Charge]) -> None:
        """Count what an audit log says was charged, oldest first."""
        self._counters.restore(charges)

    def counters(self, now_ms: int) -> list[CounterState]:
        """The counters in use at `now_ms` that a limit of the policy in force looks at; of very many the newest."""
        return self.states(self.limits_on(self._counters.newest(MOST_SHOWN)), self._counters, now_ms)

    def limits_on(self, keys: Iterable[CounterKey]) -> list[tuple[CompiledLimit, CounterKey]]:
        """Those of `keys` that a limit of the policy in force looks at, with the first such limit."""
        if self._policy is None:
            return []
        found = ((self._policy.limit(key[0], key[2], scope_kind(key[1])), key) for key in keys)
        return [(limit, key) for limit, key in found if limit is not None]

    @staticmethod
    def states(found: Iterable[tuple[CompiledLimit, CounterKey]], uses: Uses, now_ms: int) -> list[CounterState]:
        """What `uses` says of counters at `now_ms`, those with nothing in them left out."""
        states = (state_of((limit, key, *uses.look(key, limit.sliding, now_ms))) for limit, key in found)
        return [state for state in states if state.used]

    def limits_of(self, call: ToolCall, now_ms: int) -> list[CounterState]:
        """The limits that bear on `call`, as its caller and arguments find them at `now_ms`."""
        if self._policy is None:
            return []
        return [self._state(limit, call, now_ms) for limit in self._policy.plan(call.tool).rules.limits]

    def _state(self, limit: CompiledLimit, call: ToolCall, now_ms: int) -> CounterState:
        key = limit.counter, limit.scope_of(call.caller, call.args), limit.window_ms
        return state_of((limit, key, *self._counters.look(key, limit.sliding, now_ms)))

    def used(self, call: ToolCall, counter: str, now_ms: int) -> int | float:
        """What the call's caller and arguments have used of `counter`; of several limits the tool's own count."""
        if self._policy is None:
            return 0
        own = (limit for limit in self._policy.plan(call.tool).rules.limits if limit.counter == counter)
        limit = next(chain(own, self._policy.limits_on(counter)), None)
        return 0 if limit is None else self._state(limit, call, now_ms).used

    def visible(self, tool: str) -> bool:
        """Whether `tools/list` may show the tool. Without a policy it shows nothing."""
        if self._policy is None:
            return False
        return self._policy.observing or not self._policy.plan(tool).hidden

    def judge_resource(self, uri: str) -> Decision:
        """Whether the resource may be read."""
        return self._judge("Resource", "/resources", uri)

    def judge_prompt(self, name: str) -> Decision:
        """Whether the prompt may be fetched."""
        return self._judge("Prompt", "/prompts", name)

    def _judge(self, kind: str, rule: str, name: str) -> Decision:
        message = f'{kind} "{name_words(name)}" is not permitted by policy'
        policy = self._policy
        if policy is None:
            return _deny(NO_POLICY, "no policy is in force", message, "")
        if policy.resources.permits_uri(name) if rule == "/resources" else policy.prompts.permits(name):
            return Decision("allow", "", "", "", policy.digest)
        if policy.observing:
            return Decision("allow", "", f"observed only: {rule}", "", policy.digest, would_deny=rule)
        return _deny(rule, "not allowed by " + rule.removeprefix("/"), message, policy.digest)

    def _decide(self, call: ToolCall, now_ms: int, approved: bool, *, full: bool) -> Decision:
        policy = self._policy
        if policy is None:
            return _deny(NO_POLICY, "no policy is in force", not_permitted(call.tool), "")
        try:
            return decide(policy, call, self._counters, now_ms, self._schemas, approved=approved, full=full)
        except Exception as error:
            return _internal(policy.digest, error)

    def _charge(self, charges: tuple[Charge, ...]) -> None:
        """All or none."""
        for count, charge in enumerate(charges):
            try:
                self._counters.charge(charge.key, exact(charge.amount), charge.at_ms)
            except Exception:
                self._counters.refund(charges[:count])
                raise


def _internal(policy: str, error: Exception) -> Decision:
    """What went wrong is named by its kind only: its text may repeat arguments."""
    return _deny(INTERNAL, f"the evaluation failed ({type(error).__name__})", denied_by(INTERNAL), policy)


def _deny(rule: str, reason: str, message: str, policy: str) -> Decision:
    return Decision("deny", rule, reason, message, policy, steps=(Step("policy", rule, "deny", reason),))
