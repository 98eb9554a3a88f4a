"""What the console knows after what the gateway told it."""

from __future__ import annotations

from typing import Any

from mcpwatch.console.ledger import Ledger
from tests.console.feed import DIGEST, POLICY_TEXT, START_MS, Feed, Object, hello, status


def told(*events: Object, at_ms: int = START_MS, capacity: int = 100) -> Ledger:
    ledger = Ledger(capacity)
    for event in (hello(), *events):
        ledger.fold(event)
    ledger.tick(at_ms)
    return ledger


def problem(**changes: Any) -> Object:
    return {"line": 16, "column": 7, "pointer": "/tools/t", "message": "unknown field", "severity": "error"} | changes


def test_a_call_is_one_row_whose_outcome_comes_later() -> None:
    feed = Feed()
    decided, settled = feed.call("triage", "get_k8s_events", {"kind": "Pod"}, latency_ms=42)
    ledger = told(decided)
    call = ledger.calls[0]
    assert (call.word, call.settled, call.record["latency_ms"], call.revision) == ("allow", False, None, 0)
    ledger.fold(settled)
    assert (call.settled, call.record["latency_ms"], call.revision) == (True, 42, 1)
    assert ledger.changed == [0]
    assert len(ledger.calls) == 1


def test_the_words_tell_limits_rules_hidden_tools_and_observation_apart() -> None:
    feed = Feed()
    events = [*feed.call("probe", "add_inline_policy", {}), *feed.call("probe", "manage_eks_stacks", {})]
    events += feed.call("deploy", "apply_yaml", {"namespace": "prod"})
    for _ in range(11):
        events += feed.call("runaway", "invoke_agent_runtime", {})
    for _ in range(4):
        events += feed.call("triage", "get_cloudwatch_metrics", {})
    words = [call.word for call in told(*events).calls]
    assert words[:3] == ["hidden", "deny", "hold"]
    assert words[3:14] == ["allow"] * 10 + ["limit"]
    assert words[14:] == ["allow"] * 3 + ["observe"]


def test_a_call_refused_before_the_policy_is_rejected() -> None:
    decided = next(iter(Feed().call("probe", "x", {})))
    decided["record"] |= {"decision": "reject", "rule": "(no token)", "tool": "", "method": "tools/call"}
    call = told(decided).calls[0]
    assert (call.word, call.settled, call.tool) == ("reject", True, "tools/call")


def test_a_held_call_stays_one_row_when_the_operator_has_decided() -> None:
    feed = Feed()
    decided, opened = feed.call("deploy", "apply_yaml", {"namespace": "prod"})
    ledger = told(decided, opened)
    assert [hold.call.tool for hold in ledger.waiting()] == ["apply_yaml"]
    record = decided["record"] | {"decision": "allow", "held_ms": 3000, "approved_by": "kim"}
    ledger.fold(
        {"type": "hold_closed", "at_ms": START_MS, "call_id": record["call_id"], "how": "approved", "by": "kim"}
    )
    ledger.fold({"type": "call_decided", "record": record})
    ledger.fold(feed.settled(record["call_id"], 3100, "ok"))
    assert ledger.waiting() == []
    assert len(ledger.calls) == 1
    assert (ledger.calls[0].word, ledger.calls[0].record["approved_by"]) == ("allow", "kim")
    assert ledger.latencies.percentile(START_MS, 0.5) == 100


def test_the_hold_with_the_least_time_left_comes_first() -> None:
    feed = Feed()
    first = list(feed.call("deploy", "apply_yaml", {"namespace": "prod"}))
    second = list(feed.call("deploy", "apply_yaml", {"namespace": "prod"}))
    second[1]["expires_at_ms"] = START_MS + 1000
    ledger = told(*first, *second)
    assert [hold.call.call_id for hold in ledger.waiting()] == ["c000002", "c000001"]


