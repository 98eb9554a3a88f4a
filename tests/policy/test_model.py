"""The engine against an independent model of the language: random policies, calls, clocks, reloads, restarts, refunds.

The continuous integration runs 20,000 with `MCPWATCH_MODEL_EXAMPLES=20000 pytest tests/policy/test_model.py`; a
million is the same command with another number (about an hour).
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from random import Random
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from mcpwatch.policy.compiled import CompiledPolicy, compile_policy
from mcpwatch.policy.counters import Counters
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import Caller, Charge, Decision, ToolCall
from tests.policy import scenarios
from tests.policy.reference_model import Answer, Asked, Model, Spent, find

EXAMPLES = int(os.environ.get("MCPWATCH_MODEL_EXAMPLES", "4000"))
SEEDS = st.integers(min_value=0, max_value=2**64 - 1)
MANY = settings(max_examples=EXAMPLES, deadline=None, database=None)
FEW = settings(MANY, max_examples=max(1, EXAMPLES // 10))


def compiled(policy: dict[str, Any]) -> CompiledPolicy:
    return compile_policy(read_policy(json.dumps(policy).encode()))


class Together:
    """Engine and model side by side. `story` is what has been done, to be read when they differ."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.model = Model()
        self.model.schemas = scenarios.SCHEMAS if random.random() < 0.1 else {}
        self.engine = self.new_engine()
        self.charged: list[tuple[tuple[Charge, ...], list[Spent]]] = []
        self.now_ms = scenarios.START_MS
        self.story: list[str] = []
        self.last: Asked | None = None
        self.reload()

    def new_engine(self) -> Engine:
        engine = Engine(Counters())
        engine.set_schemas(self.model.schemas)
        return engine

    def reload(self) -> None:
        policy = scenarios.policy(self.random)
        self.story.append("reload " + json.dumps(policy))
        self.model.policy = policy
        self.engine.install(compiled(policy))

    def restart(self) -> None:
        """A new process: the counters are a fold over what was recorded."""
        self.story.append("restart")
        engine, policy = self.new_engine(), self.engine.policy
        assert policy is not None
        first = self.random.random() < 0.5
        if first:
            engine.install(policy)
        engine.restore(charge for charges, _ in self.charged for charge in charges)
        if not first:
            engine.install(policy)
        self.engine = engine

    def refund(self) -> None:
        if self.charged:
            charges, spent = self.charged.pop(self.random.randrange(len(self.charged)))
            self.story.append(f"refund {charges}")
            self.engine.refund(charges)
            self.model.refund(spent)

    def call(self, approved: bool = False, again: Asked | None = None) -> None:
        random = self.random
        asked = again or (self.last if self.last and random.random() < 0.5 else self.new_call())
        self.last = asked = replace(asked, approved=approved, at_ms=self.now_ms)
        made = ToolCall(Caller(asked.grant, asked.client, asked.session), asked.tool, asked.args)
        self.story.append(f"{asked}")
        explained = self.engine.explain(made, self.now_ms, approved)
        decision = self.engine.admit(made, self.now_ms, approved=approved)
        answer = self.model.ask(asked)
        self.compare(decision, answer)
        assert (explained.verdict, explained.rule, explained.counters) == (
            decision.verdict,
            decision.rule,
            decision.counters,
        ), self.story
        if answer.verdict == "allow":
            self.charged.append((decision.charges, answer.spent))
        self.compare_counters(made, asked)
        if answer.verdict == "hold" and random.random() < 0.5:
            self.tick()
            self.call(approved=True, again=asked)

    def new_call(self) -> Asked:
        random = self.random
        return Asked(
            random.choice(scenarios.GRANTS),
            random.choice(scenarios.CLIENTS),
            random.choice(scenarios.SESSIONS),
            random.choice(scenarios.TOOLS[:1] * 9 + scenarios.TOOLS),
            scenarios.arguments(random),
            self.now_ms,
        )

    def compare(self, decision: Decision, answer: Answer) -> None:
        got = (decision.verdict, decision.rule, decision.would_deny, len(decision.charges))
        expected = (answer.verdict, answer.rule, answer.would_deny, len(answer.spent))
        assert got == expected, "\n".join([*self.story, f"engine {got}", f"model  {expected}"])

    def compare_counters(self, made: ToolCall, asked: Asked) -> None:
        policy = self.model.policy or {}
        for tool in policy["tools"].values():
            for limit in tool.get("limits", []):
                scope = limit["scope"]
                if scope in ("grant", "client"):
                    whose: Any = getattr(asked, scope)
                elif scope.startswith("args."):
                    value = find(scope, asked.args)
                    whose = value if scope[5:] in asked.args else None
                else:
                    continue
                same = [
                    other
                    for each in [*policy["tools"].values(), policy.get("all_tools", {})]
                    for other in each.get("limits", [])
                    if other["counter"] == limit["counter"]
                ]
                if len(same) == 1:
                    expected = self.model.used(limit, (scope[:4] if "." in scope else scope, whose), self.now_ms)
                    assert self.engine.used(made, limit["counter"], self.now_ms) == as_json(expected), "\n".join(
                        [*self.story, str(limit)]
                    )

    def tick(self) -> None:
        self.now_ms += self.random.choice(scenarios.STEPS_MS)

    def step(self) -> None:
        """One thing that happens, most of all a call."""
        chance = self.random.random()
        if chance < 0.70:
            self.call()
        elif chance < 0.78:
            self.now_ms -= self.random.choice(scenarios.BACK_MS)
        elif chance < 0.86:
            self.refund()
        elif chance < 0.93:
            self.reload()
        else:
            self.restart()
        self.tick()


