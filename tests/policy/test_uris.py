"""Resources under other spellings: what is denied is denied in all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwatch.policy.compiled import compile_policy
from mcpwatch.policy.engine import Engine
from mcpwatch.policy.reader import read_policy


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
