"""One key, one change: shown as a diff with its what-if, saved only on enter, and taken back with `u`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwatch.console.changes import change_of, limit_change, owned_limit, stepped
from mcpwatch.console.dialogs import Ask, Prompt
from mcpwatch.console.orders import EditKind, QuickEdit
from mcpwatch.console.save_dialog import SaveDialog
from mcpwatch.policy.reader import read_policy
from tests.console.feed import DIGEST, POLICY_TEXT
from tests.console.hostile import ALL, MARK
from tests.console.policydesk import (
    asked,
    call,
    chosen_tool,
    digest_of,
    policy,
    policy_console,
    said,
    tool,
)

RATE = {"counter": "rate", "window": "minute", "max": 10}


def changed(kind: EditKind, tool_name: str, tools: dict[str, Any], counter: str = "", **more: Any) -> dict[str, Any]:
    text = policy(tools, **more)
    made = change_of(QuickEdit(kind, "eks", tool_name, counter), text, read_policy(text.encode()))
    assert made.before == text
    return json.loads(made.after)


def refused(kind: EditKind, tool_name: str, text: str, counter: str = "") -> str:
    with pytest.raises(ValueError) as caught:
        change_of(QuickEdit(kind, "eks", tool_name, counter), text, read_policy(text.encode()))
    return str(caught.value)


def test_a_limit_goes_up_and_down_by_a_tenth_and_by_one_at_least() -> None:
    assert [stepped(400, 1), stepped(400, -1), stepped(5, 1), stepped(5, -1), stepped(0, -1)] == [440, 360, 6, 4, 0]


@pytest.mark.parametrize(("kind", "most"), [("raise", 11), ("lower", 9)])
def test_raising_and_lowering_change_the_limit_of_the_tool_alone(kind: EditKind, most: int) -> None:
    made = changed(kind, "t", {"t": {"limits": [RATE]}, "other": {"limits": [RATE]}}, "rate")
    assert made["tools"]["t"]["limits"][0]["max"] == most
    assert made["tools"]["other"]["limits"][0]["max"] == 10


def test_a_limit_of_all_tools_is_changed_where_it_stands() -> None:
    made = changed("raise", "t", {"t": {}}, "rate", all_tools={"limits": [RATE]})
    assert made["all_tools"]["limits"][0]["max"] == 11
    assert made["tools"] == {"t": {}}


def test_a_limit_under_a_pattern_is_changed_under_the_pattern() -> None:
    made = changed("lower", "get_pods", {"get_*": {"limits": [RATE]}}, "rate")
    assert made["tools"] == {"get_*": {"limits": [{**RATE, "max": 9}]}}


def test_a_shared_counter_says_which_other_limits_keep_their_maximum() -> None:
    text = policy({"a": {"limits": [RATE]}, "b": {"limits": [{**RATE, "max": 5}]}})
    made = limit_change(text, read_policy(text.encode()), "a", "rate", 20)
    assert made.title == "a: rate from 10 to 20 per minute (b counts with it under its own maximum)"


def test_a_tool_without_a_limit_gets_one_a_minute() -> None:
    text = policy({"t": {}})
    made = limit_change(text, read_policy(text.encode()), "t", "", 7)
    added = json.loads(made.after)["tools"]["t"]["limits"]
    assert added == [{"counter": "t_rate", "window": "minute", "max": 7, "scope": "grant"}]


def test_what_cannot_be_changed_is_said_in_a_sentence() -> None:
    text = policy({"t": {"limits": [RATE]}, "no": {"deny_if": [{"conditions": []}]}}, hide=["gone"])
    assert refused("raise", "no", text) == "no has no limit yet; l sets one"
    assert refused("deny", "", text) == "this limit is of all tools; select a call or a tool"
    assert refused("deny", "no", text) == "no is already denied"
    assert refused("hide", "gone", text) == "gone is already hidden"
    assert refused("allow", "t", text) == "t is already allowed"
    document = read_policy(text.encode())
    with pytest.raises(ValueError, match="rate is 10 per minute already"):
        limit_change(text, document, "t", "rate", 10)
    with pytest.raises(ValueError, match="all tools together have no such limit"):
        limit_change(text, document, "", "nothing", 3)


def test_the_limit_of_a_call_is_looked_for_in_its_tool_before_all_tools() -> None:
    everything = {"limits": [{**RATE, "max": 99}]}
    document = read_policy(policy({"t": {"limits": [RATE]}, "u": {}}, all_tools=everything).encode())
    assert [(found[0], found[1].max) for name in "tu" if (found := owned_limit(document, name, "rate"))] == [
        ("t", 10),
        ("", 99),
    ]


@pytest.mark.parametrize(
    ("key", "words", "line"),
    [
        ("x", "Deny get_pod_logs", '+      "deny_if": [{"conditions": []}]'),
        ("h", "Hide get_pod_logs", '"get_pod_logs"'),
        ("p", "Require approval for get_pod_logs", '+      "approve_if": [{"conditions": []}]'),
    ],
)
async def test_a_key_shows_its_change_and_enter_saves_it_on_the_file_that_was_read(
    key: str, words: str, line: str
) -> None:
    rows = [call(seq, "get_pod_logs") for seq in range(1, 4)]
    async with policy_console(rows=rows) as (bench, desk):
        await chosen_tool(bench, "get_pod_logs")
        shown = await asked(bench, key)
        assert words in shown
        assert line in shown
        assert "3 of the last 3 calls flip" in shown
        assert not desk.saved()
        await bench.press("enter")
        await bench.until(lambda: bool(desk.saved()) and "Saved" in said(bench))
        (saved,) = desk.saved()
        assert (saved["upstream"], saved["base_digest"], saved["by"]) == ("eks", DIGEST, "kim")
        assert saved["text"] != POLICY_TEXT


async def test_allowing_lists_a_tool_that_was_denied_by_default() -> None:
    async with policy_console() as (bench, desk):
        await chosen_tool(bench, "get_eks_insights")
        shown = await asked(bench, "A")
        assert "Allow get_eks_insights" in shown
        assert "No recorded call to try it on yet." in shown
        await bench.press("enter")
        await bench.until(lambda: bool(desk.saved()))
        assert json.loads(desk.saved()[0]["text"])["tools"]["get_eks_insights"] == {}


async def test_a_limit_is_asked_for_and_a_wrong_number_is_refused() -> None:
    async with policy_console() as (bench, desk):
        await chosen_tool(bench, "get_pod_logs")
        await bench.press("l")
        await bench.until(lambda: isinstance(bench.app.screen, Prompt))
        assert "logs_rate: calls per minute" in bench.text()
        await bench.press("x", "enter")
        await bench.until(lambda: "is no whole number" in said(bench))
        await bench.press("l")
        await bench.until(lambda: isinstance(bench.app.screen, Prompt))
        await bench.press("backspace", "backspace", "backspace")
        assert "get_pod_logs: logs_rate from 120 to 77 per minute" in await asked(bench, "7", "7", "enter")
        await bench.press("enter")
        await bench.until(lambda: bool(desk.saved()))
        assert json.loads(desk.saved()[0]["text"])["tools"]["get_pod_logs"]["limits"][0]["max"] == 77


async def test_escape_leaves_the_file_as_it_is() -> None:
    async with policy_console() as (bench, desk):
        await chosen_tool(bench, "get_pod_logs")
        await asked(bench, "x")
        await bench.press("escape")
        await bench.until(lambda: not isinstance(bench.app.screen, SaveDialog))
        assert not desk.saved()
        assert desk.files["eks"] == POLICY_TEXT


async def test_a_file_changed_meanwhile_is_shown_and_overwritten_only_when_asked() -> None:
    theirs = POLICY_TEXT.replace('"max": 40', '"max": 41')
    for answer, kept in (("escape", True), ("o", False)):
        async with policy_console() as (bench, desk):
            await chosen_tool(bench, "get_pod_logs")
            await asked(bench, "x")
            desk.files["eks"] = theirs
            await bench.press("enter")
            await bench.until(lambda bench=bench: isinstance(bench.app.screen, Ask))
            assert "Somebody else changed the file meanwhile" in bench.text()
            assert '"max": 41' in bench.text()
            await bench.press(answer)
            await bench.until(lambda bench=bench: not isinstance(bench.app.screen, Ask))
            if kept:
                assert desk.files["eks"] == theirs
            else:
                await bench.until(lambda desk=desk: "deny_if" in desk.files["eks"].split("get_k8s_events")[0])
                assert desk.saved()[-1]["base_digest"] == digest_of(theirs)


async def test_a_policy_that_the_gateway_refuses_is_told_with_its_place() -> None:
    async with policy_console() as (bench, desk):
        await chosen_tool(bench, "get_pod_logs")
        await asked(bench, "x")

        async def refuse(*_: object, **__: object) -> dict[str, Any]:
            return {"status": 422, "problems": [{"line": 3, "column": 9, "message": "no such thing"}]}

        desk.save_policy = refuse
        await bench.press("enter")
        await bench.until(lambda: "Not saved: line 3:9 no such thing" in said(bench))


async def test_undo_restores_the_text_before_the_last_change() -> None:
    async with policy_console() as (bench, desk):
        await chosen_tool(bench, "get_pod_logs")
        await asked(bench, "x")
        await bench.press("enter")
        await bench.until(lambda: desk.files["eks"] != POLICY_TEXT)
        shown = await asked(bench, "u")
        assert "Undo: back to the policy of 2026-11-22T10:30" in shown
        await bench.press("enter")
        await bench.until(lambda: desk.files["eks"] == POLICY_TEXT)


async def test_undo_of_a_broken_file_brings_back_the_policy_in_force() -> None:
    async with policy_console() as (bench, desk):
        desk.write("eks", "{ broken")
        await bench.until(lambda: bool(bench.app.ledger.policies["eks"].error))
        await asked(bench, "u")
        await bench.press("enter")
        await bench.until(lambda: desk.files["eks"] == POLICY_TEXT)
        assert desk.saved()[-1]["base_digest"] == digest_of("{ broken")


async def test_undo_without_an_earlier_text_says_so() -> None:
    async with policy_console() as (bench, _):
        await bench.press("2", "u")
        await bench.until(lambda: "has no earlier text" in said(bench))


async def test_undo_is_about_the_policy_in_view() -> None:
    async with policy_console(policy({"a": {}}), policy({"b": {}}), tools={}) as (bench, desk):
        desk.write("two", policy({"c": {}}))
        await bench.press("3", "right_square_bracket")
        await bench.until(lambda: '"c"' in bench.text())
        assert '+    "b": {}' in (await asked(bench, "u")).replace("│", "")


async def test_a_read_only_console_changes_nothing() -> None:
    async with policy_console(read_only=True) as (bench, desk):
        await chosen_tool(bench, "get_pod_logs")
        for key in "xhpAlu":
            await bench.press(key)
            assert "read-only" in said(bench)
        assert not desk.saved()
        assert "x Deny" not in bench.text()


async def test_a_yaml_policy_and_a_broken_one_are_answered_with_a_sentence() -> None:
    yaml = 'version: "1"\ndefault: deny\ntools:\n  get_pod_logs: {}\n'
    async with policy_console(yaml, names={"eks": "/etc/mcpwatch/eks.yaml"}) as (bench, _):
        await chosen_tool(bench, "get_pod_logs")
        await bench.press("x")
        await bench.until(lambda: "Quick edits need a policy in JSON" in said(bench))
    for text, words in (("{ broken", "has a fault; mend it on the policy screen"), ("", "is empty or missing")):
        async with policy_console(text) as (bench, _):
            await chosen_tool(bench, "get_pod_logs")
            await bench.press("x")
            await bench.until(lambda bench=bench, words=words: words in said(bench))


async def test_a_gateway_that_cannot_be_asked_is_told() -> None:
    async with policy_console() as (bench, desk):
        await chosen_tool(bench, "get_pod_logs")
        desk.refuse = "no gateway is running"
        await bench.press("x")
        await bench.until(lambda: "no gateway is running" in said(bench))


@pytest.mark.parametrize("size", [(80, 24), (60, 15), (120, 40)])
async def test_the_keys_of_the_dialog_are_in_view_however_much_it_has_to_say(size: tuple[int, int]) -> None:
    rows = [call(seq, name) for seq, name in enumerate(["get_pod_logs", "get_k8s_events"] * 9, 1)]
    async with policy_console(rows=rows, size=size) as (bench, desk):
        desk.names["eks"] = "/etc/mcpwatch/" + "policies/" * 12 + "eks.json"
        await chosen_tool(bench, "get_pod_logs")
        shown = await asked(bench, "x")
        assert "enter Save   esc Leave it as it is" in shown
        assert "9 of the last 18 calls flip" in " ".join(shown.replace("│", " ").split())
        if size[1] < 30:
            await bench.until(lambda: "j k Scroll" in bench.text())
            await bench.press(*["j"] * 30)
            assert "get_k8s_events" in bench.text()


async def test_hostile_names_and_texts_are_harmless_in_the_dialogs() -> None:
    evil = policy({ALL: {"deny_if": [{"conditions": [], "on_deny": ALL}]}, "t": {}}, description=ALL)
    rows = [call(1, ALL), call(2, "t", rule=ALL)]
    async with policy_console(evil, rows=rows, tools={"eks": [tool("t", description=ALL), tool(ALL)]}) as (bench, desk):
        desk.past.insert(0, {"upstream": "eks", "at": ALL, "by": ALL, "digest": ALL, "text": policy({"t": {}})})
        for keys in (("2", "g", "x"), ("escape", "G", "A"), ("escape", "u")):
            text = await asked(bench, *keys)
            assert bench.app.is_running
            assert not {"\x1b", "\x9b", "\x9d", "\u202e"} & set(text)
        assert MARK in bench.text()
        assert desk.files["eks"] == evil
