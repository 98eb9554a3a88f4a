"""The decision on one call, with every step that led to it."""

from __future__ import annotations

import json

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.explain import explain_json
from mcpwatch.policy.reader import read_policy
from tests.policy.build import NOON_MS, call, engine_of, limit, rule

TEXT = """{
  "version": "1",
  "default": "deny",
  "tools": {
    "t": {
      "require": [
        {"conditions": [{"path": "args.ns", "op": "in", "value": ["dev"]}]}
      ],
      "limits": [
        {"counter": "r", "window": "minute", "max": 2},
        {"counter": "r", "window": "hour", "max": 9}
      ]
    }
  }
}"""


def engine_of_text() -> Engine:
    engine = Engine()
    engine.install(compile_policy(read_policy(TEXT.encode())))
    return engine


def test_each_step_names_the_values_and_the_line_of_the_policy() -> None:
    explained = explain_json(engine_of_text(), call(ns="dev"), NOON_MS)
    assert (explained["decision"], explained["rule"]) == ("allow", "")
    assert explained["steps"] == [
        {"step": "hide", "rule": "", "result": "pass", "detail": "not hidden", "line": None},
        {"step": "default", "rule": "", "result": "pass", "detail": "listed", "line": None},
        {
            "step": "require",
            "rule": "/tools/t/require/args.ns-in",
            "result": "pass",
            "detail": 'args.ns in ["dev"] (is "dev"): holds',
            "line": 7,
        },
        {
            "step": "limits",
            "rule": "/tools/t/limits/r",
            "result": "pass",
            "detail": "r: 0 of 2 used per minute for grant local, 1 with this call",
            "line": 10,
        },
        {
            "step": "limits",
            "rule": "/tools/t/limits/r",
            "result": "pass",
            "detail": "r: 0 of 9 used per hour for grant local, 1 with this call",
            "line": 10,
        },
    ]


def test_counters_are_told_before_and_after_the_call() -> None:
    engine = engine_of_text()
    engine.admit(call(ns="dev"), NOON_MS)
    explained = explain_json(engine, call(ns="dev"), NOON_MS + 1)
    assert [(each["before"], each["used"], each["max"], each["resets_at"]) for each in explained["counters"]] == [
        (1, 2, 2, "2026-11-22T12:01:00.000Z"),
        (1, 2, 9, "2026-11-22T13:00:00.000Z"),
    ]
    engine.admit(call(ns="dev"), NOON_MS + 1)
    denied = explain_json(engine, call(ns="dev"), NOON_MS + 2)
    assert denied["rule"] == "/tools/t/limits/r"
    assert denied["retry_after_s"] == 60
    assert denied["message"] == "Rate limit of 2 per minute reached. Try again in 60 s."
    assert [(each["before"], each["used"]) for each in denied["counters"]] == [(2, 2), (2, 2)]
    assert denied["steps"][-1]["detail"] == "r: 2 of 2 used per minute for grant local, this call asks for 1"


def test_a_denial_is_explained_up_to_the_step_that_decided() -> None:
    explained = explain_json(engine_of_text(), call(ns="prod"), NOON_MS)
    assert explained["reason"] == 'args.ns in ["dev"] (is "prod"): does not hold'
    assert explained["steps"][-1]["result"] == "deny"
    assert explained["counters"] == []
    missing = explain_json(engine_of_text(), call(), NOON_MS)
    assert missing["reason"] == 'args.ns in ["dev"] (is missing): does not hold'


def test_every_stage_can_be_explained_and_written_as_json() -> None:
    entry = {
        "deny_if": [rule(("args.n", "gt", 5)), rule(("args.n", "eq", 1), mode="observe")],
        "approve_if": [rule(("args.ask", "eq", True)), rule(mode="observe")],
        "limits": [limit(1, mode="observe", scope="global"), limit(2, "s", increment_from="args.n", mode="observe")],
    }
    engine = engine_of({"t": entry})
    engine.admit(call(n=0), NOON_MS)
    cases = {
        "deny": call(n="6"),
        "hold": call(n=0, ask=True),
        "allow": call(n=1),
    }
    for verdict, made in cases.items():
        assert json.loads(json.dumps(explain_json(engine, made, NOON_MS)))["decision"] == verdict
    observed = explain_json(engine, call(n=1), NOON_MS)
    assert observed["would_deny"] == "/tools/t/deny_if/args.n-eq"
    assert [step["result"] for step in observed["steps"]].count("observe") == 3
    no_amount = explain_json(engine, call(n=-1), NOON_MS)
    assert no_amount["steps"][-1]["rule"] == "/tools/t/limits/s#amount"
    assert explain_json(engine, cases["hold"], NOON_MS, approved=True)["decision"] == "allow"


def test_a_counter_is_told_with_all_that_its_reader_needs() -> None:
    engine = engine_of({"t": {"limits": [limit(5, scope="args.ns")]}})
    engine.admit(call(ns="dev"), NOON_MS)
    assert explain_json(engine, call(ns="dev"), NOON_MS)["counters"] == [
        {
            "name": "r",
            "scope": "args.ns",
            "value": "dev",
            "before": 1,
            "used": 2,
            "max": 5,
            "window": "minute",
            "resets_at": "2026-11-22T12:01:00.000Z",
            "rule": "/tools/t/limits/r",
        }
    ]


def test_what_no_line_decides_has_no_line() -> None:
    engine = engine_of({"t": {"validate": "schema"}, "u": {}}, all_tools={"deny_if": [rule(("args.x", "eq", 1))]})
    assert [step["line"] for step in explain_json(engine, call(), NOON_MS)["steps"]] == [None, None, 1, 1]


def test_what_keeps_a_tool_out_is_named_with_its_line() -> None:
    lines = (
        '{"version": "1",',
        '"default": "deny",',
        '"hide": ["a",',
        '"b*"],',
        '"all_tools":',
        '{"validate": "schema"},',
        '"tools": {"t": {},',
        '"u": {"action": "hide"}, "v":',
        '{"validate": "schema"}}}',
    )
    engine = Engine()
    engine.install(compile_policy(read_policy("\n".join(lines).encode())))

    def line(tool: str) -> object:
        return explain_json(engine, call(tool), NOON_MS)["steps"][-1]["line"]

    assert {tool: line(tool) for tool in ("a", "bb", "none", "t", "u", "v")} == {
        "a": 3,
        "bb": 4,
        "none": 2,
        "t": 5,
        "u": 8,
        "v": 8,
    }


def test_without_a_policy_there_is_one_step() -> None:
    explained = explain_json(Engine(), call(), NOON_MS)
    assert explained["policy"] == ""
    assert [step["rule"] for step in explained["steps"]] == ["(no policy)"]
