"""How figures, callers, rules and whole calls are told."""

from __future__ import annotations

import json
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from textual.content import Content

from mcpwatch.console.connecting import recipes
from mcpwatch.console.copying import copy_text
from mcpwatch.console.draw import bar, chart, spark
from mcpwatch.console.fitting import fact, fit_line
from mcpwatch.console.keys import BY_ID, KEYS, key_text, read_keymap
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.policies import PolicyView, risk_of
from mcpwatch.console.story import story
from mcpwatch.console.theme import Wardrobe
from mcpwatch.console.wording import age, amount, answer_time, caller, clock, fullest, latency, moment, rate, span, why
from mcpwatch.errors import ConfigError
from tests.console.feed import START_MS, Feed, Object, hello

NIGHT = Wardrobe(None).looks["night"]


def ledger_of(*events: Object) -> Ledger:
    ledger = Ledger()
    for event in (hello(), *events):
        ledger.fold(event)
    ledger.tick(START_MS + 1000)
    return ledger


def told(ledger: Ledger, number: int = 0, width: int = 100) -> str:
    return story(ledger.calls[number], ledger, NIGHT, UTC, width).plain


def test_times_and_numbers_are_short_and_keep_their_unit() -> None:
    assert [latency(ms) for ms in (0.42, 42.4, 999, 1240, 61_000)] == ["0.4ms", "42ms", "999ms", "1.2s", "1m01s"]
    assert [span(ms) for ms in (-5, 23_000, 245_000, 11_520_000, 440_000_000)] == [
        "0s",
        "23s",
        "4m05s",
        "3h12m",
        "5d02h",
    ]
    assert [age(ms) for ms in (5_000, 125_000, 7_200_000)] == ["5s", "2m", "2h"]
    assert [amount(n) for n in (7, 0.5, 9999, 12_345, 50_000, 4_500_000)] == [
        "7",
        "0.5",
        "9,999",
        "12.3k",
        "50k",
        "4.5M",
    ]
    assert [rate(n) for n in (0, 0.44, 62.4, 5012.0)] == ["0/s", "0.4/s", "62/s", "5,012/s"]
    assert clock(START_MS + 7, UTC, ms=True) == "10:30:00.007"
    assert clock(10**18, UTC) == "--:--:--"


def test_the_caller_is_the_grant_unless_everybody_shares_it() -> None:
    client = {"client": {"name": "claude-code", "version": "2"}}
    assert caller({"grant": "triage", **client}) == "triage"
    assert caller({"grant": "local", **client}) == "claude-code"
    assert caller({"grant": "open", "client": {}}) == "open"
    assert caller({"grant": "a\x1b[2J", **client}) == "a␛[2J"


def test_how_a_call_ended_is_told_by_text_and_not_by_colour_alone() -> None:
    assert answer_time({"outcome": "ok", "latency_ms": 12}) == ("12ms", "")
    assert answer_time({"outcome": "tool_error", "latency_ms": 12}) == ("12ms!", "fault")
    assert answer_time({"outcome": "timeout", "latency_ms": 60_000}) == ("timeout", "fault")
    assert answer_time({"outcome": None, "decision": "hold"}) == ("waits", "running")
    assert answer_time({"outcome": None, "decision": "allow"}) == ("…", "running")
    assert answer_time({"outcome": "not_sent"}) == ("", "")


def test_the_deciding_rule_is_told_without_what_the_row_says_anyway() -> None:
    assert why({"rule": "(default deny)"}) == "default deny"
    assert why({"rule": "/tools/a~1b/deny_if/args.kind-eq"}) == "deny_if kind-eq"
    assert why({"rule": "/tools/t/limits/t_rate"}) == "t_rate"
    assert why({"rule": "/all_tools/limits/all"}) == "all_tools limits all"
    assert why({"rule": "", "would_deny": "/tools/t/limits/x"}) == "x"


def test_of_several_counters_the_one_that_decided_is_shown_else_the_fullest() -> None:
    small, full = {"name": "a", "used": 1, "max": 100, "rule": "/a"}, {"name": "b", "used": 9, "max": 10, "rule": "/b"}
    assert fullest({"counters": [small, full], "rule": ""}) == full
    assert fullest({"counters": [small, full], "rule": "/a"}) == small
    assert fullest({"counters": []}) is None


def test_a_line_of_facts_never_overflows_and_gives_up_the_lightest_first() -> None:
    facts = [fact(9, "important"), fact(1, "long and light", "light"), fact(5, "middle", right=True)]
    texts = {width: fit_line(facts, width).plain for width in (40, 24, 17, 9, 3)}
    assert texts[40] == "important  long and light         middle"
    assert texts[24] == "important  light  middle"
    assert texts[17] == "important  middle"
    assert texts[9] == "important"
    assert texts[3] == "   "


def test_bars_and_charts_keep_to_their_size() -> None:
    assert [len(bar(share, 10, "", NIGHT)[0][0]) for share in (0, 0.001, 0.5, 0.999, 1)] == [0, 1, 5, 9, 10]
    assert spark([0, 1, 2, 4], NIGHT) == "▁▃▅█"
    assert spark([0, 0], NIGHT) == "▁▁"
    assert chart([0, 4, 8], 2, NIGHT) == ["  █", " ██"]


def test_the_story_of_a_refused_call_names_the_policy_line_and_the_steps() -> None:
    feed = Feed()
    ledger = ledger_of(*feed.call("probe", "list_k8s_resources", {"kind": "Secret", "cluster_name": "prod-1"}))
    text = told(ledger)
    view = ledger.policies["eks"]
    line = view.line_of("/tools/list_k8s_resources/deny_if/args.kind-eq")
    assert '"conditions"' in "".join(view.text.split("\n")[line - 1 : line + 1])
    assert "decided   listed → deny_if kind-eq → DENY" in text
    assert f"/tools/list_k8s_resources/deny_if/args.kind-eq   eks.json:{line}" in text
    assert "told      Secrets stay" in text
    assert '"kind": "Secret"' in text


