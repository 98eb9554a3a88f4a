"""YAML policies: what two readers could take differently is refused, at its place; the rest means the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import Json, PolicyError
from mcpwatch.policy.writer import document_json
from mcpwatch.policy.yamltext import MAX_ALIASED, plain_value
from tests.policy.texts import faults, read
from tests.policy.writings import POLICIES, Object

HEAD = 'version: "1"\ndefault: deny\n'


def value_of(scalar: str) -> Json:
    """The value of an unquoted scalar in a condition."""
    text = f"{HEAD}tools: {{t: {{require: [{{conditions: [{{path: args.x, op: eq, value: {scalar}}}]}}]}}}}\n"
    return read(text, "p.yaml").tools["t"].require[0].conditions[0].value


def places(text: str | bytes) -> list[tuple[int, int, str]]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PolicyError) as caught:
        read_policy(data, name="p.yaml")
    return [(problem.line, problem.column, problem.pointer) for problem in caught.value.problems]


@given(POLICIES, st.booleans())
def test_a_policy_means_the_same_in_yaml(value: Object, flow: bool) -> None:
    dump = cast("Callable[..., str]", yaml.safe_dump)  # pyright: ignore[reportUnknownMemberType]
    text = dump(value, allow_unicode=True, default_flow_style=flow, sort_keys=False)
    as_json = read(json.dumps(value))
    as_yaml = read(text, "p.yml")
    assert document_json(as_yaml) == document_json(as_json)
    assert list(as_yaml.tools) == list(as_json.tools)


@given(POLICIES)
def test_json_is_read_as_yaml_too(value: Object) -> None:
    text = json.dumps(value, indent=1)
    assert document_json(read(text, "p.yaml")) == document_json(read(text))


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("1.0e+3", 1000.0),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ('"no"', "no"),
        ("'007'", "007"),
        ("dev-1", "dev-1"),
        ("1.2.3", "1.2.3"),
        ("y", "y"),
        ("1e3x", "1e3x"),
        ("9" * 301 + "a", "9" * 301 + "a"),
    ],
)
def test_scalars_that_all_readers_agree_on_are_read(scalar: str, value: Json) -> None:
    found = value_of(scalar)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "scalar",
    [
        *("yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"),
        *("010", "007", "0o17", "0x1F", "0b101", "1_000", "-0x1", "00", "1_0.5", "08"),
        *("1e3", "1.e3", ".5", "-.5", "5.", "1.5e3", "0.1_0", "1E5"),
        *("12:30", "12:30:45", "1:30.5", "-1:30", "2026-11-22", "2026-11-22T10:00:00Z", "2026-1-2"),
        *(".inf", "-.INF", "+.Inf", ".nan", ".NaN", "9" * 400, "1.0e+400", "-" + "9" * 301),
    ],
)
def test_scalars_that_readers_disagree_on_are_refused_at_their_place(scalar: str) -> None:
    text = f"{HEAD}tools:\n t:\n  require:\n  - conditions:\n    - path: args.x\n      op: eq\n      value: {scalar}\n"
    assert places(text) == [(9, 14, "/tools/t/require/0/conditions/0/value")]
    assert places(f"{HEAD}tools:\n  {scalar}: {{}}\n")[0] == (4, 3, f"/tools/{scalar}")
    assert places(f"{HEAD}hide:\n- a\n- {scalar}\n") == [(5, 3, "/hide/1")]


@pytest.mark.parametrize("scalar", ["12", "1.5", "true", "null", "~"])
def test_numbers_and_words_are_no_names(scalar: str) -> None:
    assert places(f"{HEAD}tools:\n  {scalar}: {{}}\n") == [(4, 3, "/tools/" + scalar.replace("~", "~0"))]
    assert places(f"{HEAD}hide: [a, {scalar}]\n") == [(3, 11, "/hide/1")]
    assert (4, 4, "/tools/") in places(f"{HEAD}tools:\n  ? \n")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", (1, 1, ""), "empty"),
        ("# nothing\n", (1, 1, ""), "empty"),
        ("---\n", (2, 1, ""), "found null"),
        ("just words", (1, 1, ""), 'found the text "just words"'),
        ("- a\n- b\n", (1, 1, ""), "found a list"),
        (f"{HEAD}---\n{HEAD}", (3, 1, ""), "a second document"),
        (f"{HEAD}tools:\n\tt: {{}}\n", (4, 1, ""), "cannot start any token"),
        (f"{HEAD}hide: [a\n", (4, 1, ""), "did not find expected ',' or ']'"),
        (f"{HEAD}hide: 'a\n", (4, 1, ""), "unexpected end of stream"),
        (f'{HEAD}hide: ["\\q"]\n', (3, 9, ""), "unknown escape"),
        (f"{HEAD}? [a]\n: b\n", (3, 3, ""), "a key must be a text"),
        (f"{HEAD}? {{a: b}}\n: c\n", (3, 3, ""), "a key must be a text"),
        (f"{HEAD}description: &a x\n*a : c\n", (4, 1, ""), "a key must be a text"),
        (f"{HEAD}hide: *nothing\n", (3, 7, ""), "*nothing stands for nothing"),
        (f"{HEAD}hide: &a [*a]\n", (3, 11, ""), "*a stands for nothing that is complete"),
        (f"{HEAD}<<: {{hide: []}}\n", (3, 1, "/<<"), "merge keys"),
        (f"{HEAD}description: !!str x\n", (3, 14, "/description"), "the tag tag:yaml.org,2002:str"),
        (f"{HEAD}description: ! x\n", (3, 14, "/description"), "the tag !"),
        (f"{HEAD}hide: !!set {{}}\n", (3, 7, "/hide"), "the tag tag:yaml.org,2002:set"),
        (f"{HEAD}description: !x y\n", (3, 14, "/description"), "the tag !x"),
        (f"{HEAD}!!str hide: []\n", (3, 1, "/hide"), "the tag tag:yaml.org,2002:str"),
        (f"{HEAD}description: !!binary aGk=\n", (3, 14, "/description"), "the tag"),
        (f"{HEAD}description: a\x07b\n", (3, 15, ""), "'\\x07' is not allowed in YAML"),
        (f"{HEAD}a: &a [1]\na: *a\n", (4, 1, "/a"), "a second time (first in line 3)"),
        (f"{HEAD}'default': allow\n", (3, 1, "/default"), "a second time (first in line 2)"),
        ("%FOO bar\n--- \n" + HEAD, (1, 5, ""), "unknown directive"),
    ],
)
def test_faults_of_yaml_are_shown_where_they_are(text: str, place: tuple[int, int, str], words: str) -> None:
    assert place in places(text)
    assert any(words in message for _, message in faults(text, "p.yaml"))


def test_small_anchors_are_read_and_keep_the_names_of_their_places() -> None:
    text = f"""{HEAD}tools:
  a: &both
    limits: [&one {{counter: c, window: minute, max: 1}}]
  b: *both
  c:
    limits: [*one, {{counter: d, window: day, max: -1}}]
