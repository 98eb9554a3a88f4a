"""3 Policy: looked at, edited with its faults in view, tried on recorded calls, saved."""

from __future__ import annotations

import json

import pytest

from mcpwatch.console.dialogs import Ask, Prompt
from mcpwatch.console.history import HistoryDialog
from mcpwatch.console.orders import ShowRule
from mcpwatch.console.policy_screen import PolicyScreen
from mcpwatch.console.save_dialog import SaveDialog
from tests.console.driving import Bench
from tests.console.feed import DIGEST, POLICY_TEXT
from tests.console.hostile import ALL
from tests.console.policydesk import at_policy, call, digest_of, policy, policy_console, said, tool

SMALL = policy({"a": {}, "b": {}})


async def judged(bench: Bench, screen: PolicyScreen) -> None:
    await bench.until(lambda: screen.settled)
    await bench.drawn()


async def test_the_screen_opens_with_the_file_its_state_and_its_remarks() -> None:
    for size in ((80, 24), (120, 40), (200, 50)):
        async with policy_console(size=size) as (bench, _):
            await at_policy(bench)
            await bench.until(lambda bench=bench: "remark" in bench.text())
            assert "eks.json  viewing, enter edits  saved  line 1:1" in bench.row("POLICY")
            assert "FAULTS AND REMARKS" in bench.text()
            assert "enter Edit" in bench.text()


async def test_letters_are_text_while_editing_and_keys_while_viewing() -> None:
    async with policy_console(SMALL) as (bench, _):
        screen = await at_policy(bench)
        await bench.press("enter", "q", "x", "2", "question_mark")
        assert screen.editor.text == "qx2?" + SMALL
        assert bench.app.screen is screen
        assert "EDITING, esc ends" in bench.text()
        assert "esc Back" in bench.text()
        await bench.press("escape")
        assert "viewing" in bench.row("POLICY")
        await bench.press("escape", "escape")
        assert bench.app.is_running
        assert bench.app.screen is screen
        await bench.press("2")
        assert bench.app.screen is not screen


async def test_a_fault_is_told_beside_its_line_soon_after_typing_and_n_goes_there() -> None:
    async with policy_console(SMALL.replace('"a": {}', '"a": {"limts": 1}')) as (bench, _):
        screen = await at_policy(bench)
        await bench.until(lambda: "✗ 5:" in bench.text() and "limts" in bench.text())
        assert "1 fault, 0 remarks" in bench.text()
        await bench.press("n")
        assert screen.editor.cursor_location[0] == 4
        await bench.press("n")
        assert screen.editor.cursor_location[0] == 4


async def test_typing_is_judged_once_after_it_has_come_to_rest() -> None:
    async with policy_console(SMALL) as (bench, _):
        screen = await at_policy(bench)
        await bench.press("enter")
        screen.editor.insert(" ")
        assert not screen.settled
        await judged(bench, screen)


async def test_what_saving_changes_is_told_with_its_what_if() -> None:
    async with policy_console(SMALL, rows=[call(1, "a")], tools={"eks": [tool("a"), tool("b")]}) as (bench, desk):
        screen = await at_policy(bench)
        await bench.press("j", "j", "j", "j", "x")
        await bench.until(lambda: "1 of the last call flip" in bench.text())
        assert "SAVING CHANGES" in bench.text()
        assert "NOT SAVED, ^s saves" in bench.row("POLICY")
        assert "●Deny" in bench.text()
        assert not desk.saved()
        await bench.press("ctrl+z")
        await judged(bench, screen)
        await bench.until(lambda: "saved  line" in bench.row("POLICY"))
        assert screen.editor.text == SMALL


async def test_saving_writes_on_the_file_that_was_read() -> None:
    async with policy_console() as (bench, desk):
        screen = await at_policy(bench)
        await bench.press("ctrl+s")
        await bench.until(lambda: "Nothing to save" in said(bench))
        await bench.press("enter", "down", "end", "enter", "escape", "ctrl+s")
        await bench.until(lambda: isinstance(bench.app.screen, SaveDialog))
        await bench.press("enter")
        await bench.until(lambda: bool(desk.saved()) and not screen.dirty)
        assert desk.saved()[0]["base_digest"] == DIGEST
        assert desk.files["eks"] == screen.editor.text


async def test_a_faulty_draft_is_not_saved_and_says_where() -> None:
    async with policy_console(SMALL) as (bench, desk):
        await at_policy(bench)
        await bench.press("enter", "x", "escape", "ctrl+s")
        await bench.until(lambda: "Not saved: line 1:1" in said(bench))
        assert not desk.saved()


async def test_a_broken_file_can_be_mended() -> None:
    async with policy_console(SMALL) as (bench, desk):
        screen = await at_policy(bench)
        broken = SMALL.replace('"deny"', '"dney"')
        desk.write("eks", broken)
        await bench.until(lambda: screen.editor.text == broken)
        await judged(bench, screen)
        screen.editor.change_to(SMALL.replace('"b"', '"c"'))
        await judged(bench, screen)
        await bench.press("ctrl+s")
        await bench.until(lambda: isinstance(bench.app.screen, SaveDialog))
        await bench.press("enter")
        await bench.until(lambda: '"c"' in desk.files["eks"])
        assert desk.saved()[-1]["base_digest"] == digest_of(broken)