def test_refusals_are_counted_and_rated() -> None:
    feed = Feed()
    events = [event for _ in range(15) for event in feed.call("runaway", "invoke_agent_runtime", {})]
    ledger = told(*events, at_ms=START_MS + 1000)
    assert ledger.refused == 5
    assert ledger.rate == 3
    stats = ledger.stats("eks", "invoke_agent_runtime")
    assert (stats.calls, stats.refused) == (15, 5)
    assert ledger.stats("eks", "never_called").calls == 0


def test_limits_come_nearest_to_exhaustion_first_with_who_used_them() -> None:
    feed = Feed()
    events = [event for _ in range(12) for event in feed.call("runaway", "invoke_agent_runtime", {})]
    events += [event for _ in range(3) for event in feed.call("triage", "get_pod_logs", {})]
    first, *rest = told(*events).limits()
    assert (first.name, first.value, first.used, first.max, first.refused) == (
        "invoke_agent_runtime_rate",
        "runaway",
        10,
        10,
        2,
    )
    assert first.tool == "invoke_agent_runtime"
    shared = next(meter for meter in rest if meter.name == "all_calls")
    assert shared.who == [("runaway", 10), ("triage", 3)]
    unused = [meter.name for meter in rest if not meter.live]
    assert unused == ["changes", "deletes", "list_rate", "metrics_rate"]
    assert [meter.live for meter in rest] == sorted((meter.live for meter in rest), reverse=True)


def test_counters_told_once_a_second_may_also_go_down() -> None:
    ledger = told()
    state = {"name": "logs_rate", "scope": "grant", "value": "a", "used": 7, "max": 120, "window": "minute"}
    state |= {
        "window_ms": 60_000,
        "resets_at": "2026-11-22T10:31:00.000Z",
        "rule": "/tools/get_pod_logs/limits/logs_rate",
    }
    ledger.fold({"type": "counters", "counters": [state]})
    ledger.fold({"type": "counters", "counters": [state | {"used": 5}]})
    meter = next(meter for meter in ledger.limits() if meter.name == "logs_rate")
    assert (meter.used, meter.value, meter.upstream) == (5, "a", "eks")


def test_a_broken_policy_file_keeps_the_policy_and_says_where_the_fault_is() -> None:
    ledger = told(
        {"type": "policy_rejected", "at_ms": 0, "upstream": "eks", "file": "eks.json", "problems": [problem()]}
    )
    view = ledger.policies["eks"]
    assert view.error == "/etc/mcpwatch/eks.json:16:7 /tools/t unknown field"
    assert (view.digest, view.default) == (DIGEST, "deny")


def test_warnings_are_no_fault_and_a_good_file_ends_it() -> None:
    ledger = told(
        {"type": "policy_rejected", "at_ms": 0, "upstream": "eks", "file": "eks.json", "problems": [problem()]}
    )
    event = {"type": "policy_installed", "at_ms": START_MS, "upstream": "eks", "file": "eks.json", "digest": "f" * 64}
    ledger.fold(event | {"text": POLICY_TEXT.replace('"deny"', '"allow"', 1), "by": "kim", "warnings": []})
    view = ledger.policies["eks"]
    assert (view.error, view.default, view.by, view.installed_at_ms) == ("", "allow", "kim", START_MS)


def test_the_own_policy_of_a_grant_is_no_upstreams_and_its_fault_ends_with_a_good_file() -> None:
    about = {"at_ms": 0, "upstream": "grant:kim", "file": "/etc/kim.json"}
    ledger = told({"type": "policy_rejected", **about, "problems": [problem()]})
    assert ledger.grant_faults == {"kim": "kim.json:16:7 /tools/t unknown field"}
    ledger.fold({"type": "policy_installed", **about, "digest": "f" * 64, "text": POLICY_TEXT, "by": "file"})
    assert (ledger.grant_faults, list(ledger.policies)) == ({}, ["eks"])


