"""What the engine answers, beyond what the case files say."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.counters import Counters
from mcpwatch.policy.document import Condition, PolicyDocument, Rule, ToolEntry
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.values import Charge, Decision
from tests.policy.build import DAY_MS, HOUR_MS, MINUTE_MS, NOON_MS, call, compiled, engine_of, limit, rule

NOT_PERMITTED = 'Tool "t" is not permitted by policy'
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def outcome(decision: Decision) -> tuple[str, str]:
    return decision.verdict, decision.rule


def test_without_a_policy_everything_is_denied() -> None:
    engine = Engine()
    decision = engine.admit(call(), NOON_MS)
    assert outcome(decision) == ("deny", "(no policy)")
    assert decision.message == NOT_PERMITTED
    assert (decision.reason, decision.policy) == ("no policy is in force", "")
    assert [(step.step, step.result) for step in decision.steps] == [("policy", "deny")]
    assert engine.policy is None
    assert not engine.visible("t")
    assert engine.counters(NOON_MS) == []
    assert engine.used(call(), "r", NOON_MS) == 0
    assert engine.limits_of(call(), NOON_MS) == []
    assert outcome(engine.judge_resource("test://x")) == ("deny", "(no policy)")


def test_a_decision_names_the_policy_that_made_it() -> None:
    engine = engine_of({"t": {}})
    assert engine.policy is not None
    assert len(engine.policy.digest) == 64
    assert engine.admit(call(), NOON_MS).policy == engine.policy.digest
    assert engine.admit(call("u"), NOON_MS).policy == engine.policy.digest


def test_a_hidden_tool_is_answered_like_an_absent_one() -> None:
    hidden = engine_of(hide=["t"]).admit(call(), NOON_MS)
    absent = engine_of().admit(call(), NOON_MS)
    assert (hidden.rule, absent.rule) == ("(hidden)", "(default deny)")
    assert hidden.message == absent.message == NOT_PERMITTED


def test_lists_show_what_is_not_hidden_unless_everything_is_only_observed() -> None:
    engine = engine_of({"get_*": {}}, hide=["get_secret", "delete_*"])
    assert [engine.visible(tool) for tool in ("get_pod", "get_secret", "delete_pod", "u")] == [True, False, False, True]
    assert engine_of(hide=["t"], mode="observe").visible("t")


@pytest.mark.parametrize(
    "name",
    ["Delete_Pod", "delete_pod ", "delete\u200b_pod", "ｄelete_pod", "delete_pod\u202e", "delete\t_pod", "DELETE_POD"],
)
def test_a_look_alike_of_a_known_name_is_denied_under_default_allow(name: str) -> None:
    for known in (engine_of({"delete_pod": {}}, default="allow"), engine_of(hide=["delete_pod"], default="allow")):
        decision = known.admit(call(name), NOON_MS)
        assert outcome(decision) == ("deny", "(look-alike)")
        assert decision.message == f'Tool "{name}" is not permitted by policy'
        assert "delete_pod" in decision.reason


def test_a_name_of_its_own_is_no_look_alike() -> None:
    engine = engine_of({"delete_pod": {}, "Delete_pod": {}}, default="allow")
    assert outcome(engine.admit(call("delete_pod"), NOON_MS)) == ("allow", "")
    assert outcome(engine.admit(call("Delete_pod"), NOON_MS)) == ("allow", "")
    assert outcome(engine.admit(call("dеlete_pod"), NOON_MS)) == ("allow", "")


def test_a_look_alike_is_told_with_the_name_it_looks_like() -> None:
    decision = engine_of({"t": {}}, default="allow").admit(call("T"), NOON_MS)
    assert decision.reason == 'the name looks like "t"'


def test_a_hidden_name_is_no_look_alike_of_itself() -> None:
    decision = engine_of({"u": {}}, default="allow", hide=["t"], mode="observe").admit(call("t"), NOON_MS)
    assert [(step.rule, step.result) for step in decision.steps] == [("(hidden)", "observe"), ("", "pass")]


def test_a_look_alike_is_only_noted_while_everything_is_observed() -> None:
    decision = engine_of({"t": {}}, default="allow", mode="observe").admit(call("T"), NOON_MS)
    assert (decision.verdict, decision.would_deny) == ("allow", "(look-alike)")
    assert decision.reason == "observed only: (look-alike)"


def test_the_step_of_the_default_says_why_a_tool_passes_or_not() -> None:
    def said(engine: Engine, tool: str) -> str:
        return next(step.detail for step in engine.admit(call(tool), NOON_MS).steps if step.step == "default")

    listing = engine_of({"t": {}, "get_*": {}})
    assert [said(listing, tool) for tool in ("t", "get_x", "u")] == [
        "listed",
        'listed by the pattern "get_*"',
        "not listed, default deny",
    ]
    assert said(engine_of({"t": {}}, default="allow"), "u") == "not listed, default allow"


def test_a_very_long_name_is_judged_and_not_kept() -> None:
    engine = engine_of({"t*": {}})
    for _ in range(2):
        assert outcome(engine.admit(call("t" * 100_000), NOON_MS)) == ("allow", "")
    assert engine.admit(call("u" * 100_000), NOON_MS).message == f'Tool "{"u" * 511}…" is not permitted by policy'
    assert engine.admit(call("u" * 512), NOON_MS).message == f'Tool "{"u" * 512}" is not permitted by policy'


def test_many_names_are_judged_alike() -> None:
    engine = engine_of({"t*": {}})
    assert {outcome(engine.admit(call(f"t{number}"), NOON_MS)) for number in range(9_000)} == {("allow", "")}
    assert outcome(engine.admit(call("u"), NOON_MS)) == ("deny", "(default deny)")


@pytest.mark.parametrize(
    ("window", "wait_ms", "message"),
    [
        ("minute", 1, "Rate limit of 1 per minute reached. Try again in 60 s."),
        ("minute", 59_999, "Rate limit of 1 per minute reached. Try again in 1 s."),
        ("hour", 0, "Rate limit of 1 per hour reached. Try again in 3600 s."),
        ("90s", 0, "Rate limit of 1 per 90s reached. Try again in 90 s."),
        (60, 37_000, "Rate limit of 1 per minute reached. Try again in 23 s."),
    ],
)
def test_a_full_limit_says_when_to_try_again(window: Any, wait_ms: int, message: str) -> None:
    engine = engine_of({"t": {"limits": [limit(1, window=window)]}})
    assert outcome(engine.admit(call(), NOON_MS)) == ("allow", "")
    decision = engine.admit(call(), NOON_MS + wait_ms)
    assert decision.message == message
    assert decision.retry_after_s is not None
    assert f"in {decision.retry_after_s} s" in message


def test_a_limit_that_never_lets_a_call_pass_does_not_ask_to_try_again() -> None:
    engine = engine_of({"t": {"limits": [limit(0)]}, "u": {"limits": [limit(5, increment_from="args.n")]}})
    never, too_much = engine.admit(call(), NOON_MS), engine.admit(call("u", n=6), NOON_MS)
    assert (never.message, never.retry_after_s) == ("Rate limit of 0 per minute reached.", None)
    assert (too_much.message, too_much.retry_after_s) == ("Rate limit of 5 per minute reached.", None)


def test_a_sliding_limit_says_when_enough_has_expired() -> None:
    engine = engine_of({"t": {"limits": [limit(5, algorithm="sliding", increment_from="args.n")]}})
    for at_ms, amount in ((0, 1), (10_000, 2), (20_000, 2)):
        assert outcome(engine.admit(call(n=amount), NOON_MS + at_ms)) == ("allow", "")
    assert engine.admit(call(n=1), NOON_MS + 30_000).retry_after_s == 30
    assert engine.admit(call(n=2), NOON_MS + 30_000).retry_after_s == 40
    assert engine.admit(call(n=5), NOON_MS + 30_500).retry_after_s == 50
    assert outcome(engine.admit(call(n=2), NOON_MS + 70_000)) == ("allow", "")


def test_messages_of_rules_are_told_as_written_or_name_the_rule() -> None:
    engine = engine_of(
        {
            "t": {"deny_if": [rule(("args.n", "gt", 5), on_deny="{n} is too much")]},
            "u": {"deny_if": [rule(("args.n", "gt", 5))], "limits": [limit(3, increment_from="args.n", on_deny="cap")]},
            "v": {"limits": [limit(3, increment_from="args.n")]},
        }
    )
    assert engine.admit(call(n=6), NOON_MS).message == "{n} is too much"
    assert engine.admit(call(n="6"), NOON_MS).message == "{n} is too much"
    assert engine.admit(call("u", n=6), NOON_MS).message == 'Denied by rule "/tools/u/deny_if/args.n-gt"'
    assert engine.admit(call("u", n="6"), NOON_MS).message == 'Denied by rule "/tools/u/deny_if/args.n-gt#type"'
    assert engine.admit(call("u", n=4), NOON_MS).message == "cap"
    assert engine.admit(call("u"), NOON_MS).message == "cap"
    assert engine.admit(call("v"), NOON_MS).message == 'Denied by rule "/tools/v/limits/r#amount"'


def test_a_held_call_says_how_long_an_operator_has() -> None:
    tools = {"t": {"approve_if": [rule(("args.n", "gt", 5), timeout="2m"), rule(("args.n", "gt", 1))]}}
    engine = engine_of(tools, approvals={"timeout": "30s"})
    assert engine.admit(call(n=6), NOON_MS).hold_timeout_ms == 120_000
    assert engine.admit(call(n=2), NOON_MS).hold_timeout_ms == 30_000
    assert engine.admit(call(n=1), NOON_MS).hold_timeout_ms is None
    assert engine_of(tools).admit(call(n=2), NOON_MS).hold_timeout_ms == 45_000


def test_an_approved_call_is_judged_again_by_everything_else() -> None:
    entry = {"approve_if": [rule()], "deny_if": [rule(("args.n", "gt", 5))], "limits": [limit(1)]}
    engine = engine_of({"t": entry})
    assert outcome(engine.admit(call(), NOON_MS)) == ("hold", "/tools/t/approve_if/0")
    assert outcome(engine.admit(call(n=9), NOON_MS, approved=True)) == ("deny", "/tools/t/deny_if/args.n-gt")
    assert outcome(engine.admit(call(), NOON_MS, approved=True)) == ("allow", "")
    assert outcome(engine.admit(call(), NOON_MS, approved=True)) == ("deny", "/tools/t/limits/r")


def test_an_observing_approval_lets_pass_and_is_noted() -> None:
    decision = engine_of({"t": {"approve_if": [rule(mode="observe")]}}).admit(call(), NOON_MS)
    assert (decision.verdict, decision.would_deny) == ("allow", "/tools/t/approve_if/0")


def test_what_is_denied_for_certain_is_denied_though_something_else_was_only_observed() -> None:
    engine = engine_of({"t": {"require": [rule(("args.a", "exists", True), mode="observe")], "deny_if": [rule()]}})
    decision = engine.admit(call(), NOON_MS)
    assert outcome(decision) == ("deny", "/tools/t/deny_if/0")
    assert decision.would_deny == "/tools/t/require/args.a-exists"


def test_a_condition_that_fails_for_certain_outweighs_one_that_cannot_be_compared() -> None:
    both = rule(("args.n", "gt", 5), ("args.kind", "eq", "refund"))
    engine = engine_of({"t": {"deny_if": [both]}})
    assert outcome(engine.admit(call(n="9", kind="list"), NOON_MS)) == ("allow", "")
    assert engine.admit(call(n="9", kind="refund"), NOON_MS).rule == "/tools/t/deny_if/args.n-gt,args.kind-eq#type"


def test_validate_refuses_what_the_schema_refuses_and_never_repeats_a_value() -> None:
    engine = engine_of({"t": {"validate": "schema"}})
    engine.set_schemas({"t": SCHEMA})
    assert outcome(engine.admit(call(n=1), NOON_MS)) == ("allow", "")
    wrong = engine.admit(call(n="hunter2"), NOON_MS)
    assert outcome(wrong) == ("deny", "/tools/t/validate")
    assert wrong.message == 'Arguments refused: args.n: value is not of type "integer"'
    assert "hunter2" not in wrong.reason
    undeclared = engine.admit(call(n=1, force=True), NOON_MS)
    assert undeclared.message == "Arguments refused: 'force' is not an argument of this tool"


def test_validate_without_a_schema_denies() -> None:
    engine = engine_of({"t": {"validate": "schema"}})
    decision = engine.admit(call(), NOON_MS)
    assert outcome(decision) == ("deny", "/tools/t/validate")
    assert decision.reason == "upstream has not listed a schema for this tool"
    engine.set_schemas({"t": SCHEMA})
    engine.set_schemas({})
    assert outcome(engine.admit(call(n=1), NOON_MS)) == ("deny", "/tools/t/validate")


def test_validate_may_be_observed_and_stand_in_all_tools() -> None:
    observed = engine_of({"t": {"validate": "schema", "mode": "observe"}}).admit(call(), NOON_MS)
    assert (observed.verdict, observed.would_deny) == ("allow", "/tools/t/validate")
    everywhere = engine_of({"t": {}}, all_tools={"validate": "schema"}).admit(call(), NOON_MS)
    assert outcome(everywhere) == ("deny", "/all_tools/validate")


def test_what_goes_wrong_inside_denies() -> None:
    broken = Rule((Condition(("x",), "args.x", "in", 5),))
    engine = Engine()
    engine.install(compile_policy(PolicyDocument("deny", {"t": ToolEntry("t", require=(broken,))})))
    decision = engine.admit(call(x=1), NOON_MS)
    assert outcome(decision) == ("deny", "/internal")
    assert decision.reason == "the evaluation failed (TypeError)"
    assert decision.message == 'Denied by rule "/internal"'
    assert outcome(engine.explain(call(x=1), NOON_MS)) == ("deny", "/internal")


def test_an_amount_of_thousands_of_digits_is_counted_and_not_spelled_out() -> None:
    engine = engine_of({"t": {"limits": [limit(1, increment_from="args.n")]}})
    decision = engine.admit(call(n=10**6_000), NOON_MS)
    assert outcome(decision) == ("deny", "/tools/t/limits/r")
    assert decision.reason.endswith("this call asks for a number of 19,932 bits")


def test_a_text_that_is_no_unicode_is_denied_where_a_regex_looks_at_it() -> None:
    engine = engine_of({"t": {"deny_if": [rule(("args.x", "regex", "rm"))]}})
    assert outcome(engine.admit(call(x="r\ud800m"), NOON_MS)) == ("deny", "/internal")


def test_a_charge_that_fails_leaves_nothing_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcpwatch.policy.counters.MOST_COUNTERS", 1)
    monkeypatch.setattr("mcpwatch.policy.counters.FIRST_SWEEP", 1)
    engine = engine_of({"t": {"limits": [limit(5, "one"), limit(5, "two")]}})
    assert outcome(engine.admit(call(), NOON_MS)) == ("deny", "/internal")
    assert engine.used(call(), "one", NOON_MS) == 0


def test_a_policy_with_a_pattern_outside_the_language_is_not_put_together() -> None:
    broken = Rule((Condition(("x",), "args.x", "regex", "(?=a)"),))
    with pytest.raises(ValueError, match="look-around"):
        compile_policy(PolicyDocument("deny", {"t": ToolEntry("t", require=(broken,))}))


def test_an_allowed_decision_tells_the_charges_and_the_counters_after_it() -> None:
    engine = engine_of({"t": {"limits": [limit(5, scope="args.ns")]}}, all_tools={"limits": [limit(9, "all", "day")]})
    engine.admit(call(ns="dev"), NOON_MS)
    decision = engine.admit(call(ns="dev"), NOON_MS + 1)
    assert decision.charges == (
        Charge(("r", "args:dev", MINUTE_MS), 1, NOON_MS + 1),
        Charge(("all", "grant:local", DAY_MS), 1, NOON_MS + 1),
    )
    assert [(each.name, each.scope, each.value, each.used, each.max, each.window) for each in decision.counters] == [
        ("r", "args.ns", "dev", 2, 5, "minute"),
        ("all", "grant", "local", 2, 9, "day"),
    ]
    assert [each.resets_at_ms - NOON_MS for each in decision.counters] == [MINUTE_MS, DAY_MS // 2]
    assert [each.rule for each in decision.counters] == ["/tools/t/limits/r", "/all_tools/limits/all"]


def test_a_denied_decision_charges_nothing_and_tells_every_counter_as_it_is() -> None:
    engine = engine_of({"t": {"limits": [limit(5, "a"), limit(1, "b")]}})
    engine.admit(call(), NOON_MS)
    decision = engine.admit(call(), NOON_MS)
    assert decision.charges == ()
    assert [(each.name, each.used) for each in decision.counters] == [("a", 1), ("b", 1)]


def test_explaining_charges_nothing_and_names_the_values() -> None:
    engine = engine_of({"t": {"require": [rule(("args.n", "lt", 5))], "limits": [limit(3)]}})
    for _ in range(5):
        assert outcome(engine.explain(call(n=4), NOON_MS)) == ("allow", "")
    assert [step.detail for step in engine.explain(call(n=4), NOON_MS).steps] == [
        "not hidden",
        "listed",
        "args.n lt 5 (is 4): holds",
        "r: 0 of 3 used per minute for grant local, 1 with this call",
    ]


def test_deciding_and_explaining_go_through_the_same_steps() -> None:
    entry = {
        "require": [rule(("args.n", "exists", True)), rule(("args.n", "eq", 9), mode="observe")],
        "deny_if": [rule(("args.n", "gt", 5)), rule(("args.n", "gt", 1), mode="observe")],
        "approve_if": [rule(("args.ask", "eq", True)), rule(("args.n", "eq", 4), mode="observe")],
        "validate": "schema",
        "limits": [
            limit(9),
            limit(0, "o", mode="observe"),
            limit(1, "p", increment_from="args.none", mode="observe"),
        ],
    }
    engine = engine_of({"t": entry})
    engine.set_schemas({"t": {"type": "object", "properties": {"n": {}}}})
    explained = engine.explain(call(n=4), NOON_MS)
    decided = engine.admit(call(n=4), NOON_MS)
    ids = [(step.step, step.rule, step.result) for step in decided.steps]
    assert ids == [(step.step, step.rule, step.result) for step in explained.steps]
    assert [step for step, _, _ in ids] == [
        *("hide", "default", "require", "require", "deny_if", "deny_if", "validate", "approve_if", "approve_if"),
        *("limits", "limits", "limits"),
    ]
    assert [result for _, _, result in ids].count("observe") == 5
    assert [step.detail for step in decided.steps] == [
        "not hidden",
        "listed",
        "args.n exists true: holds",
        "args.n eq 9: does not hold",
        "args.n gt 5: does not hold",
        "args.n gt 1: holds",
        "the arguments satisfy the tool's schema",
        "args.ask eq true: does not hold",
        "args.n eq 4: holds",
        "within 9 per minute per grant",
        "o: 0 of 0 used per minute for grant local, this call asks for 1",
        "p: the amount is not a number of 0 or more",
    ]
    assert (decided.would_deny, decided.reason) == (
        "/tools/t/require/args.n-eq",
        "observed only: /tools/t/require/args.n-eq",
    )


def test_a_reason_names_all_conditions_of_its_rule() -> None:
    both = rule(("args.a", "eq", 1), ("args.b", "exists", False))
    engine = engine_of({"t": {"deny_if": [both, rule()]}})
    assert engine.admit(call(a=1), NOON_MS).reason == "args.a eq 1 and args.b exists false: holds"
    assert engine.admit(call(), NOON_MS).reason == "always: holds"
    numbers = engine_of({"t": {"deny_if": [rule(("args.n", "gt", 5))]}})
    assert numbers.admit(call(n="9"), NOON_MS).reason == "args.n gt 5: not a number"
    assert engine.explain(call(), NOON_MS).reason == "always: holds"


def test_what_a_schema_finds_is_only_noted_where_it_is_observed() -> None:
    engine = engine_of({"t": {"validate": "schema", "mode": "observe"}})
    step = engine.admit(call(), NOON_MS).steps[-1]
    assert (step.step, step.rule, step.result) == ("validate", "/tools/t/validate", "observe")
    assert step.detail == "upstream has not listed a schema for this tool"


def test_a_resource_is_judged_with_nothing_but_its_own_rule() -> None:
    engine = engine_of(resources={"default": "deny", "allow": ["test://a"]})
    digest = compiled(resources={"default": "deny", "allow": ["test://a"]}).digest
    assert engine.judge_resource("test://a") == Decision("allow", "", "", "", digest)
    refused = engine.judge_resource("test://b")
    assert (refused.rule, refused.reason, refused.policy) == ("/resources", "not allowed by resources", digest)
    assert refused.message == 'Resource "test://b" is not permitted by policy'
    observing = engine_of(resources="deny", mode="observe").judge_resource("test://b")
    assert (observing.verdict, observing.would_deny, observing.message) == ("allow", "/resources", "")
    assert observing.reason == "observed only: /resources"
    nothing = Engine().judge_resource("test://b")
    assert (nothing.rule, nothing.reason, nothing.policy) == ("(no policy)", "no policy is in force", "")


def test_deciding_does_not_write_values_of_arguments_into_reasons_or_steps() -> None:
    engine = engine_of({"t": {"require": [rule(("args.password", "eq", "x"))]}})
    decision = engine.admit(call(password="hunter2"), NOON_MS)
    assert "hunter2" not in repr(decision)


def test_a_redacted_argument_does_not_become_the_name_of_a_counter() -> None:
    engine = engine_of({"t": {"limits": [limit(1, scope="args.auth.key")]}}, redact=["args.auth"])
    decision = engine.admit(call(auth={"key": "hunter2"}), NOON_MS)
    assert "hunter2" not in repr(decision)
    assert outcome(engine.admit(call(auth={"key": "hunter2"}), NOON_MS)) == ("deny", "/tools/t/limits/r")
    assert outcome(engine.admit(call(auth={"key": "other"}), NOON_MS)) == ("allow", "")


def test_use_is_kept_when_the_policy_changes() -> None:
    engine = engine_of({"t": {"limits": [limit(10)]}})
    for _ in range(7):
        engine.admit(call(), NOON_MS)
    engine.install(compiled({"t": {"limits": [limit(5)]}}))
    assert outcome(engine.admit(call(), NOON_MS)) == ("deny", "/tools/t/limits/r")
    engine.install(compiled({"t": {}}))
    engine.admit(call(), NOON_MS)
    engine.install(compiled({"t": {"limits": [limit(8)]}}))
    assert outcome(engine.admit(call(), NOON_MS)) == ("allow", "")
    assert outcome(engine.admit(call(), NOON_MS)) == ("deny", "/tools/t/limits/r")


def test_a_change_of_algorithm_forgets_nothing() -> None:
    engine = engine_of({"t": {"limits": [limit(2)]}})
    engine.admit(call(), NOON_MS + 50_000)
    engine.admit(call(), NOON_MS + 50_000)
    engine.install(compiled({"t": {"limits": [limit(2, algorithm="sliding")]}}))
    assert outcome(engine.admit(call(), NOON_MS + 70_000)) == ("deny", "/tools/t/limits/r")
    assert outcome(engine.admit(call(), NOON_MS + 120_000)) == ("allow", "")
    engine.install(compiled({"t": {"limits": [limit(1)]}}))
    assert outcome(engine.admit(call(), NOON_MS + 121_000)) == ("deny", "/tools/t/limits/r")


def test_a_restart_keeps_what_was_used() -> None:
    tools = {"t": {"limits": [limit(2), limit(3, "s", "hour", algorithm="sliding")]}}
    engine = engine_of(tools)
    charges = [charge for _ in range(2) for charge in engine.admit(call(), NOON_MS).charges]
    for install_first in (True, False):
        again = Engine()
        if install_first:
            again.install(compiled(tools))
        again.restore(charges)
        again.install(compiled(tools))
        assert outcome(again.admit(call(), NOON_MS)) == ("deny", "/tools/t/limits/r")
        assert outcome(again.admit(call(), NOON_MS + MINUTE_MS)) == ("allow", "")
        assert outcome(again.admit(call(), NOON_MS + 2 * MINUTE_MS)) == ("deny", "/tools/t/limits/s")
        assert outcome(again.admit(call(), NOON_MS + HOUR_MS)) == ("allow", "")


def test_engines_of_one_upstream_share_counters() -> None:
    counters = Counters()
    first, second = Engine(counters), Engine(counters)
    first.install(compiled({"t": {"limits": [limit(1, scope="global")]}}))
    second.install(compiled({"t": {"limits": [limit(1, scope="global")]}}))
    assert outcome(first.admit(call(), NOON_MS)) == ("allow", "")
    assert outcome(second.admit(call(), NOON_MS)) == ("deny", "/tools/t/limits/r")


def test_without_sessions_a_session_is_the_grant_and_its_client() -> None:
    engine = engine_of({"t": {"limits": [limit(1, scope="session")]}})
    callers = [("ann", "cc"), ("ann", "cursor"), ("bob", "cc"), ("ann", "")]
    for grant, client in callers:
        assert outcome(engine.admit(call(grant=grant, client=client), NOON_MS)) == ("allow", "")
        assert outcome(engine.admit(call(grant=grant, client=client), NOON_MS)) == ("deny", "/tools/t/limits/r")
    assert outcome(engine.admit(call(grant="ann", client="cc", session="s1"), NOON_MS)) == ("allow", "")
    assert sorted(each.value for each in engine.counters(NOON_MS)) == ["ann/", "ann/cc", "ann/cursor", "bob/cc", "s1"]


def test_a_client_cannot_spend_the_counter_of_a_grant_by_taking_its_name() -> None:
    engine = engine_of({"t": {"limits": [limit(1, scope="client")]}, "u": {"limits": [limit(1, scope="grant")]}})
    assert outcome(engine.admit(call("t", grant="eve", client="ann"), NOON_MS)) == ("allow", "")
    assert outcome(engine.admit(call("u", grant="ann"), NOON_MS)) == ("allow", "")


def test_the_counters_of_the_policy_in_force_are_listed_while_something_is_used() -> None:
    engine = engine_of({"t": {"limits": [limit(5), limit(3, "s", "hour", algorithm="sliding")]}})
    assert engine.counters(NOON_MS) == []
    engine.admit(call(), NOON_MS + 10_000)
    assert [(each.name, each.used, each.resets_at_ms - NOON_MS) for each in engine.counters(NOON_MS + 20_000)] == [
        ("r", 1, MINUTE_MS),
        ("s", 1, HOUR_MS + 10_000),
    ]
    assert [each.name for each in engine.counters(NOON_MS + MINUTE_MS)] == ["s"]
    engine.install(compiled({"t": {"limits": [limit(7, scope="global")]}}))
    assert engine.counters(NOON_MS + 20_000) == []


def test_what_was_not_sent_is_taken_back() -> None:
    engine = engine_of({"t": {"limits": [limit(1)]}})
    decision = engine.admit(call(), NOON_MS)
    engine.refund(decision.charges)
    assert outcome(engine.admit(call(), NOON_MS)) == ("allow", "")


@pytest.mark.parametrize("back_ms", [1_000, 30_000, MINUTE_MS, HOUR_MS, DAY_MS])
def test_a_clock_that_jumps_back_does_not_open_a_spent_window(back_ms: int) -> None:
    for algorithm in ("fixed", "sliding"):
        engine = engine_of({"t": {"limits": [limit(2, algorithm=algorithm)]}})
        engine.admit(call(), NOON_MS + 30_000)
        engine.admit(call(), NOON_MS + 30_000)
        assert outcome(engine.admit(call(), NOON_MS + 30_000 - back_ms)) == ("deny", "/tools/t/limits/r")


def test_a_window_that_was_spent_stays_spent_when_the_clock_returns_to_it() -> None:
    engine = engine_of({"t": {"limits": [limit(2)]}})
    engine.admit(call(), NOON_MS)
    engine.admit(call(), NOON_MS)
    assert outcome(engine.admit(call(), NOON_MS + MINUTE_MS)) == ("allow", "")
    assert outcome(engine.admit(call(), NOON_MS + 5_000)) == ("deny", "/tools/t/limits/r")


@pytest.mark.parametrize(
    ("rule_", "allowed", "denied"),
    [
        (None, [], ["test://a"]),
        ("allow", ["test://a"], []),
        ("deny", [], ["test://a"]),
        ({"default": "deny", "allow": ["test://*"], "deny": ["*secret*"]}, ["test://a"], ["x://a", "test://secret"]),
        ({"default": "allow", "deny": ["test://*"]}, ["x://a"], ["test://a"]),
    ],
)
def test_resources_and_prompts_have_rules_of_their_own(rule_: Any, allowed: list[str], denied: list[str]) -> None:
    top = {} if rule_ is None else {"resources": rule_, "prompts": rule_}
    engine = engine_of(**top)
    assert all(outcome(engine.judge_resource(uri)) == ("allow", "") for uri in allowed)
    assert all(outcome(engine.judge_resource(uri)) == ("deny", "/resources") for uri in denied)
    assert all(outcome(engine.judge_prompt(name)) == ("allow", "") for name in allowed)
    assert all(outcome(engine.judge_prompt(name)) == ("deny", "/prompts") for name in denied)


def test_resources_and_prompts_are_not_taken_for_each_other() -> None:
    engine = engine_of(resources="allow", prompts="deny")
    assert outcome(engine.judge_resource("x")) == ("allow", "")
    assert outcome(engine.judge_prompt("x")) == ("deny", "/prompts")


def test_a_refused_resource_is_named_and_an_observed_one_passes() -> None:
    assert engine_of().judge_resource("test://a").message == 'Resource "test://a" is not permitted by policy'
    assert engine_of().judge_prompt("p").message == 'Prompt "p" is not permitted by policy'
    observed = engine_of(mode="observe").judge_prompt("p")
    assert (observed.verdict, observed.would_deny) == ("allow", "/prompts")