def test_the_story_of_a_limit_tells_use_and_reset() -> None:
    feed = Feed()
    ledger = ledger_of(*[event for _ in range(11) for event in feed.call("runaway", "invoke_agent_runtime", {})])
    text = told(ledger, 10)
    assert "decided   listed → invoke_agent_runtime_rate 10/10 → all_calls 10/5000 → LIMIT" in text
    assert "within 10 per minute per grant" in text
    assert "invoke_agent_runtime_rate  10/10 per minute, grant runaway   resets in 59s" in text


def test_long_values_go_on_under_their_own_beginning() -> None:
    feed = Feed()
    ledger = ledger_of(*feed.call("a" * 50, "manage_eks_stacks", {}))
    lines = told(ledger, width=40).split("\n")
    assert max(len(line) for line in lines if "arguments" not in line) <= 62
    start = next(index for index, line in enumerate(lines) if line.startswith("caller"))
    assert lines[start + 1].startswith(" " * 10)


def test_the_story_shows_hostile_arguments_harmlessly() -> None:
    ledger = ledger_of(*Feed().call("p\x1b[2J", "t\x9b2J", {"k\x1b": "\x1b]52;c;x\x07", "[@click=app.quit]": "[/"}))
    text = told(ledger)
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    assert "[@click=app.quit]" in text


def test_lines_of_rules_are_found_in_the_text() -> None:
    view = PolicyView.read("eks", hello()["policies"]["eks"], 0)
    lines = view.text.split("\n")
    assert '"default"' in lines[view.line_of("(default deny)") - 1]
    assert '"hide"' in lines[view.line_of("(hidden)") - 1]
    start, end = view.lines_of("/tools/invoke_agent_runtime/limits/invoke_agent_runtime_rate")
    assert any("invoke_agent_runtime_rate" in line for line in lines[start - 1 : end])
    assert view.line_of("/tools/absent/limits/x") == 0
    assert view.line_of("(no policy)") == 0


def test_the_risk_of_a_call_is_what_the_policy_notes() -> None:
    ledger = ledger_of()
    assert risk_of(ledger.policies, {"upstream": "eks", "tool": "apply_yaml"}) == "high"
    assert risk_of(ledger.policies, {"upstream": "eks", "tool": "get_pod_logs"}) == ""
    assert risk_of(ledger.policies, {"upstream": "other", "tool": "apply_yaml"}) == "unknown"


def test_a_call_is_copied_as_json_as_curl_and_as_a_case() -> None:
    ledger = ledger_of(*Feed().call("probe", "list_k8s_resources", {"kind": "Sec'ret"}))
    call = ledger.calls[0]
    assert json.loads(copy_text("JSON", call, ledger))["tool"] == "list_k8s_resources"
    curl = copy_text("curl", call, ledger)
    assert curl.startswith("curl -sS http://127.0.0.1:7330/mcp/eks ")
    assert "mw_secret_token" not in curl
    [case] = json.loads(copy_text("policy case", call, ledger))
    assert case["calls"][0]["expect"] == {"decision": "allow", "rule": ""}
    assert case["policy_file"] == "/etc/mcpwatch/eks.json"


def test_what_is_copied_is_ascii_so_that_nothing_hides_in_it() -> None:
    ledger = ledger_of(*Feed().call("probe", "list_k8s_resources", {"kind": "\u202e\x1b]52;\ud800"}))
    assert all(copy_text(form, ledger.calls[0], ledger).isascii() for form in ("JSON", "curl", "policy case"))


def test_the_token_is_copied_and_not_shown() -> None:
    found = recipes(hello()["connect"])
    assert [recipe.client for recipe in found] == ["Claude Code", "Codex", "Cursor", "VS Code"]
    assert all("mw_secret_token" in recipe.text for recipe in found)
    assert not any("mw_secret_token" in recipe.shown for recipe in found)
    assert recipes({"endpoints": {}, "token": "x"}) == []
    assert "Bearer" not in recipes({"endpoints": {"a": "http://h/a"}, "token": ""})[0].text


def test_every_command_has_a_key_an_id_and_a_sentence() -> None:
    assert len(BY_ID) == len(KEYS)
    assert all(key.keys and key.label and key.help for key in KEYS)
    assert key_text("question_mark,ctrl+d") == "? ^d"


def test_the_users_keymap_is_checked() -> None:
    assert read_keymap('[keys]\nfreeze = "ctrl+f"\n', "keymap.toml") == {"freeze": "ctrl+f"}
    for text, sentence in (
        ('[keys]\nfreze = "x"', "unknown command 'freze'"),
        ("[keys]\nfreeze = 1", "freeze needs a key"),
        ('[other]\na = "x"', "one table [keys]"),
        ("[keys", "keymap keymap.toml"),
    ):
        with pytest.raises(ConfigError) as refused:
            read_keymap(text, "keymap.toml")
        assert sentence in refused.value.message


def test_pieces_of_a_line_are_text_and_never_markup() -> None:
    line = fit_line([fact(1, "[red]x[/red]")], 20)
    assert isinstance(line, Content)
    assert line.plain.rstrip() == "[red]x[/red]"


def test_a_moment_names_its_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert moment(1_795_855_540_796, UTC, ms=True) == "2026-11-28 08:45:40.796 UTC"
    assert moment(1_795_855_540_796, berlin) == "2026-11-28 09:45:40 CET"
    assert moment(10**18, UTC) == "-"