async def test_a_file_changed_outside_is_shown_when_nothing_is_lost_by_it() -> None:
    async with policy_console(SMALL) as (bench, desk):
        screen = await at_policy(bench)
        theirs = SMALL.replace('"a"', '"theirs"')
        desk.write("eks", theirs, by="lee")
        await bench.until(lambda: screen.editor.text == theirs)
        assert "Changed by lee; this is the new text" in said(bench)
        await bench.press("ctrl+z")
        assert screen.editor.text == theirs
        assert not screen.dirty


async def test_a_file_changed_outside_leaves_unsaved_changes_alone_and_says_so() -> None:
    async with policy_console(SMALL, size=(80, 24)) as (bench, desk):
        screen = await at_policy(bench)
        await bench.press("enter", "down", "end", "space", "escape")
        mine = screen.editor.text
        theirs = SMALL.replace('"a"', '"theirs"')
        desk.write("eks", theirs)
        await bench.until(lambda: "CHANGED OUTSIDE" in bench.row("POLICY"))
        assert "NOT SAVED" in bench.row("POLICY")
        assert screen.editor.text == mine
        await bench.press("ctrl+s")
        await bench.until(lambda: isinstance(bench.app.screen, SaveDialog))
        await bench.press("enter")
        await bench.until(lambda: isinstance(bench.app.screen, Ask))
        await bench.press("escape")
        assert desk.files["eks"] == theirs
        await bench.press("ctrl+z")
        await bench.until(lambda: screen.editor.text == theirs)
        await bench.until(lambda: "CHANGED OUTSIDE" not in bench.row("POLICY"))


async def test_of_a_text_that_came_back_only_the_last_installation_is_in_force() -> None:
    async with policy_console(SMALL) as (bench, desk):
        screen = await at_policy(bench)
        for text in (policy({"later": {}}), SMALL):
            desk.write("eks", text, by="lee")
            await bench.until(lambda text=text: screen.editor.text == text)
        await bench.press("H")
        await bench.until(lambda: "in force" in bench.row("lee"))
        assert bench.text().count("  in force") == 1


async def test_a_policy_of_the_past_comes_into_the_editor_and_is_not_saved_yet() -> None:
    async with policy_console(SMALL) as (bench, desk):
        screen = await at_policy(bench)
        desk.write("eks", policy({"later": {}}), by="lee")
        await bench.until(lambda: "later" in screen.editor.text)
        await bench.press("H")
        await bench.until(lambda: isinstance(bench.app.screen, HistoryDialog))
        await bench.until(lambda: "in force" in bench.row("lee"))
        await bench.press("j", "enter")
        await bench.until(lambda: screen.editor.text == SMALL)
        assert screen.dirty
        assert not desk.saved()
        await bench.press("H")
        await bench.until(lambda: isinstance(bench.app.screen, HistoryDialog))
        await bench.press("escape")
        await bench.until(lambda: bench.app.screen is screen)


async def test_the_next_upstream_is_one_key_away_unless_something_would_be_lost() -> None:
    async with policy_console(SMALL, policy({"z": {}}), tools={}) as (bench, _):
        screen = await at_policy(bench)
        await bench.press("right_square_bracket")
        await bench.until(lambda: '"z"' in screen.editor.text)
        await bench.until(lambda: "two.json  two" in bench.row("POLICY"))
        await judged(bench, screen)
        await bench.press("enter", "space", "escape", "right_square_bracket")
        await bench.until(lambda: "Save or take back" in said(bench))
        bench.app.post_message(ShowRule("eks", "/tools/a", "a"))
        await bench.drawn()
        assert '"z"' in screen.editor.text
        await bench.press("ctrl+z", "right_square_bracket")
        await bench.until(lambda: screen.editor.text == SMALL)


async def test_e_puts_the_cursor_on_the_rule() -> None:
    async with policy_console() as (bench, _):
        rule = "/tools/list_k8s_resources/limits/list_rate"
        bench.app.post_message(ShowRule("eks", rule, "list_k8s_resources"))
        await bench.until(lambda: isinstance(bench.app.screen, PolicyScreen))
        screen = bench.app.screen
        assert isinstance(screen, PolicyScreen)
        await bench.until(lambda: screen.editor.cursor_location[0] > 0)
        row = screen.editor.cursor_location[0]
        assert "list_rate" in "".join(screen.editor.document.lines[row : row + 2])
        await bench.press("i", "enter", "escape")
        await judged(bench, screen)
        bench.app.post_message(ShowRule("eks", "(default deny)", "unknown_tool"))
        await bench.until(lambda: screen.editor.cursor_location[0] == 2)