"""
    assert places(text) == [(8, 51, "/tools/c/limits/1/max")]
    document = read(text.replace("-1", "2"), "p.yaml")
    assert document.tools["a"].limits == document.tools["b"].limits
    assert [limit.counter for limit in document.tools["c"].limits] == ["c", "d"]


def test_a_fault_behind_an_anchor_is_said_for_each_use() -> None:
    text = f"{HEAD}hide: [&x 5, *x]\n"
    assert places(text) == [(3, 8, "/hide/0"), (3, 8, "/hide/1")]


def test_aliases_have_a_bound() -> None:
    fine = MAX_ALIASED // 10
    lists = f"&a [{', '.join(f'n{at}' for at in range(9))}]"
    head = f"{HEAD}tools:\n  t:\n    require:\n      - conditions:\n          - {{path: args.x, op: in, value: [{lists}"
    assert read(head + ", *a" * fine + "]}\n", "p.yaml")
    (place,) = places(head + ", *a" * (fine + 1) + "]}\n")
    assert place[2] == ""


def test_aliases_of_aliases_count_for_all_that_they_stand_for() -> None:
    """The billion laughs, where every entry would be looked at."""
    levels = ["&l0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"&l{at} [{', '.join([f'*l{at - 1}'] * 9)}]" for at in range(1, 12)]
    value = "[" + ", ".join(levels) + "]"
    rule = f"{{conditions: [{{path: args.x, op: in, value: {value}}}]}}"
    assert [message for _, message in faults(f"{HEAD}tools: {{t: {{require: [{rule}]}}}}\n", "p.yaml")] == [
        "aliases stand for more than 10,000 entries"
    ]


@pytest.mark.parametrize(("uses", "read_too"), [(99, True), (100, False)])
def test_an_alias_of_a_list_of_aliases_counts_for_the_entries_of_both(uses: int, read_too: bool) -> None:
    """Nine aliases of ten entries are 90 and make a list of 100: ninety-nine of those are 9,990 in all."""
    inner = "&a [x, x, x, x, x, x, x, x, x]"
    outer = f"&b [{', '.join(['*a'] * 9)}]"
    value = f"[{inner}, {outer}, {', '.join(['*b'] * uses)}]"
    text = f"{HEAD}tools: {{t: {{require: [{{conditions: [{{path: args.x, op: in, value: {value}}}]}}]}}}}\n"
    if read_too:
        assert read(text, "p.yaml")
    else:
        assert faults(text, "p.yaml") == [("", "aliases stand for more than 10,000 entries")]


@pytest.mark.parametrize("depth", [65, 10_000])
@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_has_a_bound(opening: str, depth: int) -> None:
    text = opening * depth
    assert faults(text, "p.yaml")[0][0] == ""


def test_a_whole_number_may_have_three_hundred_digits() -> None:
    assert value_of("9" * 300) == int("9" * 300)
    text = f"{HEAD}tools: {{t: {{require: [{{conditions: [{{path: args.x, op: eq, value: {'9' * 301}}}]}}]}}}}\n"
    assert "means different things to different readers" in faults(text, "p.yaml")[0][1]


def test_a_second_level_of_lists_is_no_key() -> None:
    assert places(f"{HEAD}hide: [[a], {{b: c}}]\n") == [(3, 8, "/hide/0"), (3, 13, "/hide/1")]


def test_texts_in_blocks_and_quotes_are_read() -> None:
    text = f"""{HEAD}description: >-
  one
  two
tools:
  t:
    deny_if:
      - conditions: []
        on_deny: |
          Ask.
          Wait.
"""
    document = read(text, "p.yaml")
    assert document.description == "one two"
    assert document.tools["t"].deny_if[0].on_deny == "Ask.\nWait.\n"


def test_lines_may_end_as_on_windows() -> None:
    assert read(HEAD.replace("\n", "\r\n") + "hide: [a]\r\n", "p.yaml").hide == ("a",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("policy.YAML", HEAD),
        ("policy.yml", HEAD),
        ("policy", HEAD),
        ("policy", "\n {}"),
        ("-", "[]"),
        ("p.json", "a: b"),
    ],
)
def test_the_name_or_the_text_tells_yaml_from_json(name: str, text: str) -> None:
    if text == HEAD:
        assert read(text, name).default == "deny"
    else:
        (first, *_) = faults(text, name)
        assert first[1].startswith(("expected a", '"version" is missing'))


def test_plain_values_say_why_they_are_refused() -> None:
    assert plain_value("no")[1].startswith("no without quotes")
    assert plain_value("0x10")[1].startswith("0x10 means different things")
    assert plain_value(".nan")[1] == ".nan is not a number"
    assert plain_value("text") == ("text", "")
