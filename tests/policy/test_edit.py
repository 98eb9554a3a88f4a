"""Quick edits: the text still loads, means exactly what was asked for, and is untouched everywhere else."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.policy import edit
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.writer import document_json
from tests.policy.texts import NOTHING, policy
from tests.policy.writings import LAYOUTS, NAMES, POLICIES, Object, laid

SEED = """{
  "version": "1",
  "default": "deny",
  "tools": {
    "invoke_agent_runtime": {
      "limits": [
        {
          "counter": "invoke_agent_runtime_rate",
          "window": "minute",
          "max": 10,
          "scope": "grant"
        }
      ]
    }
  }
}
"""
SEED_LIMIT = {"counter": "invoke_agent_runtime_rate", "window": "minute", "max": 10, "scope": "grant"}


def meaning(text: str) -> Object:
    return document_json(read_policy(text.encode()))


def entry_of(meant: Object, tool: str) -> Object:
    """What a policy says about a tool: its own entry, or the first pattern's that covers it."""
    if tool in meant["tools"] or tool == "":
        return meant["tools"][tool] if tool else meant.get("all_tools", {})
    covers = [key for key in meant["tools"] if key == "*" or (key == "get_*" and tool.startswith("get_"))]
    return meant["tools"][covers[0]] if covers else {}


def is_covered(meant: Object, tool: str) -> bool:
    return tool in meant["tools"] or "*" in meant["tools"] or ("get_*" in meant["tools"] and tool.startswith("get_"))


def is_hidden(meant: Object, tool: str) -> bool:
    hidden = meant.get("hide", [])
    return any(tool == name or name == "*" or (name.endswith("*") and tool.startswith(name[:-1])) for name in hidden)


def denies(entry: Object) -> bool:
    return {"conditions": []} in [
        {key: rule[key] for key in rule if key != "name"} for rule in entry.get("deny_if", [])
    ]


def with_entry(meant: Object, tool: str, entry: Object) -> Object:
    changed = copy.deepcopy(meant)
    changed["tools"][tool] = entry
    return changed


@given(POLICIES, LAYOUTS, NAMES)
def test_adding_a_limit_adds_that_limit_and_nothing_else(value: Object, how: int, tool: str) -> None:
    text = laid(value, how)
    meant = meaning(text)
    if meant["default"] == "deny" and not is_covered(meant, tool):
        with pytest.raises(ValueError, match="would allow it"):
            edit.add_limit(text, tool, "new", "90s", 5)
        return
    entry = copy.deepcopy(entry_of(meant, tool))
    entry["limits"] = [*entry.get("limits", []), {"counter": "new", "window": "90s", "max": 5, "scope": "args.k"}]
    changed = edit.add_limit(text, tool, "new", "90s", 5, "args.k")
    then = meaning(changed)
    for limits in (then["tools"][tool]["limits"], entry["limits"]):
        limits.sort(key=json.dumps)  # those of the other forms come behind those of the list
    assert then == with_entry(meant, tool, entry)
    assert unchanged_but_for(text, changed)


@given(POLICIES, LAYOUTS, NAMES, st.sampled_from(["require", "deny_if", "approve_if"]))
def test_adding_a_rule_adds_that_rule_and_nothing_else(value: Object, how: int, tool: str, key: str) -> None:
    text = laid(value, how)
    meant = meaning(text)
    rule = {"conditions": [{"path": "args.ns", "op": "in", "value": ["dev", "ü"]}], "on_deny": "m"}
    if key == "require" and meant["default"] == "deny" and not is_covered(meant, tool):
        with pytest.raises(ValueError, match="would allow it"):
            edit.add_rule(text, tool, key, rule)
        return
    entry = copy.deepcopy(entry_of(meant, tool))
    if key in entry and "rules" in value.get("tools", {}).get(tool, {}):
        return  # rules of the other forms come behind those of the list
    shorthand = value.get("tools", {}).get(tool, {}).get("action")
    if shorthand in ("deny", "require_approval"):
        return
    entry[key] = [*entry.get(key, []), rule]
    assert meaning(edit.add_rule(text, tool, key, rule)) == with_entry(meant, tool, entry)


