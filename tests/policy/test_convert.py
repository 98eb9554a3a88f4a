"""Converting: v1 JSON that decides as the original did, and says what it could not carry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.convert import convert
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.paths import parse_path, write_path
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import Caller, Decision, ToolCall
from mcpwatch.policy.writer import WIDTH, document_json, duration_text, layout
from tests.policy.texts import condition, limit, policy, read
from tests.policy.writings import POLICIES, Object

TESTS = Path(__file__).parent.parent / "data"
FILES = sorted([*(TESTS / "policies" / "valid").iterdir(), *(TESTS / "cases" / "policies").iterdir()])
ARGUMENTS: st.SearchStrategy[Object] = st.fixed_dictionaries(
    {}, optional={"x": st.sampled_from([1, 9, "9", None]), "y": st.sampled_from([1, 2]), "n": st.integers(-1, 9)}
)
CALLS = st.lists(
    st.tuples(st.sampled_from(["t", "a.b", "get_pods", "delete_x", "other"]), ARGUMENTS, st.integers(0, 90_000)),
    max_size=12,
)


def decisions(document: PolicyDocument, calls: list[tuple[str, Object, int]]) -> list[tuple[str, str, str]]:
    engine = Engine()
    engine.install(compile_policy(document))
    made: list[Decision] = []
    now_ms = 0
    for tool, args, later_ms in calls:
        now_ms += later_ms
        made.append(engine.admit(ToolCall(Caller("g"), tool, args), now_ms))
    return [(decision.verdict, decision.rule, decision.message) for decision in made]


@given(POLICIES, CALLS)
def test_a_converted_policy_decides_as_the_original(value: Object, calls: list[tuple[str, Object, int]]) -> None:
    document = read(json.dumps(value))
    text, _ = convert(document)
    converted = read(text)
    assert document_json(converted) == document_json(document)
    assert decisions(converted, calls) == decisions(document, calls)
    assert [remark for remark in converted.warnings if "form" in remark.message] == []


@given(POLICIES)
def test_converting_twice_changes_nothing_more(value: Object) -> None:
    text, _ = convert(read(json.dumps(value)))
    assert convert(read(text)) == (text, ())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_valid_file_converts_to_v1(file: Path) -> None:
    document = read_policy(file.read_bytes(), name=file.name)
    text, lost = convert(document)
    assert document_json(read(text)) == document_json(document)
    assert all("the name" in sentence for sentence in lost)


def test_what_has_no_place_in_v1_is_said() -> None:
    _, lost = convert(read(policy({"rules": [{"name": "hourly", "rate_limit": "5/hour"}]})))
    assert lost == ('the name "hourly" of the limit on t._rate_hour (t): limits have no names in v1',)
    _, lost = convert(read(policy(tools={"*": {"rules": [{"name": "all", "rate_limit": "5/hour"}]}})))
    assert lost == ('the name "all" of the limit on _global._rate_hour (*): limits have no names in v1',)


def test_names_are_written_as_they_are() -> None:
    text, _ = convert(read(policy(tools={"löschen": {}, "削除": {"category": "Destructive"}}, description="é")))
    assert '"löschen": {}' in text
    assert '"削除": {"category": "Destructive"}' in text
    assert '"description": "é"' in text


def test_everything_that_can_be_written_is_written() -> None:
    whole: dict[str, Any] = {
        "version": "1",
        "default": "allow",
        "description": "d",
        "mode": "observe",
        "hide": ["a", "b*"],
        "all_tools": {"validate": "schema", "require": [{"conditions": [condition()]}]},
        "tools": {
            "t": {
                "category": "Write",
                "risk": "high",
                "mode": "observe",
                "approve_if": [
                    {"conditions": [], "on_deny": "", "name": "n", "mode": "observe", "timeout": "90s"},
                    {"conditions": [condition(path='args["a.b"]', op="in", value=[None, {"k": 1.5}])]},
                ],
                "limits": [
                    {
                        "counter": "c",
                        "window": "90s",
                        "max": 0,
                        "scope": "args.x",
                        "algorithm": "sliding",
                        "increment": 0,
                        "increment_from": 'args.o["k k"]',
                        "on_deny": "",
                        "mode": "observe",
                    }
                ],
            }
        },
        "resources": "deny",
        "prompts": {"default": "deny", "allow": ["a*"], "deny": []},
        "approvals": {"timeout": "2m", "remember": "1d"},
        "redact": ["args.p"],
    }
    text, _ = convert(read(json.dumps(whole)))
    assert json.loads(text) == whole


def test_the_text_reads_well() -> None:
    text, _ = convert(read(policy({"limits": [limit()] * 2}, all_tools={"limits": [limit(scope="global")]})))
    assert (
        text
        == """{
  "version": "1",
  "default": "deny",
  "all_tools": {"limits": [{"counter": "c", "window": "minute", "max": 1, "scope": "global"}]},
  "tools": {
    "t": {
      "limits": [
        {"counter": "c", "window": "minute", "max": 1, "scope": "grant"},
        {"counter": "c", "window": "minute", "max": 1, "scope": "grant"}
      ]
    }
  }
}
"""
    )
    assert convert(read(policy(tools={})))[0] == '{\n  "version": "1",\n  "default": "deny",\n  "tools": {}\n}\n'


def test_long_values_are_spread_over_lines() -> None:
    value: Object = {"a": ["x" * 60, "y" * 60], "b": {}, "c": "z" * 200}
    text = layout(value, "", "\t", "\r\n")
    assert json.loads(text) == value
    assert text.splitlines()[1:4] == ['\t"a": [', '\t\t"' + "x" * 60 + '",', '\t\t"' + "y" * 60 + '"']
    assert max(map(len, text.splitlines())) > WIDTH
    assert text.count("\n") == text.count("\r\n")


@pytest.mark.parametrize("column", [0, 20])
def test_what_fits_the_width_stays_on_one_line(column: int) -> None:
    fits = ["x" * (WIDTH - column - 4)]
    assert layout(fits, column=column) == f'["{fits[0]}"]'
    assert layout([fits[0] + "x"], column=column) == f'[\n  "{fits[0]}x"\n]'


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_every_path_can_be_written_and_read_back(keys: list[str]) -> None:
    path = tuple(key.encode("utf-8", "replace").decode() for key in keys)
    assert parse_path(write_path(path)) == path


@pytest.mark.parametrize(
    ("length_ms", "text"), [(1_000, "1s"), (90_000, "90s"), (60_000, "1m"), (86_400_000, "1d"), (5_400_000, "90m")]
)
def test_lengths_are_written_in_their_largest_unit(length_ms: int, text: str) -> None:
    assert duration_text(length_ms) == text
