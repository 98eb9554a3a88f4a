"""2 Tools: what agents can reach, and what the policy makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwatch.console.editor import PolicyEditor
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.orders import QuickEdit, ShowRule
from mcpwatch.console.policies import PolicyView
from mcpwatch.console.policy_screen import PolicyScreen
from mcpwatch.console.toolbook import ToolLine, line_of, lines_under, schema_lines
from mcpwatch.console.tools_screen import ToolList, ToolScreen, ToolsScreen
from tests.console.feed import START_MS, TOOLS
from tests.console.hostile import ALL
from tests.console.policydesk import at_policy, chosen_tool, policy, policy_console, tool

ALWAYS: list[dict[str, Any]] = [{"conditions": []}]
SOME = [{"conditions": [{"path": "args.kind", "op": "eq", "value": "Secret"}]}]
LIMIT = {"counter": "rate", "window": "minute", "max": 10}


def lines(text: str, *names: str, tools: list[dict[str, Any]] | None = None) -> dict[str, ToolLine]:
    """The lines of an upstream with these tools under a policy."""
    ledger = Ledger()
    upstream = ledger._upstream_named("eks")  # pyright: ignore[reportPrivateUsage]
    upstream.tools = tools or [tool(name) for name in names]
    view = PolicyView.read("eks", {"text": text, "digest": "d"}, 0)
    return {line.name: line for line in lines_under(ledger, upstream, view)}


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        ({}, "allow"),
        ({"deny_if": ALWAYS}, "deny"),
        ({"approve_if": ALWAYS}, "hold"),
        ({"deny_if": SOME}, "custom"),
        ({"approve_if": SOME}, "custom"),
        ({"require": SOME}, "custom"),
        ({"limits": [LIMIT]}, "custom"),
        ({"validate": "schema"}, "custom"),
        ({"approve_if": ALWAYS, "deny_if": SOME}, "custom"),
        ({"mode": "observe", "deny_if": ALWAYS}, "custom"),
    ],
)
def test_an_entry_says_what_becomes_of_calls(entry: dict[str, Any], state: str) -> None:
    assert lines(policy({"t": entry}), "t")["t"].state == state


def test_tools_that_are_hidden_or_not_listed_are_out_of_reach() -> None:
    found = lines(policy({"get_*": {}}, hide=["secret_*"]), "secret_x", "get_x", "other")
    assert {name: line.state for name, line in found.items()} == {
        "secret_x": "hide",
        "get_x": "allow",
        "other": "deny",
    }
    assert lines(policy({}, default="allow"), "other")["other"].state == "allow"


def test_all_tools_bear_on_every_tool() -> None:
    assert lines(policy({"t": {}}, all_tools={"deny_if": ALWAYS}), "t")["t"].state == "deny"
    found = lines(policy({"t": {}}, all_tools={"limits": [LIMIT]}), "t")["t"]
    assert found.rules == ("all tools: 10 a minute per grant",)


def test_a_tool_that_only_the_policy_names_is_absent_and_told_with_the_nearest_name() -> None:
    found = lines(policy({"get_pod_log": {}, "get_*": {}, "zzz": {}}, hide=["drop_all"]), "get_pod_logs")
    assert found["get_pod_log"].note == "the upstream does not offer it; did you mean get_pod_logs?"
    assert found["zzz"].note == "the upstream does not offer it"
    assert found["drop_all"].state == "absent"
    assert "get_*" not in found


def test_without_a_policy_every_tool_is_refused() -> None:
    (line,) = lines("", "t").values()
    assert (line.state, line.note) == ("deny", "no policy")


def test_the_policy_has_the_last_word_on_category_and_risk() -> None:
    found = lines(policy({"delete_x": {"risk": "low"}, "delete_y": {}}), "delete_x", "delete_y")
    assert (found["delete_x"].risk, found["delete_x"].why) == ("low", "the policy says so")
    assert found["delete_y"].risk in ("high", "critical")


def test_arguments_are_listed_with_what_they_take() -> None:
    schema = {
        "required": ["a"],
        "properties": {"a": {"type": "string"}, "b": {"anyOf": [{"type": "null"}, {"type": "integer"}], "default": 3}},
    }
    assert schema_lines({"inputSchema": schema}) == [("a*", "string"), ("b", "null or integer = 3")]
    assert schema_lines({"inputSchema": {"properties": {"a": True, "b": None}}}) == [("a", "any"), ("b", "any")]
    assert schema_lines({"inputSchema": [1]}) == []


def test_one_line_is_found_without_making_all() -> None:
    ledger = Ledger()
    upstream = ledger._upstream_named("eks")  # pyright: ignore[reportPrivateUsage]
    upstream.tools = [tool(f"get_{number}") for number in range(805)]
    view = PolicyView.read("eks", {"text": policy({"get_3": {}, "gone": {}}), "digest": "d"}, 0)
    assert (found := line_of(ledger, upstream, view, "get_3"))
    assert found.state == "allow"
    assert (found := line_of(ledger, upstream, view, "gone"))
    assert found.state == "absent"
    assert line_of(ledger, upstream, view, "nothing") is None


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_every_name_is_whole_and_state_and_risk_are_told(size: tuple[int, int]) -> None:
    async with policy_console(size=size) as (bench, _):
        await bench.press("2")
        await bench.drawn()
        for name in TOOLS:
            assert name in bench.text()
        assert "~ RULES" in bench.row("get_pod_logs")
        assert "· HIDE" in bench.row("add_inline_policy")
        assert "✗ DENY" in bench.row("get_eks_insights")
        assert "✓ ALLOW" in bench.row("get_k8s_events")
        assert "ABSENT" in bench.row("delete_stack")
        for offered in ("x Deny", "h Hide") if size[0] < 100 else ("x Deny", "A Allow", "h Hide", "p Ask", "l Limit"):
            assert offered in bench.text().split("\n")[-1]


async def test_the_selected_tool_is_explained_beside_the_list() -> None:
    schema = {"properties": {"pod": {"type": "string"}}, "required": ["pod"]}
    offered = {"eks": [tool("get_pod_logs", description="Reads logs", inputSchema=schema)]}
    async with policy_console(tools=offered) as (bench, _):
        await bench.press("2")
        await bench.drawn()
        for words in ("Reads logs", "120 a minute per grant", "all tools: 5", "pod*", "Read, low risk"):
            assert words in bench.text()
        await bench.press("enter")
        assert isinstance(bench.app.screen, ToolScreen)
        await bench.until(lambda: '"required": [' in bench.text())
        await bench.press("escape")
        assert isinstance(bench.app.screen, ToolsScreen)
        await bench.press("escape", "escape")
        assert isinstance(bench.app.screen, ToolsScreen)


async def test_keys_are_about_the_selected_tool_and_its_upstream() -> None:
    text = policy({"a": {}, "b": {}})
    offered = {"eks": [tool("a")], "two": [tool("b")]}
    async with policy_console(text, text, tools=offered) as (bench, _):
        await bench.press("2")
        await bench.drawn()
        assert "two/b" in bench.text()
        await bench.press("G", "k", "x")
        order = bench.messages[-1]
        assert isinstance(order, QuickEdit)
        assert (order.kind, order.upstream, order.tool) == ("deny", "two", "b")


async def test_the_selection_stays_on_its_tool_when_tools_come_and_go() -> None:
    async with policy_console(policy({}), tools={"eks": [tool("a"), tool("c")]}) as (bench, _):
        await bench.press("2", "j")
        tools = [tool("a"), tool("b"), tool("c")]
        await bench.tell({"type": "tools_changed", "at_ms": START_MS, "upstream": "eks", "tools": tools})
        bench.at_ms += 2000
        await bench.drawn()
        listing = bench.app.screen.query_one(ToolList)
        await bench.until(lambda: "b" in [line.name for line in listing._lines])  # pyright: ignore[reportPrivateUsage]
        assert listing.selected is not None
        assert listing.selected.name == "c"


async def test_e_goes_to_what_bears_on_the_tool() -> None:
    text = policy({"get_*": {}, "own": {}}, hide=["gone"])
    places = {"own": '"own"', "get_x": '"get_*"', "gone": '"hide"', "other": '"default"'}
    async with policy_console(text, tools={"eks": [tool(name) for name in places]}) as (bench, _):
        for name, line in places.items():
            await chosen_tool(bench, name)
            await bench.press("e")
            assert isinstance(bench.messages[-1], ShowRule)
            screen = bench.app.screen
            assert isinstance(screen, PolicyScreen)
            await at_policy(bench)
            editor = screen.editor

            def here(line: str = line, editor: PolicyEditor = editor) -> bool:
                return line in editor.document.get_line(editor.cursor_location[0])

            await bench.until(here)


async def test_nothing_offered_yet_is_said() -> None:
    async with policy_console(tools={}) as (bench, _):
        await bench.press("2")
        await bench.drawn()
        assert "has not said yet what it offers" in bench.text()
        await bench.press("x", "enter", "e", "j", "k", "G", "g")
        assert bench.app.is_running


async def test_hostile_names_and_descriptions_are_harmless() -> None:
    schema = {"properties": {ALL: {"type": ALL, "default": ALL}}, "required": [ALL]}
    evil = tool(ALL, description=ALL, inputSchema=schema)
    async with policy_console(policy({ALL: {}, f"{ALL}x": {}}), tools={"eks": [evil]}) as (bench, _):
        await bench.press("2", "enter")
        await bench.until(lambda: "SCHEMA" in bench.text())
        seen = bench.text()
        await bench.press("escape", "j")
        seen += bench.text()
        assert bench.app.is_running
        assert not {"\x1b", "\x9b", "\x9d", "\u202e", "\x07"} & set(seen)
        assert "[@click=app.exit]" in seen