@given(POLICIES, LAYOUTS, NAMES)
def test_a_denied_tool_is_denied_and_nothing_else_changes(value: Object, how: int, tool: str) -> None:
    text = laid(value, how)
    meant, then = meaning(text), meaning(edit.deny_tool(text, tool))
    refused = denies(entry_of(then, tool)) or is_hidden(then, tool)
    assert refused or (then["default"] == "deny" and not is_covered(then, tool))
    meant["tools"].pop(tool, None)
    then["tools"].pop(tool, None)
    assert then == meant


@given(POLICIES, LAYOUTS, NAMES)
def test_an_allowed_tool_is_neither_hidden_nor_denied_altogether(value: Object, how: int, tool: str) -> None:
    text = laid(value, how)
    meant = meaning(text)
    try:
        then = meaning(edit.allow_tool(text, tool))
    except ValueError:
        assert denies(meant.get("all_tools", {})) or any("*" in name for name in meant["hide"])
        return
    entry = entry_of(then, tool)
    assert not is_hidden(then, tool)
    assert not denies(entry)
    assert then["default"] == "allow" or is_covered(then, tool)
    before = entry_of(meant, tool)
    kept = {key: before.get(key) for key in ("require", "approve_if", "limits", "risk")}
    assert {key: entry.get(key) for key in kept} == kept


@given(POLICIES, LAYOUTS, NAMES)
def test_hiding_and_showing_again_changes_only_that(value: Object, how: int, tool: str) -> None:
    text = laid(value, how)
    meant = meaning(text)
    hidden = edit.hide_tool(text, tool)
    assert is_hidden(meaning(hidden), tool)
    if is_hidden(meant, tool):
        assert hidden == text
        return
    assert meaning(hidden)["tools"] == meant["tools"]
    shown = meaning(edit.unhide_tool(hidden, tool))
    assert not is_hidden(shown, tool)
    assert shown["tools"] == meant["tools"]
    assert edit.unhide_tool(text, tool) == text


@given(POLICIES, LAYOUTS, NAMES)
def test_a_tool_that_needs_approval_is_held_without_conditions(value: Object, how: int, tool: str) -> None:
    text = laid(value, how)
    meant = meaning(text)
    try:
        then = meaning(edit.require_approval(text, tool))
    except ValueError:
        all_tools = meant.get("all_tools", {})
        assert denies(entry_of(meant, tool)) or denies(all_tools) or is_hidden(meant, tool)
        return
    rules = [(rule["conditions"], rule.get("mode")) for rule in entry_of(then, tool)["approve_if"]]
    assert ([], None) in rules
    for key in ("require", "deny_if", "limits"):
        assert entry_of(then, tool).get(key) == entry_of(meant, tool).get(key)


@given(POLICIES, LAYOUTS, st.data(), st.integers(0, 10_000))
def test_every_limit_of_every_form_can_be_set(value: Object, how: int, data: st.DataObject, most: int) -> None:
    text = laid(value, how)
    meant = meaning(text)
    limits = [(tool, at) for tool, entry in meant["tools"].items() for at, _ in enumerate(entry.get("limits", []))]
    limits += [("", at) for at, _ in enumerate(meant.get("all_tools", {}).get("limits", []))]
    if not limits:
        return
    tool, at = data.draw(st.sampled_from(limits))
    changed = edit.set_limit(text, tool, at, most)
    entry_of(meant, tool)["limits"][at]["max"] = most
    assert meaning(changed) == meant
    assert unchanged_but_for(text, changed)


