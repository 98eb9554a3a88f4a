"""Limits whose counters are elsewhere: what is asked of them, and what their answer comes to."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mcpwatch.policy.demands import Answer, Pending
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.messages import INTERNAL
from mcpwatch.policy.values import ToolCall
from tests.policy.build import call, compiled, limit

KEY = ("r", "grant:local", 60_000)


def pending(**more: Any) -> Pending:
    engine = Engine()
    engine.install(compiled({"t": {"limits": [limit(10, **more)]}}))
    begun = engine.begin(call())
    assert isinstance(begun, Pending)
    return begun


def test_what_is_asked_names_the_counter_and_what_the_call_costs() -> None:
    [demand] = pending(increment=3).demands
    assert (demand.key, demand.amount, demand.max, demand.observing) == (KEY, 3, 10, False)


@pytest.mark.parametrize(("used", "verdict"), [(9, "allow"), (10, "deny")])
def test_an_answer_comes_to_what_counters_in_memory_would(used: int, verdict: str) -> None:
    answer = Answer(1_000, used < 10, {(KEY, False): (used, 60_000)})
    assert pending().conclude(answer).verdict == verdict


@pytest.mark.parametrize("used", [9, 10])
def test_an_answer_that_contradicts_itself_denies(used: int) -> None:
    decision = pending().conclude(Answer(1_000, used >= 10, {(KEY, False): (used, 60_000)}))
    assert (decision.verdict, decision.rule) == ("deny", INTERNAL)


def test_an_answer_that_leaves_a_counter_out_denies() -> None:
    assert pending().conclude(Answer(1_000, True, {})).rule == INTERNAL


def test_without_room_for_one_more_counter_the_call_is_denied() -> None:
    assert pending().conclude(Answer(1_000, True, {(KEY, False): (0, 60_000)}, crowded=True)).rule == INTERNAL


def test_without_an_answer_only_observed_limits_let_pass() -> None:
    assert pending().unanswered("away").verdict == "deny"
    observed = pending(mode="observe").unanswered("away")
    assert (observed.verdict, observed.would_deny) == ("allow", "(counters)")


def test_before_the_counters_are_asked_the_call_is_refused() -> None:
    assert pending().unasked().verdict == "deny"


def test_what_goes_wrong_before_the_limits_denies() -> None:
    engine = Engine()
    engine.install(compiled({"t": {"limits": [limit(10, scope="args.a")]}}))
    broken = ToolCall(call().caller, "t", cast(Any, None))
    begun = engine.begin(broken)
    assert not isinstance(begun, Pending)
    assert (begun.verdict, begun.rule) == ("deny", INTERNAL)


def test_without_a_policy_nothing_is_asked() -> None:
    begun = Engine().begin(call())
    assert not isinstance(begun, Pending)
    assert (begun.verdict, begun.rule) == ("deny", "(no policy)")
