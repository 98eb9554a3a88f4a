"""The first screen: what streams, what stands still, what an operator does from it."""

from __future__ import annotations

import json

import pytest

from mcpwatch.console.detail import DetailScreen
from mcpwatch.console.orders import QuickEdit, ShowRule
from tests.console.driving import Bench, console, traffic
from tests.console.feed import START_MS, Feed, Object, hello, status

SIZES = [(60, 15), (80, 24), (100, 30), (120, 40), (164, 46), (200, 50)]


def calls(count: int, tool: str = "get_k8s_events", agent: str = "triage") -> list[Object]:
    feed = Feed()
    return [event for _ in range(count) for event in feed.call(agent, tool, {"kind": "Pod"}, latency_ms=20)]


def asked(bench: Bench) -> list[QuickEdit]:
    """The changes that panels asked the app for."""
    return [message for message in bench.messages if isinstance(message, QuickEdit)]


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_answers_what_the_operator_asks_first(size: tuple[int, int]) -> None:
    events, at_ms = traffic(120)
    async with console(*events, size=size, at_ms=at_ms) as bench:
        text = bench.text()
        assert "● LIVE" in text
        assert "default DENY" in text
        assert "invoke_agent_runtime" in text
        assert "LIMITS" in text
        assert "FULL" in text
        assert all(len(line) == size[0] for line in text.split("\n"))


@pytest.mark.parametrize("width", [60, 70, 80, 90, 100, 120, 160, 200])
async def test_the_header_never_overflows(width: int) -> None:
    busy = hello(consoles=12, instance="a-rather-long-instance-name")
    busy["connect"]["endpoints"]["eks"] = "http://a-long-host.example.internal:17330/mcp/eks"
    held = list(Feed().call("deploy", "apply_yaml", {"namespace": "prod"}))
    async with console(*held, first=busy, size=(width, 24)) as bench:
        first, second = bench.text().split("\n")[:2]
        assert first.rstrip().endswith("default DENY")
        assert "● LIVE" in first
        assert "policy" in second
        assert "1 WAITING" in second or "?1" in second


async def test_a_row_tells_time_decision_tool_caller_use_and_duration() -> None:
    feed = Feed()
    events = [
        event for _ in range(11) for event in feed.call("runaway", "invoke_agent_runtime", {"n": 1}, latency_ms=42)
    ]
    async with console(*events) as bench:
        first = bench.row("ALLOW")
        for cell in ("10:30:00", "✓ ALLOW", "invoke_agent_runtime", "runaway", "1/10", "42ms"):
            assert cell in first
        assert "! LIMIT" in bench.row("LIMIT  ")
        assert "10/10" in bench.row("! LIMIT")


async def test_new_calls_are_followed_until_the_operator_pauses() -> None:
    async with console(*calls(100)) as bench:
        assert "following · 100" in bench.text()
        await bench.press("space")
        await bench.tell(
            *[event | {"record": event["record"] | {"call_id": f"n{i}"}} for i, event in enumerate(calls(7)[::2])]
        )
        assert "paused, 7 new ↓" in bench.text()
        top = bench.live.stream.scroll_offset.y
        assert bench.live.stream.view.number_at(top) == 101 - bench.live.stream.size.height
        await bench.press("f")
        assert "following · 107" in bench.text()


async def test_moving_selects_a_call_and_keeps_it_while_others_arrive() -> None:
    async with console(*calls(50)) as bench:
        await bench.press("k", "k", "k")
        selected = bench.live.stream.selected
        assert selected is not None
        assert selected.number == 47
        assert bench.live.stream.following is False
        await bench.press("G")
        assert bench.live.stream.selected is None
        assert bench.live.stream.following is True
        await bench.press("g")
        assert bench.live.stream.cursor == 0
        await bench.press("ctrl+d")
        assert bench.live.stream.cursor == (bench.live.stream.size.height - 1) // 2