def test_a_snapshot_replaces_what_was_known_and_restores_holds() -> None:
    feed = Feed()
    ledger = told(*feed.run(20))
    held = next(iter(feed.call("deploy", "apply_yaml", {"namespace": "prod"})))["record"]
    public = held | {"at": "2026-11-22T10:30:00.000Z", "client": {"name": "x", "version": "1"}, "outcome": None}
    del public["at_ms"]
    end = ledger.calls.end
    waiting = {"call_id": held["call_id"], "at": public["at"], "expires_at": "2026-11-22T10:30:45.000Z"}
    ledger.fold(hello(calls=[public], holds=[waiting], frozen=["grant:probe"]))
    assert [call.number for call in ledger.calls] == [end]
    assert [hold.expires_at_ms for hold in ledger.waiting()] == [START_MS + 45_000]
    assert ledger.frozen == {"grant:probe"}
    assert ledger.refused == 0


def test_the_ring_forgets_the_oldest_calls_and_their_names() -> None:
    ledger = told(*[event for _ in range(30) for event in Feed().call("a", "get_k8s_events", {})][:1], capacity=10)
    feed = Feed(seed=5, seq=100)
    for _ in range(25):
        for event in feed.call("a", "get_k8s_events", {}):
            ledger.fold(event)
    assert (len(ledger.calls), ledger.calls.first, ledger.calls.end) == (10, 16, 26)
    assert ledger.calls.named("c000101") is None
    assert ledger.calls.named("c000125") is ledger.calls[25]
    ledger.fold(feed.settled("c000101", 5))
    assert ledger.calls.get(3) is None


def test_status_tells_what_no_event_tells_and_nothing_that_events_tell() -> None:
    ledger = told({"type": "frozen", "at_ms": 0, "scope": "*", "on": True, "by": ""})
    ledger.fold({"type": "status", "status": status(START_MS, consoles=3, frozen=[])})
    assert ledger.state["consoles"] == 3
    assert ledger.frozen == {"*"}
    ledger.fold({"type": "frozen", "at_ms": 0, "scope": "*", "on": False, "by": ""})
    assert ledger.frozen == set()


def test_upstreams_tools_audit_and_losses_are_kept() -> None:
    ledger = told(
        {
            "type": "upstream_changed",
            "at_ms": 1,
            "upstream": "eks",
            "state": "failed",
            "error": "no region",
            "remedy": "--env",
        },
        {"type": "tools_changed", "at_ms": 2, "upstream": "eks", "tools": [{"name": "a"}]},
        {"type": "audit_state", "at_ms": 3, "state": "failed", "error": "disk full"},
        {"type": "dropped", "count": 12},
        {"type": "something_newer", "at_ms": 4},
    )
    upstream = ledger.upstreams["eks"]
    assert (upstream.state, upstream.error, upstream.remedy, len(upstream.tools)) == ("failed", "no region", "--env", 1)
    assert (ledger.audit_state, ledger.audit_error, ledger.dropped) == ("failed", "disk full", 12)


def test_shared_counters_that_fail_come_back_or_were_emptied_are_known() -> None:
    ledger = told(*Feed().run(30))
    assert any(meter.used for meter in ledger.meters.nearest(START_MS))
    ledger.fold({"type": "counters_state", "at_ms": 3, "state": "failed", "error": "no answer", "emptied_at_ms": None})
    assert (ledger.counters_error, ledger.counters_emptied_ms) == ("no answer", 0)
    ledger.fold({"type": "counters_state", "at_ms": 9, "state": "ok", "error": "", "emptied_at_ms": 9})
    assert (ledger.counters_error, ledger.counters_emptied_ms) == ("", 9)
    assert ledger.meters.nearest(START_MS)
    assert not any(meter.used for meter in ledger.meters.nearest(START_MS))
    store = {"store": "redis://h:6379/0", "state": "failed", "error": "refused", "emptied_at": None}
    ledger.fold({**hello(), "status": {**hello()["status"], "counter_store": store}})
    assert (ledger.counters_error, ledger.counters_emptied_ms) == ("refused", 0)


def test_a_snapshot_of_another_shape_shows_less_but_breaks_nothing() -> None:
    ledger = Ledger()
    ledger.fold({"type": "hello", "status": None, "calls": "x", "tools": [], "policies": None, "counters": 7})
    assert len(ledger.calls) == 0
    assert ledger.policies == {}
