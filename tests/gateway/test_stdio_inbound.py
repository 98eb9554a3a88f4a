"""The header rules of modern HTTP, held against the official SDK's own judgement of the same requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
    find_invalid_x_mcp_header,
    validate_mcp_param_headers,
)

from mcpwatch.gateway.link import Request
from mcpwatch.gateway.stdio_link import answers, inbound
from mcpwatch.gateway.stdio_link.mirrored import contradiction, mirrors_of
from mcpwatch.gateway.wire import parse_message
from tests.gateway.stdio_talk import META

VERSION, METHOD, NAME = "mcp-protocol-version", "mcp-method", "mcp-name"
GOOD_META: dict[str, Any] = {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {}}
GOOD = {VERSION: "2026-07-28", METHOD: "tools/call", NAME: "echo"}


def judged(params: dict[str, Any], headers: dict[str, str], method: str = "tools/call") -> int | None:
    """The code of our refusal, having seen that the SDK says the same."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    message = parse_message(json.dumps(body).encode())
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    answer = inbound.check(Request("POST", pairs, message.wire, message, "", True, ""), message, ("2026-07-28",))
    code = None if answer is None else json.loads(answer.body or b"")["error"]["code"]
    theirs = classify_inbound_request(body, headers=headers)
    assert code == (theirs.code if isinstance(theirs, InboundLadderRejection) else None)
    return code


@pytest.mark.parametrize(
    ("meta", "headers", "code"),
    [
        (GOOD_META, GOOD, None),
        (GOOD_META, {**GOOD, NAME: "=?base64?ZWNobw==?="}, None),
        (GOOD_META, {**GOOD, NAME: "=?base64?ZWNobw=?="}, -32020),
        (GOOD_META, {VERSION: "2026-07-28", METHOD: "tools/call"}, -32020),
        (GOOD_META, {VERSION: "2026-07-28", NAME: "echo"}, -32020),
        (GOOD_META, {METHOD: "tools/call", NAME: "echo"}, -32020),
        (GOOD_META, {**GOOD, METHOD: "Tools/call"}, -32020),
        (GOOD_META, {**GOOD, VERSION: "2025-11-25"}, -32020),
        ({META + "protocolVersion": "2026-07-28"}, GOOD, -32602),
        ({META + "clientCapabilities": {}}, GOOD, -32602),
        ({**GOOD_META, META + "protocolVersion": "2030-01-01"}, {**GOOD, VERSION: "2030-01-01"}, -32022),
        ({**GOOD_META, META + "protocolVersion": 7}, GOOD, -32020),
    ],
)
def test_envelope_and_headers_are_judged_as_the_sdk_does(
    meta: dict[str, Any], headers: dict[str, str], code: int | None
) -> None:
    assert judged({"name": "echo", "_meta": meta}, headers) == code


def test_a_resource_is_named_by_its_uri_and_a_list_by_nothing() -> None:
    read = {"uri": "note://é", "_meta": GOOD_META}
    named = {VERSION: "2026-07-28", METHOD: "resources/read", NAME: "=?base64?bm90ZTovL8OpPw==?="}
    assert judged(read, named, "resources/read") == -32020
    assert judged({"_meta": GOOD_META}, {VERSION: "2026-07-28", METHOD: "tools/list"}, "tools/list") is None


def test_http_statuses_are_those_of_the_sdk() -> None:
    assert dict(ERROR_CODE_HTTP_STATUS) == answers.STATUS_OF_ERROR


LEAVES = st.sampled_from(
    [
        {"type": "string", "x-mcp-header": "Region"},
        {"type": "integer", "x-mcp-header": "Count"},
        {"type": "boolean", "x-mcp-header": "Flag"},
        {"type": "number", "x-mcp-header": "Bad"},
        {"type": "string", "x-mcp-header": "no token"},
        {"type": "string", "x-mcp-header": 5},
        {"type": ["string"], "x-mcp-header": "Listed"},
        {"type": "string", "x-mcp-header": "region"},
        {"type": "string"},
        {"type": "string", "default": {"x-mcp-header": "data"}},
    ]
)
NAMES = st.sampled_from(["a", "b", "c"])


def holders(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The places where a schema can stand in another one."""
    properties: st.SearchStrategy[Any] = st.dictionaries(NAMES, inner, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"type": st.just("object"), "properties": properties}),
        st.fixed_dictionaries({"allOf": st.lists(inner, max_size=2)}),
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"$defs": st.fixed_dictionaries({"d": inner})}),
    )


SCHEMAS = st.recursive(LEAVES, holders, max_leaves=6)
VALUES = st.sampled_from(["eu", "é ", "=?base64?x?=", 42, 42.0, 42.5, -7, 10**25, True, False, None, [1], {"a": 1}])
NESTED = st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
ARGUMENTS = st.dictionaries(NAMES, NESTED, max_size=3)
HEADERS = st.dictionaries(
    st.sampled_from(["mcp-param-region", "mcp-param-count", "mcp-param-flag", "mcp-param-other"]),
    st.sampled_from(["eu", "=?base64?w6kg?=", "42", "42.0", "42.5", "042", "-7", "true", "=?base64?!?=", str(10**25)]),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, ARGUMENTS, HEADERS)
def test_mirrored_arguments_are_judged_as_the_sdk_does(
    schema: Any, arguments: dict[str, Any], headers: dict[str, str]
) -> None:
    mirrors = mirrors_of(schema)
    if find_invalid_x_mcp_header(schema) is not None:
        assert mirrors == ()
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    theirs = validate_mcp_param_headers(schema, arguments, headers)
    assert bool(contradiction(mirrors, arguments, pairs)) == (theirs is not None)


def test_a_mirrored_argument_given_twice_is_refused() -> None:
    mirrors = mirrors_of({"properties": {"r": {"type": "string", "x-mcp-header": "Region"}}})
    assert contradiction(mirrors, {"r": "eu"}, [(b"mcp-param-region", b"eu")]) == ""
    assert "more than once" in contradiction(mirrors, {"r": "eu"}, [(b"mcp-param-region", b"eu")] * 2)
