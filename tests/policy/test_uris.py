"""What a resource's name may come to at its server."""

from __future__ import annotations

import pytest

from mcpwatch.policy.uris import has_dots, resolved


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