async def test_the_selected_call_stays_in_place_when_old_calls_leave_the_ring() -> None:
    async with console() as bench:
        bench.app.ledger.calls.__init__(30)
        bench.live.stream.catch_up()
        await bench.tell(*calls(30))
        await bench.press("k")
        cursor = bench.live.stream.cursor
        later = [event | {"record": event["record"] | {"call_id": f"n{i}"}} for i, event in enumerate(calls(5)[::2])]
        await bench.tell(*later)
        assert bench.live.stream.cursor == cursor
        line = bench.live.stream.view.line_of(cursor or 0)
        assert 0 <= line - bench.live.stream.scroll_offset.y < 37


async def test_the_outcome_is_drawn_into_the_row_when_it_comes() -> None:
    feed = Feed()
    decided, settled = feed.call("triage", "get_k8s_events", {}, latency_ms=321)
    async with console(decided) as bench:
        assert "321ms" not in bench.row("get_k8s_events")
        settled["outcome"]["outcome"] = "tool_error"
        await bench.tell(settled)
        assert "321ms!" in bench.row("ALLOW")


async def test_a_filter_is_applied_while_it_is_typed_and_taken_away_with_escape() -> None:
    events, at_ms = traffic(80)
    async with console(*events, at_ms=at_ms) as bench:
        await bench.press("slash", *"dec:limit")
        await bench.drawn()
        shown = [line for line in bench.text().split("\n") if line[1:3].isdigit()]
        assert shown
        assert all("! LIMIT" in line for line in shown)
        await bench.press("enter")
        assert "match dec:limit" in bench.text()
        assert bench.live.stream.has_focus
        await bench.press("escape")
        assert "match" not in bench.text()
        assert bench.app.is_running


async def test_a_filter_that_makes_no_sense_says_why_and_keeps_the_last_one() -> None:
    async with console(*calls(3)) as bench:
        await bench.press("slash", *"foo:x", "enter")
        assert 'unknown field "foo"' in bench.text()
        assert bench.live.stream.view.filtered
        await bench.press(*["backspace"] * 5, "enter")
        assert len(bench.live.stream.view) == 3


async def test_n_goes_to_the_next_call_with_the_same_decision() -> None:
    feed = Feed()
    events = [*feed.call("probe", "manage_eks_stacks", {})]
    events += [event for _ in range(3) for event in feed.call("triage", "get_k8s_events", {})]
    events += [*feed.call("probe", "manage_eks_stacks", {})]
    async with console(*events) as bench:
        await bench.press("g", "n")
        assert bench.live.stream.cursor == 4
        await bench.press("N")
        assert bench.live.stream.cursor == 0


async def test_enter_tells_the_call_beside_the_list_where_there_is_room() -> None:
    async with console(*calls(5), size=(120, 40)) as bench:
        await bench.press("enter")
        assert "decided   listed → all_calls 5/5000 → ALLOW" in bench.text()
        assert bench.live.stream.cursor == 4
        await bench.press("k")
        assert "#4" in bench.text()
        await bench.press("escape")
        assert "decided " not in bench.text()


async def test_enter_opens_a_screen_at_eighty_columns_and_escape_comes_back() -> None:
    async with console(*calls(5), size=(80, 24)) as bench:
        await bench.press("enter")
        assert isinstance(bench.app.screen, DetailScreen)
        assert '"kind": "Pod"' in bench.text()
        assert "esc Back" in bench.text()
        await bench.press("escape")
        assert bench.live.is_current


@pytest.mark.parametrize(
    ("key", "kind", "limit"),
    [
        ("l", "limit", "logs_rate"),
        ("plus", "raise", "logs_rate"),
        ("minus", "lower", "logs_rate"),
        ("x", "deny", "logs_rate"),
    ],
)
async def test_a_key_on_a_call_asks_for_one_change_to_its_rule(key: str, kind: str, limit: str) -> None:
    async with console(*calls(5, "get_pod_logs")) as bench:
        await bench.press("k", key)
        assert [(e.kind, e.upstream, e.tool, e.limit) for e in asked(bench)] == [(kind, "eks", "get_pod_logs", limit)]


