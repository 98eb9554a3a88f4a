"""`validate: schema`, with schemas of honest and of hostile servers."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwatch.policy.schemas import compile_schema

PLAIN: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_arguments_that_satisfy_the_schema_have_no_fault() -> None:
    check = compile_schema(PLAIN)
    assert check({"n": 1}) == ""
    assert check({"n": 10**400}) == ""
    assert check({}) == 'args: "n" is a required property'
    assert check({"n": "x"}) == 'args.n: value is not of type "integer"'


OPENINGS: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"additionalProperties": True}, False),
    ({"additionalProperties": {"type": "integer"}}, True),
    ({"patternProperties": {"^x": {}}}, True),
    ({"patternProperties": {"^y": {}}}, False),
    ({"allOf": [{"properties": {"x1": {}}}]}, True),
    ({"anyOf": [{"properties": {"x1": {}}}, {}]}, True),
    ({"if": {}, "then": {"properties": {"x1": {}}}}, True),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"properties": {"x1": {}}}}}, True),
    ({"$defs": {"a": {"properties": {"x1": {}}}}}, False),
]


@pytest.mark.parametrize(("more", "declared"), OPENINGS)
def test_an_undeclared_argument_is_refused_whatever_the_schema_leaves_open(more: Any, declared: bool) -> None:
    fault = compile_schema(PLAIN | more)({"n": 1, "x1": 2})
    assert fault == ("" if declared else "'x1' is not an argument of this tool")


def test_objects_inside_arguments_are_the_schemas_own_business() -> None:
    check = compile_schema({"properties": {"body": {"type": "object", "properties": {"a": {}}}}})
    assert check({"body": {"a": 1, "b": 2}}) == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"properties": {"n": {"$ref": "file:///etc/passwd"}}},
        {"$schema": "http://evil.example/schema", "type": "object"},
        {"type": "nonsense"},
        {"properties": {"n": {"pattern": "(?=x)"}}},
        {"properties": 5},
        {"patternProperties": {"(a": {}}},
        5,
        None,
        "x",
    ],
)
def test_a_schema_that_is_of_no_use_refuses_every_call(schema: Any) -> None:
    fault = compile_schema(schema)({"n": 1})
    assert fault.startswith("the tool's schema cannot be used: ")
    assert len(fault) < 300


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf", "if", "then", "else"])
def test_arguments_declared_in_a_part_of_the_schema_are_declared(keyword: str) -> None:
    part: Any = {"properties": {"deep": {}}}
    check = compile_schema({"type": "object", keyword: [part] if keyword.endswith("Of") else part})
    assert check({"deep": 1}) == ""
    assert check({"other": 1}) == "'other' is not an argument of this tool"


def test_nothing_is_fetched_for_a_schema() -> None:
    check = compile_schema({"$ref": "http://127.0.0.1:1/s.json"})
    assert "it refers to http://127.0.0.1:1/s.json, and nothing is fetched" in check({"n": 1})


def test_a_reference_may_go_through_names_with_a_slash_or_a_tilde() -> None:
    schema: Any = {"$ref": "#/$defs/a~1b~0c~01", "$defs": {"a/b~c~1": {"properties": {"deep": {}}}}}
    assert compile_schema(schema)({"deep": 1}) == ""


def test_a_schema_that_refers_to_itself_ends() -> None:
    check = compile_schema({"$ref": "#", "properties": {"n": {}}})
    assert check({"n": 1}) == ""
    assert check({"m": 1}) == "'m' is not an argument of this tool"


def test_patterns_of_a_schema_take_linear_time() -> None:
    check = compile_schema({"properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}})
    assert check({"x": "a" * 5_000 + "!"}) == 'args.x: value does not match "^(a+)+$"'


def test_the_name_of_an_undeclared_argument_is_told_without_control_characters() -> None:
    assert compile_schema(PLAIN)({"n": 1, "\x1b[2J\u202e": 1}) == "'\\x1b[2J\\u202e' is not an argument of this tool"


def test_a_schema_of_a_former_draft_is_read_as_such() -> None:
    check = compile_schema(PLAIN | {"$schema": "http://json-schema.org/draft-07/schema#"})
    assert check({"n": 1}) == ""
    assert check({"n": "x"}) != ""
