"""What-if: recorded calls over a draft."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwatch.policy.instants import instant_text
from mcpwatch.policy.replay import Report, replay, replay_json
from mcpwatch.policy.veil import has_redacted
from tests.policy.build import MINUTE_MS, NOON_MS, compiled, limit, rule

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"x": {}}}


def record(seq: int, args: Any = None, **more: Any) -> dict[str, Any]:
    """An audit record as `audit search --json` prints it, reduced to what is read."""
    return {
        "seq": seq,
        "call_id": f"c{seq}",
        "at": instant_text(NOON_MS + seq * 1_000),
        "grant": "local",
        "client": {"name": "cc", "version": "1"},
        "session": "s1",
        "method": "tools/call",
        "tool": "t",
        "args": {} if args is None else args,
        "decision": "allow",
        "rule": "",
        "held_ms": None,
        "outcome": "ok",
    } | more


def flips(report: Report) -> list[tuple[str, str, str, str, int, list[int]]]:
    return [(each.tool, each.rule, each.before, each.after, each.count, each.seqs) for each in report.of("flip")]


def test_a_draft_that_decides_alike_flips_nothing() -> None:
    denied = record(2, tool="u", decision="deny", rule="(default deny)", outcome="not_sent")
    report = replay([record(1), denied], compiled({"t": {}}))
    assert (report.calls, report.flipped, report.skipped, report.findings) == (2, 0, 0, ())


def test_flips_are_told_by_tool_and_rule_with_the_first_call() -> None:
    records = [record(seq, {"n": seq}) for seq in range(10)] + [record(20, tool="u")]
    report = replay(records, compiled({"t": {"deny_if": [rule(("args.n", "gt", 6))]}}))
    assert flips(report) == [
        ("t", "/tools/t/deny_if/args.n-gt", "allow", "deny", 3, [7, 8, 9]),
        ("u", "(default deny)", "allow", "deny", 1, [20]),
    ]
    assert [each.first_at for each in report.of("flip")] == ["2026-11-22T12:00:07.000Z", "2026-11-22T12:00:20.000Z"]
    assert report.of("flip")[0].last_at == "2026-11-22T12:00:09.000Z"
    assert report.flipped == 4


def test_what_a_draft_would_let_pass_names_the_rule_that_had_refused_it() -> None:
    denied = record(1, decision="deny", rule="/tools/t/deny_if/0", outcome="not_sent")
    assert flips(replay([denied], compiled({"t": {}}))) == [("t", "/tools/t/deny_if/0", "deny", "allow", 1, [1])]


def test_limits_count_as_the_draft_would_have_counted() -> None:
    records = [record(seq) for seq in range(6)] + [record(61)]
    report = replay(records, compiled({"t": {"limits": [limit(4)]}}))
    assert flips(report) == [("t", "/tools/t/limits/r", "allow", "deny", 2, [4, 5])]
    sliding = replay(records, compiled({"t": {"limits": [limit(4, algorithm="sliding")]}}))
    assert flips(sliding) == [("t", "/tools/t/limits/r", "allow", "deny", 2, [4, 5])]
    assert replay(records, compiled({"t": {"limits": [limit(4, scope="args.x", window=MINUTE_MS)]}})).flipped == 3


def test_a_call_that_was_not_sent_is_not_counted_but_one_that_would_now_be_sent_is() -> None:
    draft = compiled({"t": {"limits": [limit(1)]}})
    assert replay([record(1, outcome="not_sent"), record(2)], draft).flipped == 0
    denied = record(1, decision="deny", rule="(hidden)", outcome="not_sent")
    assert flips(replay([denied, record(2)], draft)) == [
        ("t", "(hidden)", "deny", "allow", 1, [1]),
        ("t", "/tools/t/limits/r", "allow", "deny", 1, [2]),
    ]


def held(seq: int, after: str, rule_: str = "") -> list[dict[str, Any]]:
    """A held call: the row of the hold, and the one of what the operator said."""
    first = record(seq, decision="hold", rule="/tools/t/approve_if/0", outcome=None)
    return [first, first | {"seq": seq + 1, "decision": after, "rule": rule_, "held_ms": 900, "outcome": "ok"}]


def test_a_held_call_that_was_approved_counts_when_the_draft_holds_it_too() -> None:
    draft = compiled({"t": {"approve_if": [rule()], "limits": [limit(1)]}})
    assert flips(replay([*held(1, "allow"), *held(3, "allow")], draft)) == [
        ("t", "/tools/t/limits/r", "allow", "deny", 1, [4])
    ]
    assert replay([*held(1, "deny", "(refused)"), *held(3, "allow")], draft).flipped == 0
    assert replay(held(1, "allow"), draft).calls == 1


def test_a_hold_that_a_draft_lifts_flips_once() -> None:
    report = replay(held(1, "allow"), compiled({"t": {"limits": [limit(1)]}}))
    assert flips(report) == [("t", "/tools/t/approve_if/0", "hold", "allow", 1, [1])]


@pytest.mark.parametrize(
    "other",
    [
        {"method": "resources/read", "tool": "", "args": {"uri": "test://x"}},
        {"decision": "reject", "rule": "(malformed)", "args": None},
        {"decision": "deny", "rule": "(frozen)"},
        {"decision": "deny", "rule": "/internal"},
        {"args": None},
    ],
)
def test_what_no_policy_decided_is_left_out(other: dict[str, Any]) -> None:
    report = replay([record(1) | other], compiled({"u": {}}))
    assert (report.calls, report.skipped, report.findings) == (0, 1, ())


@pytest.mark.parametrize(
    ("entry", "args", "path"),
    [
        ({"require": [rule(("args.x", "eq", "a"))]}, {"x": "[redacted]"}, "args.x"),
        ({"require": [rule(("args.x", "contains", "a"))]}, {"x": "key=[redacted]"}, "args.x"),
        ({"require": [rule(("args.x.y", "eq", "a"))]}, {"x": "[redacted]"}, "args.x"),
        ({"require": [rule(("args.x.y", "eq", "a"))]}, {"x": {"y": "[redacted]"}}, "args.x.y"),
        ({"deny_if": [rule(("args.x", "eq", {"y": 1}))]}, {"x": {"y": "[redacted]"}}, "args.x"),
        ({"deny_if": [rule(("args.x", "contains", "a"))]}, {"x": ["[redacted]"]}, "args.x"),
        ({"limits": [limit(1, scope="args.x")]}, {"x": "[redacted]"}, "args.x"),
        ({"limits": [limit(1, scope="args.x")]}, {"x": {"y": "[redacted]"}}, "args.x"),
        ({"limits": [limit(1, increment_from="args.x")]}, {"x": "[redacted]"}, "args.x"),
        (
            {"require": [rule(("args.n", "eq", 1))], "limits": [limit(1, scope="args.x")]},
            {"n": 1, "x": "[redacted]"},
            "args.x",
        ),
        ({"validate": "schema"}, {"x": "[redacted]"}, "args"),
        ({"validate": "schema", "require": [rule(("args.n", "eq", 1))]}, {"n": 1, "x": "[redacted]"}, "args"),
    ],
)
def test_a_redacted_argument_that_the_draft_needs_cannot_be_known(entry: Any, args: Any, path: str) -> None:
    report = replay([record(1, args)], compiled({"t": entry}), schemas={"t": SCHEMA})
    assert [(each.tool, each.rule, each.count) for each in report.of("unknown")] == [("t", path, 1)]
    assert report.flipped == 0


def test_what_only_a_schema_decides_cannot_be_known_without_it() -> None:
    draft = compiled({"t": {"validate": "schema", "deny_if": [rule(("args.n", "eq", 1))]}})
    records = [record(1, {"n": 1}), record(2, {"n": 2}), record(3, {"n": 3})]
    report = replay(records, draft)
    assert flips(report) == [("t", "/tools/t/deny_if/args.n-eq", "allow", "deny", 1, [1])]
    assert [(each.rule, each.count, each.after) for each in report.of("unknown")] == [("the tool's schema", 2, "")]
    assert replay(records, draft, schemas={}).flipped == 3


def test_what_would_only_be_observed_is_written_too() -> None:
    draft = compiled({"t": {"deny_if": [rule(mode="observe")]}})
    (found,) = replay_json(replay([record(1)], draft))["observed"]
    assert (found["rule"], found["before"], found["after"], found["seqs"]) == (
        "/tools/t/deny_if/0",
        "allow",
        "allow",
        [1],
    )


def test_a_part_of_a_text_or_of_one_member_is_enough_to_be_redacted() -> None:
    for value in ("key=[redacted];", {"a": "x", "b": "[redacted]"}, ["x", {"a": ["y", "[redacted]"]}]):
        assert has_redacted(value)
    for value in ("redacted", {"[redacted]": 1}, ["x"], 5, None, True):
        assert not has_redacted(value)


def test_a_redacted_argument_that_decides_nothing_is_no_obstacle() -> None:
    entry = {
        "deny_if": [rule(("args.n", "eq", 1)), rule(("args.x.z", "eq", 1))],
        "require": [rule(("args.n", "exists", True))],
    }
    draft = compiled({"t": entry})
    assert flips(replay([record(1, {"n": 1, "x": {"y": "[redacted]"}})], draft)) == [
        ("t", "/tools/t/deny_if/args.n-eq", "allow", "deny", 1, [1])
    ]
    assert replay([record(1, {"n": 2, "x": {"y": "[redacted]"}, "w": "[redacted]"})], draft).findings == ()


def test_what_a_draft_only_observes_is_told_apart() -> None:
    report = replay([record(1)], compiled({"t": {"deny_if": [rule(mode="observe")]}}))
    assert report.flipped == 0
    assert [(each.rule, each.count) for each in report.of("observed")] == [("/tools/t/deny_if/0", 1)]


def test_calls_before_the_time_asked_for_only_fill_counters() -> None:
    records = [record(seq) for seq in range(6)]
    draft = compiled({"t": {"limits": [limit(4)]}})
    report = replay(records, draft, since=records[5]["at"])
    assert report.calls == 1
    assert flips(report) == [("t", "/tools/t/limits/r", "allow", "deny", 1, [5])]
    assert replay(records[5:], draft).flipped == 0


def test_a_report_is_written_as_json() -> None:
    draft = compiled({"t": {"require": [rule(("args.x", "eq", 1))]}})
    report = replay([record(1), record(2, {"x": "[redacted]"})], draft)
    assert json.loads(json.dumps(replay_json(report))) == {
        "calls": 2,
        "skipped": 0,
        "flipped": 1,
        "flips": [
            {
                "tool": "t",
                "rule": "/tools/t/require/args.x-eq",
                "before": "allow",
                "after": "deny",
                "count": 1,
                "first_at": "2026-11-22T12:00:01.000Z",
                "last_at": "2026-11-22T12:00:01.000Z",
                "seqs": [1],
            }
        ],
        "observed": [],
        "cannot_be_known": [
            {"tool": "t", "path": "args.x", "count": 1, "first_at": "2026-11-22T12:00:02.000Z", "seqs": [2]}
        ],
    }


def test_only_a_few_calls_are_named_under_a_finding() -> None:
    report = replay([record(seq) for seq in range(100)], compiled())
    assert [(each.count, each.seqs) for each in report.findings] == [(100, [0, 1, 2, 3, 4])]
