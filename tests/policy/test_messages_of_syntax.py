"""The words of faults of syntax, whole: what an author reads who cannot see why a file is no JSON or YAML."""

from __future__ import annotations

import pytest

from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.values import PolicyError

HEAD = 'version: "1"\ndefault: deny\n'
EMPTY = "the file is empty; a policy is an object with version and default"
TOO_BIG = "a number beyond what a 64-bit float can hold"
DEEP = "nested more than 64 levels deep"


def first(text: str, name: str) -> tuple[int, int, str, str]:
    """Line, column, pointer and message of the fault that stands furthest in front, except keys that are missing."""
    with pytest.raises(PolicyError) as caught:
        read_policy(text.encode(), name=name)
    assert str(caught.value) == caught.value.problems[0].message
    found = (problem for problem in caught.value.problems if "is missing" not in problem.message)
    problem = next(found)
    return problem.line, problem.column, problem.pointer, problem.message


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1, ""), EMPTY),
        ('{"a": 1,}', (1, 9, ""), "a comma before the end; JSON allows none"),
        ('\n{"a": 1,}', (2, 9, ""), "a comma before the end; JSON allows none"),
        ('\n\n\n{"version": 1}', (4, 13, "/version"), 'expected the text "1", found the number 1'),
        ('{"a"}', (1, 5, ""), "expected a colon after the key, found '}'"),
        ('{"a":}', (1, 6, ""), "expected a value, found '}'"),
        ("{1: 2}", (1, 2, ""), "expected a key in double quotes, found '1'"),
        ("{'a': 2}", (1, 2, ""), "single quotes; JSON texts and keys stand in double quotes"),
        ('{"a": 1 "b": 2}', (1, 9, ""), "expected a comma or }, found '\"'"),
        ('["a" "b"]', (1, 6, ""), "expected a comma or ], found '\"'"),
        ("{} {}", (1, 4, ""), "text after the end of the policy; a file holds one policy"),
        ('"a": 1', (1, 4, ""), "expected the end, found ':'"),
        ('{"a": 1', (1, 8, ""), "the file ends too early; expected a comma or }"),
        ('{"a": ', (1, 7, ""), "the file ends too early; expected a value"),
        ('{"a', (1, 2, ""), "a text without its closing quote"),
        ('["a\nb"]', (1, 4, ""), "a text must end on its line; write a line feed as \\n"),
        ('["a\\qb"]', (1, 4, ""), "unknown escape \\q in a text"),
        ("[01]", (1, 2, ""), "expected a value, found '01'"),
        ("// x\n{}", (1, 1, ""), "JSON has no comments"),
        ('{"version": NaN}', (1, 13, "/version"), "NaN is not a number of JSON"),
        ('{"version": -Infinity}', (1, 13, "/version"), "-Infinity is not a number of JSON"),
        ('{"version": 1e999}', (1, 13, "/version"), TOO_BIG),
        ('{"version": "\\ud800"}', (1, 13, "/version"), "half of a surrogate pair is no text"),
        ('{"\\ud800": 1}', (1, 2, "/\\ud800"), "half of a surrogate pair is no text"),
        ("[" * 65, (1, 65, ""), DEEP),
    ],
)
def test_faults_of_json(text: str, place: tuple[int, int, str], message: str) -> None:
    assert first(text, "p.json") == (*place, message)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1, ""), EMPTY),
        (f"{HEAD}---\n{HEAD}", (3, 1, ""), "a second document; a file holds one policy"),
        (f"{HEAD}? [a]\n: b\n", (3, 3, ""), "a key must be a text"),
        (f"{HEAD}description: &a x\n*a : c\n", (4, 1, ""), "a key must be a text"),
        (
            f"{HEAD}hide: *nothing\n",
            (3, 7, ""),
            "*nothing stands for nothing that is complete before this place",
        ),
        (f"{HEAD}<<: {{hide: []}}\n", (3, 1, "/<<"), "merge keys are not read; write the entries out"),
        (f"{HEAD}description: !x y\n", (3, 14, "/description"), "the tag !x is not allowed in a policy"),
        (f"{HEAD}description: a\x07b\n", (3, 15, ""), "the character '\\x07' is not allowed in YAML"),
        (f"{HEAD}5: x\n", (3, 1, "/5"), "the key 5 is no text in YAML; put it in quotes"),
        (f"{HEAD}? \n: x\n", (3, 2, "/"), "the key null is no text in YAML; put it in quotes"),
        (
            f"{HEAD}no: x\n",
            (3, 1, "/no"),
            "no without quotes is a text or a truth value, depending on the reader; quote it",
        ),
        (
            f"{HEAD}description: 012\n",
            (3, 14, "/description"),
            "012 means different things to different readers; write a text in quotes, or a plain decimal number",
        ),
        (f"{HEAD}description: .inf\n", (3, 14, "/description"), ".inf is not a number"),
        (f"{HEAD}description: 1.5e+999\n", (3, 14, "/description"), TOO_BIG),
        ("[" * 65, (1, 65, ""), DEEP),
    ],
)
def test_faults_of_yaml(text: str, place: tuple[int, int, str], message: str) -> None:
    assert first(text, "p.yaml") == (*place, message)


@pytest.mark.parametrize(
    ("text", "place"),
    [(b"\xff", (1, 1)), (b'{"version": "1",\n"a": "\xff"}', (2, 7)), ('{"é":\n\n "è'.encode() + b"\xe9", (3, 4))],
)
def test_bytes_that_are_no_text_are_named_where_they_are(text: bytes, place: tuple[int, int]) -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy(text)
    (problem,) = caught.value.problems
    found = text[-1] if text[-1] > 0x7F else 0xFF
    assert (problem.line, problem.column, problem.message) == (*place, f"not UTF-8: the byte 0x{found:02x}")


@pytest.mark.parametrize(
    ("name", "is_yaml"),
    [
        ("p.yaml", True),
        ("P.YML", True),
        ("p.json", False),
        ("P.JSON", False),
        ("p.jsonc", False),
        ("json", True),
        (".json.txt", True),
    ],
)
def test_the_ending_of_the_name_tells_yaml_from_json(name: str, is_yaml: bool) -> None:
    if is_yaml:
        assert read_policy(HEAD.encode(), name=name).default == "deny"
    else:
        assert first(HEAD, name) == (1, 1, "", "expected a value, found 'version'")


@pytest.mark.parametrize(
    "text", ['{"version": "1", "default": "deny",}', '\n\t {"version": "1", "default": "deny",}', "["]
)
def test_without_an_ending_a_bracket_tells_json(text: str) -> None:
    assert "JSON" in first(text, "policy")[3] or "ends too early" in first(text, "policy")[3]


def test_a_key_that_stands_twice_is_named_with_its_first_line() -> None:
    message = 'the key "version" stands here a second time (first in line 1)'
    assert first('{"version": "1",\n"default": "deny", "version": "1"}', "p.json") == (2, 20, "/version", message)


def test_an_editor_can_underline_what_is_meant() -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy(f"{HEAD}description: 0123456\nhide: [no]\n".encode(), name="p.yaml")
    assert [problem.length for problem in caught.value.problems] == [7, 2]
    with pytest.raises(PolicyError) as caught:
        read_policy(f"{HEAD}tools: {{t: {{<<: {{}}}}}}\n".encode(), name="p.yaml")
    assert [problem.length for problem in caught.value.problems] == [2, 4]
    with pytest.raises(PolicyError) as caught:
        read_policy(b'{"version": "1", "default": "deny", "description": "a\\ud800b", "\\ud800": 1}')
    assert [problem.length for problem in caught.value.problems] == [10, 8, 8]
