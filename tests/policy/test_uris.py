"""Resources under other spellings: what is denied is denied in all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.reader import read_policy
from mcpwatch.policy.uris import has_dots, resolved


def verdict(rule: dict[str, Any], uri: str) -> str:
    engine = Engine()
    policy = {"version": "1", "default": "allow", "resources": rule}
    engine.install(compile_policy(read_policy(json.dumps(policy).encode())))
    return engine.judge_resource(uri).verdict


DENIED = {"default": "allow", "deny": ["file:///etc/*", "https://host/secret"]}
ALLOWED = {"default": "deny", "allow": ["file:///work/*", "test://a%20b"]}


@pytest.mark.parametrize(
    "uri",
    [
        *("file:///etc/x", "file:///a/../etc/x", "file:///a/%2e%2e/etc/x", "file:///./etc/x", "file:////etc/x"),
        *("FILE:///etc/x", "file:///%65tc/x", "file:///a/..%2fetc/x", "file:///%2565tc/x", "file:///a\\..\\etc/x"),
        *("https://HOST/secret", "https://host/a/../secret", "https://host//secret", "https://host/secret/"),
    ],
)
def test_a_denied_resource_is_denied_in_every_spelling(uri: str) -> None:
    assert verdict(DENIED, uri) == "deny"


@pytest.mark.parametrize(
    "uri", ["file:///etcetera", "file:///a/etc/x", "https://host/secrets", "no-uri", "file:///a..b"]
)
def test_what_is_not_denied_stays_allowed(uri: str) -> None:
    assert verdict(DENIED, uri) == "allow"


@pytest.mark.parametrize("uri", ["file:///work/../etc/x", "file:///work/%2e%2e/etc/x", "file:///work/..%5c..%5cetc"])
def test_what_leads_out_of_the_allowed_is_denied(uri: str) -> None:
    assert verdict(ALLOWED, uri) == "deny"


@pytest.mark.parametrize("uri", ["file:///work/a", "file:///work/a/../b", "file:///work/a%20b", "test://a%20b"])
def test_what_stays_in_the_allowed_is_allowed(uri: str) -> None:
    assert verdict(ALLOWED, uri) == "allow"


@pytest.mark.parametrize(
    ("uri", "at_the_server"),
    [
        ("file:///a/%2e%2e/etc/x", "file:///etc/x"),
        ("file:///a/%252e%252e/etc/x", "file:///etc/x"),
        ("FILE://Host//a/./b", "file://host/a/b"),
        ("file:///../../etc", "file:///etc"),
        ("file:///a\\..\\b", "file:///b"),
        ("urn:isbn:1", "urn:isbn:1"),
        ("test://a/%25252e%25252e/b", "test://a/b"),
        ("test://a/%2525252e/b", "test://a/%2e/b"),
    ],
)
def test_spellings_of_one_name_come_to_one(uri: str, at_the_server: str) -> None:
    assert resolved(uri) == at_the_server


@pytest.mark.parametrize(
    ("uri", "has"), [("file:///a/../b", True), ("file:///a/%2E/b", True), ("a\\..", True), ("file:///a..b/c", False)]
)
def test_dots_are_seen_in_every_spelling(uri: str, has: bool) -> None:
    assert has_dots(uri) is has
