"""What holds for the whole console: alarms, connection, themes, keys, holds, leaving."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpwatch.console.app import TooSmall
from mcpwatch.console.help import HelpScreen
from mcpwatch.console.holds_screen import HoldsScreen
from mcpwatch.files import data_file
from tests.console.driving import Bench, console, traffic
from tests.console.feed import START_MS, Feed, Object, hello


def held(tool: str = "apply_yaml", count: int = 1) -> list[Object]:
    feed = Feed()
    return [event for _ in range(count) for event in feed.call("deploy", tool, {"namespace": "prod", "force": True})]


def orders(bench: Bench) -> list[tuple[str, Object]]:
    return [(what, values) for what, values in bench.desk.orders if what != "status"]


async def test_a_broken_policy_file_is_told_with_its_place_until_it_is_mended() -> None:
    problem = {"line": 16, "column": 7, "pointer": "/tools/t", "message": 'unknown field "limts"'}
    rejected = {"type": "policy_rejected", "at_ms": 0, "upstream": "eks", "file": "eks.json", "problems": [problem]}
    async with console(rejected, size=(80, 24)) as bench:
        assert '✗ eks.json:16:7 /tools/t unknown field "limts"' in bench.text()
        assert "the last good policy" in bench.text()
        good = hello()["policies"]["eks"]
        await bench.tell({"type": "policy_installed", "at_ms": START_MS, "upstream": "eks", "by": "file", **good})
        assert "unknown field" not in bench.text()


async def test_a_broken_policy_of_a_grant_is_told_and_changes_nothing_else_in_the_header() -> None:
    problem = {"line": 2, "column": 1, "pointer": "", "message": "expected a value"}
    event = {"type": "policy_rejected", "at_ms": 0, "upstream": "grant:kim", "file": "/p/kim.json"}
    async with console(event | {"problems": [problem]}) as bench:
        assert "✗ kim.json:2:1 expected a value  (the policy of the grant kim, not taken)" in bench.text()
        assert "default DENY" in bench.text()
        assert "file broken" not in bench.text()


async def test_a_failed_audit_and_a_failed_upstream_are_told() -> None:
    failed = {"type": "upstream_changed", "at_ms": 0, "upstream": "eks", "state": "failed", "error": "no region"}
    events = [
        {"type": "audit_state", "at_ms": 0, "state": "failed", "error": "disk full"},
        failed | {"remedy": "--env"},
    ]
    async with console(*events) as bench:
        assert "✗ The audit failed, every call is refused: disk full" in bench.text()
        assert "✗ eks failed: no region  → --env" in bench.text()


async def test_shared_counters_that_fail_or_were_emptied_are_told() -> None:
    state = {"type": "counters_state", "at_ms": START_MS, "store": "redis://h:6379/0", "emptied_at_ms": None}
    async with console({**state, "state": "failed", "error": "it did not answer within 2 s"}) as bench:
        assert "✗ The counters failed, limited calls are refused: it did not answer within 2 s" in bench.text()
        await bench.tell({**state, "state": "ok", "error": "", "emptied_at_ms": bench.app.ledger.now_ms - 5_000})
        assert "limited calls are refused" not in bench.text()
        assert "! The counters were emptied" in bench.text()


async def test_a_lost_gateway_is_told_and_the_console_comes_back_by_itself() -> None:
    async with console(*Feed().run(5)) as bench:
        bench.desk.up = False
        bench.desk.hang_up()
        await bench.until(lambda: not bench.app.link.up)
        await bench.drawn()
        assert "○ NOT CONNECTED" in bench.text()
        assert "No connection to the gateway" in bench.text()
        bench.desk.up = True
        bench.desk.put(hello())
        await bench.until(lambda: bench.app.link.up)
        await bench.until(lambda: "● LIVE" in bench.text())
        assert "No connection" not in bench.text()


async def test_f_freezes_and_thaws() -> None:
    async with console(*Feed().run(3)) as bench:
        await bench.press("k", "F", "g")
        grant = bench.app.ledger.calls[2].grant
        await bench.until(lambda: bench.app.ledger.frozen == {f"grant:{grant}"})
        await bench.drawn()
        assert "■ FROZEN" in bench.text()
        assert f"grant {grant}" in bench.text()
        await bench.press("F", "w")
        await bench.until(lambda: not bench.app.ledger.frozen)
        assert orders(bench) == [
            ("freeze", {"grant": grant, "tool": "", "by": "kim"}),
            ("thaw", {"grant": grant, "tool": "", "by": "kim"}),
        ]


async def test_an_order_that_fails_is_told_with_its_reason() -> None:
    async with console() as bench:
        bench.desk.refuse = "the gateway does not answer"
        await bench.press("F", "a")
        await bench.until(lambda: "the gateway does not answer" in bench.text())


async def test_a_call_of_high_risk_is_approved_only_with_a_second_key() -> None:
    async with console(*held()) as bench:
        await bench.press("5", "a")
        assert orders(bench) == []
        assert "Let this call pass?" in bench.text()
        assert '"force": true' in bench.text()
        await bench.press("y")
        await bench.until(lambda: not bench.app.ledger.holds)
        assert orders(bench) == [
            ("hold", {"call_id": "c000001", "action": "approve", "reason": "", "remember": False, "by": "kim"})
        ]


async def test_a_call_of_no_noted_risk_is_approved_with_one_key_when_its_arguments_are_in_view() -> None:
    first = hello()
    first["policies"]["eks"]["text"] = first["policies"]["eks"]["text"].replace('"risk": "high"', '"risk": "low"')
    async with console(*held(), first=first) as bench:
        await bench.press("5", "a")
        await bench.until(lambda: [what for what, _ in orders(bench)] == ["hold"])


async def test_from_the_list_approving_always_shows_the_arguments_first() -> None:
    async with console(*held()) as bench:
        await bench.press("a")
        assert '"force": true' in bench.text()
        await bench.press("r")
        await bench.until(lambda: [what for what, _ in orders(bench)] == ["hold"])
        assert orders(bench)[0][1]["remember"] is True


async def test_refusing_sends_the_reason_and_escape_keeps_the_call_waiting() -> None:
    async with console(*held()) as bench:
        await bench.press("5", "d", "escape")
        assert orders(bench) == []
        await bench.press("d", *"no", "enter")
        await bench.until(lambda: [what for what, _ in orders(bench)] == ["hold"])
        assert orders(bench)[0][1] == {
            "call_id": "c000001",
            "action": "refuse",
            "reason": "no",
            "remember": False,
            "by": "kim",
        }


async def test_the_holds_screen_shows_the_whole_call_and_keeps_its_selection() -> None:
    async with console(*held(count=3)) as bench:
        await bench.press("5", "j")
        await bench.drawn()
        assert isinstance(bench.app.screen, HoldsScreen)
        assert "#2" in bench.text()
        await bench.tell({"type": "hold_closed", "at_ms": 0, "call_id": "c000001", "how": "client_gone", "by": ""})
        await bench.drawn()
        assert "#2" in bench.text()
        assert "WAITING FOR YOU  2" in bench.text()


async def test_a_hold_that_closed_meanwhile_is_not_answered() -> None:
    async with console(*held()) as bench:
        await bench.press("5", "a")
        await bench.tell({"type": "hold_closed", "at_ms": 0, "call_id": "c000001", "how": "timeout", "by": ""})
        bench.desk.refuse = "nobody waits for this answer any more"
        await bench.press("y")
        await bench.until(lambda: "nobody waits for this answer any more" in bench.text())


async def test_q_asks_what_becomes_of_the_gateway_it_started() -> None:
    async with console(owned=True) as bench:
        await bench.press("q")
        assert "What becomes of the gateway?" in bench.text()
        await bench.press("escape")
        assert bench.app.is_running
        await bench.press("q", "s")
        await bench.until(lambda: bench.app.return_value == "stop")


async def test_q_leaves_an_attached_gateway_alone_without_asking() -> None:
    async with console() as bench:
        await bench.press("q")
        await bench.until(lambda: bench.app.return_value == "leave")
        assert orders(bench) == []


async def test_escape_never_quits() -> None:
    async with console(*Feed().run(5)) as bench:
        await bench.press(*["escape"] * 5)
        assert bench.app.is_running
        assert bench.live.stream.following


async def test_t_goes_through_the_themes() -> None:
    async with console(theme="mono") as bench:
        await bench.press("t")
        assert bench.app.look.name == "night"
        assert bench.app.theme.startswith("mcpwatch-night")


async def test_news_takes_the_place_of_older_news_and_never_of_a_fault() -> None:
    async with console(size=(80, 24)) as bench:
        await bench.press("t", "t", "t")
        await bench.drawn()
        assert bench.text().count("Theme ") == 1
        bench.app.say("the disk is full", error=True)
        await bench.press("t")
        await bench.drawn()
        assert "the disk is full" in bench.text()
        assert f"Theme {bench.app.look.name}" in bench.text()


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_a_question_at_the_bottom_is_never_cut(width: int) -> None:
    async with console(size=(width, 24)) as bench:
        bench.app.say("something that lies over the right half of the lowest lines")
        await bench.press("colon")
        await bench.drawn()
        assert "lies over" not in bench.text()
        assert "theme NAME" in " ".join(bench.text().split())


async def test_the_users_theme_is_worn_when_its_file_changes(tmp_path: Path) -> None:
    shipped = data_file("themes", "night.toml")
    assert shipped is not None
    (tmp_path / "themes").mkdir()
    file = tmp_path / "themes" / "night.toml"
    async with console(config=tmp_path) as bench:
        file.write_text(shipped.read_text("utf-8").replace("#7fb0ff", "#99ccff"), "utf-8")
        await bench.until(lambda: bench.app.look.colors["primary"] == "#99ccff")
        file.write_text("name = 1", "utf-8")
        await bench.until(lambda: "theme night.toml" in bench.text())
        assert bench.app.look.colors["primary"] == "#99ccff"


async def test_the_users_keys_take_effect_and_are_shown(tmp_path: Path) -> None:
    (tmp_path / "keymap.toml").write_text('[keys]\nfilter = "ctrl+f"\n', "utf-8")
    async with console(*Feed().run(3), config=tmp_path) as bench:
        assert "^f Filter" in bench.text()
        await bench.press("ctrl+f")
        assert "FILTER" in bench.text()


async def test_a_bad_keymap_is_told_and_the_usual_keys_stay(tmp_path: Path) -> None:
    (tmp_path / "keymap.toml").write_text('[keys]\nfiltre = "ctrl+f"\n', "utf-8")
    async with console(config=tmp_path) as bench:
        assert "unknown command 'filtre'" in bench.text()
        assert "/ Filter" in bench.text()


async def test_help_lists_every_key() -> None:
    async with console(size=(120, 60)) as bench:
        await bench.press("question_mark")
        assert isinstance(bench.app.screen, HelpScreen)
        for words in ("freeze all, a caller, a tool; thaw", "✗ DENY", "take back the last policy change"):
            assert words in bench.text()
        await bench.press("escape")
        assert bench.live.is_current


async def test_the_palette_finds_commands_and_runs_them() -> None:
    async with console(*Feed().run(3)) as bench:
        await bench.press("ctrl+p", *"pause")
        await bench.until(lambda: "hold the list still" in bench.text())
        await bench.press("enter")
        await bench.until(lambda: not bench.live.stream.following)


async def test_the_command_line_runs_what_is_typed() -> None:
    async with console() as bench:
        await bench.press("colon", *"theme day", "enter")
        await bench.until(lambda: bench.app.look.name == "day")
        await bench.press("colon", *"dance", "enter")
        await bench.until(lambda: "No command 'dance'" in bench.text())


async def test_a_key_in_the_footer_can_be_clicked() -> None:
    async with console(*Feed().run(3)) as bench:
        assert bench.pilot is not None
        line = bench.text().split("\n")[-1]
        await bench.pilot.click(offset=(line.index("5 Holds") + 1, 39))
        await bench.until(lambda: isinstance(bench.app.seat, HoldsScreen))


@pytest.mark.parametrize("size", [(59, 24), (80, 14)])
async def test_a_terminal_that_is_too_small_is_told_so(size: tuple[int, int]) -> None:
    async with console(*Feed().run(3), size=size) as bench:
        assert bench.pilot is not None
        assert isinstance(bench.app.screen, TooSmall)
        assert "60 columns and 15 lines" in bench.text()
        await bench.pilot.resize_terminal(80, 24)
        await bench.until(lambda: bench.app.screen is bench.app.seat)


async def test_resizing_keeps_the_selected_call_in_view() -> None:
    events, at_ms = traffic(100)
    async with console(*events, at_ms=at_ms, size=(200, 50)) as bench:
        assert bench.pilot is not None
        await bench.press("k")
        await bench.pilot.resize_terminal(80, 24)
        await bench.drawn()
        stream = bench.live.stream
        assert 0 <= stream.view.line_of(stream.cursor or 0) - stream.scroll_offset.y < stream.size.height - 1


async def test_another_screen_does_not_lose_what_happens_meanwhile() -> None:
    feed = Feed()
    async with console(*feed.run(3)) as bench:
        await bench.press("5")
        await bench.tell(*feed.run(4))
        await bench.press("1")
        await bench.drawn()
        assert "following · 7" in bench.text()