async def test_quick_keys_change_the_text_under_the_cursor() -> None:
    async with policy_console(SMALL, tools={"eks": [tool("a"), tool("b")]}) as (bench, desk):
        screen = await at_policy(bench)
        await bench.press("x")
        await bench.until(lambda: "Put the cursor on a tool first" in said(bench))
        await bench.press("j", "j", "j", "j", "l")
        await bench.until(lambda: isinstance(bench.app.screen, Prompt))
        await bench.press("enter")
        await bench.until(lambda: "a_rate" in screen.editor.text)
        await judged(bench, screen)
        await bench.press("h")
        await bench.until(lambda: '"hide"' in screen.editor.text)
        await judged(bench, screen)
        assert json.loads(screen.editor.text)["hide"] == ["a"]
        assert not desk.saved()


async def test_a_read_only_console_looks_and_cannot_edit() -> None:
    async with policy_console(SMALL, read_only=True) as (bench, _):
        screen = await at_policy(bench)
        await bench.press("enter", "i", "j", "j", "j", "j", "x")
        assert screen.editor.read_only
        assert screen.editor.text == SMALL
        assert "read-only" in said(bench)
        assert "enter Edit" not in bench.text()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_quitting_asks_before_changes_are_lost(size: tuple[int, int]) -> None:
    async with policy_console(SMALL, size=size) as (bench, _):
        await at_policy(bench)
        await bench.press("enter", "space", "escape", "2", "q")
        await bench.until(lambda: isinstance(bench.app.screen, Ask))
        assert "The policy of eks has changes not saved" in bench.text()
        await bench.press("escape")
        assert bench.app.is_running


@pytest.mark.parametrize("end", ["\r\n", "\n"])
async def test_a_file_keeps_its_line_ends(end: str) -> None:
    text = SMALL.replace("\n", end)
    async with policy_console(text) as (bench, desk):
        screen = await at_policy(bench)
        assert not screen.dirty
        await bench.press("j", "j", "j", "j", "x")
        await bench.until(lambda: screen.dirty)
        await judged(bench, screen)
        await bench.press("ctrl+s")
        await bench.until(lambda: isinstance(bench.app.screen, SaveDialog))
        await bench.press("enter")
        await bench.until(lambda: bool(desk.saved()) and not screen.dirty)
        assert desk.files["eks"].count(end) == desk.files["eks"].count("\n")


async def test_mixed_line_ends_are_no_change_and_foreign_separators_are_not_edited() -> None:
    mixed = SMALL.replace("\n", "\r\n", 2)
    async with policy_console(mixed) as (bench, _):
        screen = await at_policy(bench)
        assert not screen.dirty
    foreign = json.dumps(
        {"version": "1", "default": "deny", "description": "a\u2028b", "tools": {}}, ensure_ascii=False
    )
    async with policy_console(foreign) as (bench, desk):
        screen = await at_policy(bench)
        await bench.press("enter", "x")
        assert screen.editor.read_only
        assert "line separators that this editor cannot keep" in said(bench)
        assert desk.files["eks"] == foreign


async def test_an_empty_or_missing_file_is_shown_empty_and_can_be_filled() -> None:
    async with policy_console("") as (bench, desk):
        await bench.press("3")
        screen = bench.app.screen
        assert isinstance(screen, PolicyScreen)
        await bench.until(lambda: screen.settled)
        await bench.press("enter")
        screen.editor.change_to(SMALL)
        await judged(bench, screen)
        await bench.press("escape", "ctrl+s")
        await bench.until(lambda: isinstance(bench.app.screen, SaveDialog))
        await bench.press("enter")
        await bench.until(lambda: desk.files["eks"] == SMALL)


async def test_a_policy_of_805_tools_stays_editable() -> None:
    names = [f"service_{number:03}_operation" for number in range(805)]
    entry = {"limits": [{"counter": "c", "window": "minute", "max": 10}]}
    text = policy(dict.fromkeys(names, entry))
    async with policy_console(text, tools={"eks": [tool(name) for name in names]}) as (bench, _):
        screen = await at_policy(bench)
        await bench.press("enter", "down", "end")
        for key in "  abc":
            await bench.press({" ": "space"}.get(key, key))
        assert screen.editor.text.split("\n")[1].endswith("  abc")
        screen.editor.undo()
        await judged(bench, screen)


async def test_hostile_policy_text_is_harmless() -> None:
    evil = json.dumps({"version": "1", "default": "deny", ALL: {}, "tools": {ALL: {}}}, indent=2)
    good = policy({ALL: {}}, description=ALL)
    for text in (evil, good, ALL.encode("utf-8", "replace").decode()):
        async with policy_console(text, tools={"eks": [tool(ALL, description=ALL)]}, size=(80, 24)) as (bench, desk):
            desk.past.append({"upstream": "eks", "at": ALL, "by": ALL, "digest": ALL, "text": POLICY_TEXT})
            await at_policy(bench)
            await bench.press("n", "G", "k", "k", "H")
            await bench.until(lambda bench=bench: isinstance(bench.app.screen, HistoryDialog))
            seen = bench.text()
            await bench.press("escape", "n", "tab", "enter")
            await bench.drawn()
            seen += bench.text()
            assert bench.app.is_running
            assert not {"\x1b", "\x9b", "\x9d", "\u202e", "\x07"} & set(seen)