def unchanged_but_for(old: str, new: str) -> bool:
    """Whether the new text is the old one with at most one piece replaced or added, line ends included."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    gone = old[start : len(old) - end]
    return len(gone) <= len(str(10_000)) + 2 and ("\r" not in new or new.count("\n") == new.count("\r\n"))


def test_a_number_is_replaced_where_it_stands() -> None:
    assert edit.set_limit(SEED, "invoke_agent_runtime", 0, 7) == SEED.replace("10", "7")
    assert edit.set_limit(SEED, "invoke_agent_runtime", "invoke_agent_runtime_rate", 7) == SEED.replace("10", "7")


@pytest.mark.parametrize("which", [1, -1, "other"])
def test_a_limit_that_is_not_there_cannot_be_set(which: int | str) -> None:
    with pytest.raises(ValueError, match=f"invoke_agent_runtime has no limit {which}"):
        edit.set_limit(SEED, "invoke_agent_runtime", which, 7)
    with pytest.raises(ValueError, match="all_tools has no limit"):
        edit.set_limit(SEED, "", which, 7)


def test_a_limit_below_zero_is_refused_with_the_reader_s_words() -> None:
    with pytest.raises(ValueError, match="line 10: expected a whole number, 0 or more, found the number -1"):
        edit.set_limit(SEED, "invoke_agent_runtime", 0, -1)


def test_state_blocks_keep_their_operator() -> None:
    rule = {
        "conditions": [
            {"path": "args.k", "op": "eq", "value": 1},
            {"path": "state.t.c", "op": "lt", "value": 5},
        ],
        "state": {"counter": "c", "window": "day"},
    }
    changed = edit.set_limit(policy({"rules": [rule]}), "t", "t.c", 9)
    assert json.loads(changed)["tools"]["t"]["rules"][0]["conditions"][1]["value"] == 10
    assert meaning(changed)["tools"]["t"]["limits"][0]["max"] == 9


def test_new_limits_look_like_their_neighbours() -> None:
    changed = edit.add_limit(SEED, "invoke_agent_runtime", "per_hour", "hour", 100)
    assert changed == SEED.replace(
        """        }
      ]""",
        """        },
        {
          "counter": "per_hour",
          "window": "hour",
          "max": 100,
          "scope": "grant"
        }
      ]""",
    )


@pytest.mark.parametrize("indent", ["    ", "\t", " "])
def test_new_entries_take_the_unit_of_the_file(indent: str) -> None:
    text = SEED.replace("  ", indent)
    changed = edit.add_limit(edit.allow_tool(text, "list_pods"), "list_pods", "pods", "minute", 60)
    limit = '{"counter": "pods", "window": "minute", "max": 60, "scope": "grant"}'
    assert f'{indent * 2}"list_pods": {{\n{indent * 3}"limits": [{limit}]\n{indent * 2}}}\n' in changed


def test_names_are_written_as_they_are() -> None:
    assert '"löschen": {}' in edit.allow_tool(policy(), "löschen")


def test_rules_for_all_tools_stand_before_the_tools() -> None:
    changed = edit.deny_tool(SEED, "")
    assert changed.index('"all_tools"') < changed.index('"tools"')


def test_a_limit_goes_behind_those_that_all_tools_has() -> None:
    text = policy(all_tools={"limits": [{"counter": "a", "window": "day", "max": 1}]})
    added = meaning(edit.add_limit(text, "", "b", "hour", 2))["all_tools"]["limits"]
    assert [limit["counter"] for limit in added] == ["a", "b"]


def test_a_limit_alone_does_not_let_a_denied_tool_in() -> None:
    with pytest.raises(ValueError) as caught:
        edit.add_limit(policy(), "u", "c", "minute", 1)
    assert str(caught.value) == "u is not listed and default is deny; a limit alone would allow it"
    with pytest.raises(ValueError) as caught:
        edit.set_limit(policy(), "t", "c", 1)
    assert str(caught.value) == "t has no limit c"


def test_new_entries_are_indented_like_the_file() -> None:
    changed = edit.allow_tool(SEED, "list_pods")
    assert changed == SEED.replace("      ]\n    }\n  }", '      ]\n    },\n    "list_pods": {}\n  }')
    limited = edit.add_limit(changed, "list_pods", "pods", "minute", 60)
    limit = '{"counter": "pods", "window": "minute", "max": 60, "scope": "grant"}'
    assert f'    "list_pods": {{\n      "limits": [{limit}]\n    }}\n' in limited


def test_hide_is_put_in_front_of_the_tools() -> None:
    changed = edit.hide_tool(SEED, "x")
    assert changed == SEED.replace('  "tools"', '  "hide": ["x"],\n  "tools"')
    assert edit.unhide_tool(edit.hide_tool(changed, "y"), "x") == SEED.replace(
        '  "tools"', '  "hide": ["y"],\n  "tools"'
    )
    assert edit.hide_tool('{"version": "1", "default": "deny"}', "x") == (
        '{"version": "1", "default": "deny", "hide": ["x"]}'
    )


def test_a_reason_goes_with_a_denial_and_with_an_approval() -> None:
    assert meaning(edit.deny_tool(SEED, "invoke_agent_runtime", "Stop."))["tools"]["invoke_agent_runtime"] == {
        "deny_if": [{"conditions": [], "on_deny": "Stop."}],
        "limits": [SEED_LIMIT],
    }
    assert meaning(edit.require_approval(SEED, "x", "Ask."))["tools"]["x"] == {
        "approve_if": [{"conditions": [], "on_deny": "Ask."}]
    }


def test_a_tool_under_a_pattern_gets_an_entry_of_its_own_with_the_pattern_s_rules() -> None:
    text = policy(tools={"get_*": {"rate_limit": "5/minute", "action": "deny"}})
    changed = meaning(edit.allow_tool(text, "get_pods"))
    limit = {"counter": "get_*._rate_minute", "window": "minute", "max": 5, "scope": "grant"}
    assert changed["tools"]["get_pods"] == {"limits": [limit]}
    assert changed["tools"]["get_*"] == {"deny_if": [{"conditions": NOTHING}], "limits": [limit]}


def test_allowing_takes_away_the_denials_without_conditions_and_no_others() -> None:
    asked, always, noted = (
        {"conditions": [{"path": "args.x", "op": "eq", "value": 1}]},
        {"conditions": NOTHING},
        {"conditions": NOTHING, "mode": "observe"},
    )
    denials = [asked, always, noted, always]
    own = meaning(edit.allow_tool(policy({"deny_if": denials, "category": "Read"}), "t"))["tools"]
    assert own == {"t": {"category": "Read", "deny_if": [asked, noted]}}
    under = meaning(edit.allow_tool(policy(tools={"t*": {"deny_if": denials}}), "tt"))["tools"]
    assert under == {"t*": {"deny_if": denials}, "tt": {"deny_if": [asked, noted]}}


def test_what_hides_or_denies_more_than_one_tool_is_left_to_the_operator() -> None:
    with pytest.raises(ValueError, match=r'"get_\*" hides get_pods too'):
        edit.unhide_tool(policy(hide=["get_pods", "get_*"]), "get_pods")
    with pytest.raises(ValueError, match="all_tools denies every call"):
        edit.allow_tool(policy(all_tools={"deny_if": [{"conditions": NOTHING}]}), "t")


def test_all_tools_can_be_limited_and_ruled() -> None:
    limited = edit.add_limit(SEED, "", "all", "minute", 60)
    assert meaning(limited)["all_tools"] == {
        "limits": [{"counter": "all", "window": "minute", "max": 60, "scope": "grant"}]
    }
    assert edit.deny_tool(edit.deny_tool(SEED, ""), "") == edit.deny_tool(SEED, "")
    star = policy(tools={"*": {"rate_limit": "5/minute"}})
    assert meaning(edit.set_limit(star, "", "_global._rate_minute", 6))["all_tools"]["limits"][0]["max"] == 6
    assert len(meaning(edit.add_limit(star, "", "x", "day", 1))["all_tools"]["limits"]) == 2


def test_policies_without_tools_get_them() -> None:
    text = '{"version": "1", "default": "deny"}'
    assert edit.allow_tool(text, "t") == '{"version": "1", "default": "deny", "tools": {"t": {}}}'


@pytest.mark.parametrize("text", ['version: "1"\ndefault: deny\n', "", "[1]"])
def test_quick_edits_need_json(text: str) -> None:
    with pytest.raises(ValueError, match="need a policy in JSON"):
        edit.deny_tool(text, "t")


@pytest.mark.parametrize("text", ["{", '{"version": "2", "default": "deny"}', '{"a": "\\ud800"}', "{}\ud800"])
def test_a_broken_policy_is_not_edited(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        edit.hide_tool(text, "t")


def test_the_diff_shows_lines_and_places() -> None:
    assert edit.diff(SEED, SEED) == []
    lines = edit.diff(SEED, edit.set_limit(SEED, "invoke_agent_runtime", 0, 7))
    assert lines[:2] == ["--- now", "+++ then"]
    assert lines[2].startswith("@@ -7,")
    assert [line for line in lines[3:] if line[0] in "+-"] == ['-          "max": 10,', '+          "max": 7,']


def entry_after(tool: object, *edits: str) -> Object:
    """The entry of `t` as it is written after some edits."""
    text = policy(tool)
    for name in edits:
        text = getattr(edit, name)(text, "t")
    return json.loads(text)["tools"]["t"]


@pytest.mark.parametrize(
    ("tool", "name", "then"),
    [
        ({"action": "allow"}, "deny_tool", {"action": "deny"}),
        ({"action": "require_approval"}, "deny_tool", {"action": "deny"}),
        ({"action": "deny"}, "deny_tool", {"action": "deny"}),
        ({"action": "hide"}, "deny_tool", {"action": "hide"}),
        ({"action": "hide"}, "hide_tool", {"action": "hide"}),
        ({"action": "deny"}, "allow_tool", {"action": "allow"}),
        ({"action": "hide"}, "allow_tool", {"action": "allow"}),
        ({"action": "require_approval"}, "allow_tool", {"action": "require_approval"}),
        ({"action": "allow"}, "require_approval", {"action": "require_approval"}),
        ({"action": "require_approval"}, "require_approval", {"action": "require_approval"}),
        ({"deny_if": [{"conditions": NOTHING}] * 3}, "allow_tool", {"deny_if": NOTHING}),
        (
            {"deny_if": [{"conditions": NOTHING, "mode": "observe"}, {"conditions": NOTHING}]},
            "allow_tool",
            {"deny_if": [{"conditions": NOTHING, "mode": "observe"}]},
        ),
        (
            {"rules": [{"rate_limit": "1/minute"}, {"action": "deny"}, {"action": "allow"}]},
            "allow_tool",
            {"rules": [{"rate_limit": "1/minute"}, {"action": "allow"}]},
        ),
        (
            {"rules": [{"action": "deny", "mode": "observe"}]},
            "allow_tool",
            {"rules": [{"action": "deny", "mode": "observe"}]},
        ),
    ],
)
def test_each_form_is_changed_in_its_own_words(tool: object, name: str, then: object) -> None:
    assert entry_after(tool, name) == then


def test_limits_of_each_form_are_set_in_their_own_words() -> None:
    def after(tool: object, counter: str) -> Object:
        return json.loads(edit.set_limit(policy(tool), "t", counter, 3))["tools"]["t"]

    assert after({"rate_limit": "10/5m"}, "t._rate_300s") == {"rate_limit": "3/5m"}
    assert after({"rate_limit": {"window": 60, "max": 1}}, "t._rate_minute") == {"rate_limit": {"window": 60, "max": 3}}
    assert after({"rules": [{"rate_limit": "1/day"}]}, "t._rate_day") == {"rules": [{"rate_limit": "3/day"}]}


def test_what_is_denied_altogether_cannot_be_held() -> None:
    for text in (
        policy({"action": "deny"}),
        policy(hide=["t"]),
        policy(all_tools={"deny_if": [{"conditions": NOTHING}]}),
    ):
        with pytest.raises(ValueError, match="t is denied altogether; allow it first"):
            edit.require_approval(text, "t")


def test_rules_and_limits_do_not_open_a_tool_that_is_denied_by_default() -> None:
    with pytest.raises(ValueError, match="would allow it"):
        edit.add_limit(SEED, "x", "c", "minute", 1)
    with pytest.raises(ValueError, match="would allow it"):
        edit.add_rule(SEED, "x", "require", {"conditions": NOTHING})
    assert edit.deny_tool(SEED, "x") == SEED
    assert meaning(edit.add_rule(SEED, "x", "approve_if", {"conditions": NOTHING}))["tools"]["x"]