async def test_hide_and_approval_are_asked_for_too() -> None:
    async with console(*calls(5, "get_pod_logs")) as bench:
        await bench.press("h", "escape", "p")
        assert [edit.kind for edit in asked(bench)] == ["hide", "approve"]
        assert bench.live.stream.cursor == 4


async def test_a_limit_is_selected_with_tab_and_raised_there() -> None:
    async with console(*calls(5, "get_pod_logs")) as bench:
        await bench.press("tab", "plus")
        assert [(e.kind, e.tool, e.limit) for e in asked(bench)] == [("raise", "get_pod_logs", "logs_rate")]


async def test_a_read_only_console_changes_nothing() -> None:
    async with console(*calls(5, "get_pod_logs"), read_only=True) as bench:
        await bench.press("x", "l", "h", "p", "F", "a", "d")
        await bench.drawn()
        assert asked(bench) == []
        assert [what for what, _ in bench.desk.orders if what != "status"] == []
        assert "READ-ONLY" in bench.text()
        assert "x Deny" not in bench.text()


async def test_e_asks_for_the_rule_of_the_selected_call() -> None:
    async with console(*Feed().call("probe", "list_k8s_resources", {"kind": "Secret"})) as bench:
        await bench.press("k", "e")
        rules = [message for message in bench.messages if isinstance(message, ShowRule)]
        assert [(order.upstream, order.rule) for order in rules] == [
            ("eks", "/tools/list_k8s_resources/deny_if/args.kind-eq")
        ]


async def test_y_copies_the_selected_call() -> None:
    async with console(*calls(2)) as bench:
        await bench.press("k", "y", "j")
        assert json.loads(bench.app.clipboard)["call_id"] == "c000002"


async def test_an_empty_list_teaches_how_to_connect_and_copies_the_line() -> None:
    async with console(size=(80, 24)) as bench:
        text = bench.text()
        for words in ("http://127.0.0.1:7330/mcp/eks", "Claude Code", "Codex", "Cursor", "VS Code"):
            assert words in text
        assert "mw_secret_token" not in text
        await bench.press("y", "c")
        assert bench.app.clipboard.startswith("claude mcp add")
        assert "mw_secret_token" in bench.app.clipboard
        await bench.tell(*calls(1))
        assert "in a shell" not in bench.text()


async def test_the_policy_beside_the_list_marks_the_rule_that_decided() -> None:
    async with console(*Feed().call("probe", "list_k8s_resources", {"kind": "Secret"}), size=(200, 50)) as bench:
        await bench.press("k")
        await bench.drawn()
        assert '"on_deny": "Secrets stay"' in bench.text()


async def test_calls_that_wait_are_told_in_the_header_and_beside_the_list() -> None:
    async with console(*Feed().call("deploy", "apply_yaml", {"namespace": "prod"})) as bench:
        assert "? 1 WAITING" in bench.text()
        assert "45s left" in bench.row("? apply_yaml")


async def test_the_limits_count_down_with_the_clock() -> None:
    async with console(*calls(3, "get_pod_logs")) as bench:
        assert "resets 1m00s" in bench.text()
        bench.at_ms = START_MS + 50_000
        await bench.drawn()
        assert "resets 10s" in bench.text()
        [logs] = [meter for meter in bench.app.ledger.limits() if meter.name == "logs_rate"]
        assert logs.used == 3
        bench.at_ms = START_MS + 60_000
        await bench.drawn()
        assert logs.used == 0


async def test_the_durability_and_the_demo_are_told() -> None:
    first = hello()
    first["status"] = status(START_MS, demo=False) | {"audit": {"rows": 1, "state": "ok", "durability": "full"}}
    async with console(first=first) as bench:
        assert "DEMO" not in bench.text()
        assert "sync full" in bench.text()