@MANY
@given(SEEDS)
def test_the_engine_decides_as_the_model_does(seed: int) -> None:
    together = Together(Random(seed))
    for _ in range(together.random.randint(2, 12)):
        together.step()


def as_json(amount: Any) -> int | float:
    """Whole amounts as they are, others as the nearest float; beyond the floats the part before the point."""
    return int(amount) if amount == int(amount) or amount > sys.float_info.max else float(amount)


def decisions(policy: dict[str, Any], calls: list[ToolCall]) -> list[Decision]:
    engine = Engine()
    engine.install(compiled(policy))
    return [engine.admit(call, scenarios.START_MS) for call in calls]


def some_calls(random: Random) -> list[ToolCall]:
    caller = Caller("ann", "cc", "s1")
    return [ToolCall(caller, random.choice(scenarios.TOOLS), scenarios.arguments(random)) for _ in range(6)]


@FEW
@given(SEEDS)
def test_one_more_deny_rule_never_allows_more(seed: int) -> None:
    random = Random(seed)
    policy, calls = scenarios.policy(random), some_calls(random)[:1]
    before = decisions(policy, calls)
    entry = random.choice([*policy["tools"].values(), policy.setdefault("all_tools", {})])
    entry.setdefault("deny_if", []).insert(0, scenarios.rule(random) | {"mode": "enforce"})
    for old, new in zip(before, decisions(policy, calls), strict=True):
        assert new.verdict == "deny" or new.verdict == old.verdict


@FEW
@given(SEEDS)
def test_the_order_of_keys_never_changes_a_decision(seed: int) -> None:
    random = Random(seed)
    policy, calls = scenarios.policy(random), some_calls(random)
    shuffled = [ToolCall(call.caller, call.tool, turned(call.args)) for call in calls]
    turned_policy: dict[str, Any] = turned(policy) | {"tools": policy["tools"]}
    for old, new in zip(decisions(policy, calls), decisions(turned_policy, shuffled), strict=True):
        assert (old.verdict, old.rule, old.charges) == (new.verdict, new.rule, new.charges)


def turned(value: Any) -> Any:
    """The same JSON with the keys of all objects in the opposite order."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {key: turned(members[key]) for key in reversed(list(members))}
    if isinstance(value, list):
        return [turned(each) for each in cast("list[Any]", value)]
    return value
