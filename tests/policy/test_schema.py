"""The JSON Schema for editors agrees with the reader wherever a schema can."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import pytest
from hypothesis import given

from mcpwatch.policy.schema import policy_schema
from mcpwatch.policy.values import PolicyError
from tests.policy.texts import read
from tests.policy.writings import POLICIES, Object

DATA = Path(__file__).parent.parent / "data" / "policies"
LOOKED_AT = Path(__file__).with_name("schema.json")
BEYOND_A_SCHEMA = ("duplicate", "regex-", "bom")
"""Keys given twice, patterns that do not compile, bytes: only the reader sees them."""


def accepts(value: Any) -> bool:
    return validator().is_valid(value)


@cache
def validator() -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator(policy_schema())


def json_files(folder: str) -> list[Path]:
    return sorted((DATA / folder).glob("*.json"))


@pytest.mark.parametrize("file", json_files("valid"), ids=lambda file: file.name)
def test_the_schema_accepts_every_valid_policy(file: Path) -> None:
    assert accepts(json.loads(file.read_bytes()))


@pytest.mark.parametrize("file", json_files("invalid"), ids=lambda file: file.name)
def test_the_schema_refuses_what_a_schema_can_see(file: Path) -> None:
    try:
        value = json.loads(file.read_bytes().decode())
    except ValueError:
        return  # not JSON: editors say so without a schema
    assert accepts(value) == (file.name.startswith(BEYOND_A_SCHEMA) and file.name != "regex-number.json")


@given(POLICIES)
def test_what_the_reader_accepts_the_schema_accepts(value: Object) -> None:
    assert accepts(value)
    assert read(json.dumps(value))


@pytest.mark.parametrize("tools", [{}, {"t": {}}, {"t": {"rules": []}}, {"t": {}, "u": {"rules": []}}])
def test_default_may_be_left_out_exactly_where_the_reader_allows_it(tools: Object) -> None:
    value = {"version": "1", "tools": tools}
    try:
        read(json.dumps(value))
    except PolicyError:
        assert not accepts(value)
    else:
        assert accepts(value)


def parts(schema: Any, place: str = "") -> list[tuple[str, Object]]:
    """Every subschema that describes a named member."""
    found: list[tuple[str, Object]] = []
    if isinstance(schema, dict):
        node = cast("Object", schema)
        if node.get("additionalProperties") is False:
            found += [(f"{place}/{name}", member) for name, member in node["properties"].items()]
        for key, value in node.items():
            found += parts(value, f"{place}/{key}")
    if isinstance(schema, list):
        for at, item in enumerate(cast("list[Any]", schema)):
            found += parts(item, f"{place}/{at}")
    return found


def test_every_key_has_a_description_for_the_editor() -> None:
    schema = policy_schema()

    def described(member: Object) -> bool:
        if "$ref" in member:
            return described(schema["definitions"][member["$ref"].rsplit("/", 1)[1]])
        return bool(member.get("description"))

    members = parts(schema)
    assert len(members) > 50
    assert [place for place, member in members if not described(member)] == []


def test_the_schema_is_a_schema() -> None:
    assert jsonschema_rs.meta.is_valid(policy_schema())


def test_the_schema_is_the_one_that_was_looked_at() -> None:
    """After a change of the language read the difference, then `mcpwatch policy schema > tests/policy/schema.json`."""
    assert policy_schema() == json.loads(LOOKED_AT.read_text(encoding="utf-8"))
