"""Tokens: shown once, kept as digests, ended at once."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.gateway.grants import Grants


def test_a_token_finds_its_grant_and_is_not_in_the_file(tmp_path: Path) -> None:
    grants = Grants(tmp_path / "grants.json")
    token = grants.add("ci", upstreams=["eks"], policy="/p.json")
    found = Grants(tmp_path / "grants.json").find(token)
    assert found is not None
    assert (found.label, found.reaches("eks"), found.reaches("other"), found.policy) == ("ci", True, False, "/p.json")
    assert token not in (tmp_path / "grants.json").read_text()
    assert (tmp_path / "grants.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("token", [None, "", "wrong", "x" * 10_000, "\udcff"])
def test_a_wrong_token_finds_nothing(token: str | None) -> None:
    grants = Grants(None)
    grants.add("ci")
    assert grants.find(token) is None


def test_a_rotated_or_revoked_token_ends(tmp_path: Path) -> None:
    grants = Grants(tmp_path / "grants.json")
    first = grants.add("ci")
    second = grants.rotate("ci")
    assert (grants.find(first), grants.find(second) is not None) == (None, True)
    grants.revoke("ci")
    assert grants.find(second) is None


def test_a_change_by_another_process_counts_at_once(tmp_path: Path) -> None:
    running, command = Grants(tmp_path / "grants.json"), Grants(tmp_path / "grants.json")
    token = command.add("new")
    assert running.find(token) is not None
    command.revoke("new")
    assert running.find(token) is None
    (tmp_path / "grants.json").write_text("{")
    assert running.find(command.add_ephemeral("x")) is None


def test_the_token_of_local_is_kept_for_this_user_only(tmp_path: Path) -> None:
    token = Grants(tmp_path / "grants.json").ensure_local()
    again = Grants(tmp_path / "grants.json")
    assert again.ensure_local() == token
    assert (tmp_path / "local.token").stat().st_mode & 0o777 == 0o600
    assert again.rotate("local") == again.ensure_local() != token
    (tmp_path / "local.token").unlink()
    found = again.find(again.ensure_local())
    assert found is not None
    assert found.label == "local"
    assert len(again.listed()) == 1


@pytest.mark.parametrize("label", ["", "open", "a b", "../x", "x" * 65, "a\n"])
def test_a_bad_label_is_refused(label: str) -> None:
    with pytest.raises(ConfigError):
        Grants(None).add(label)


def test_a_label_is_given_once_and_must_exist_to_be_ended() -> None:
    grants = Grants(None)
    grants.add("ci")
    for act in (grants.add, grants.add_ephemeral):
        with pytest.raises(ConfigError):
            act("ci")
    for act in (grants.rotate, grants.revoke):
        with pytest.raises(ConfigError):
            act("nobody")


def test_an_ephemeral_grant_is_in_no_file(tmp_path: Path) -> None:
    grants = Grants(tmp_path / "grants.json")
    assert grants.find(grants.add_ephemeral("agent")) is not None
    assert grants.listed() == []
    assert not (tmp_path / "grants.json").exists()


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "grants.json").write_text(json.dumps({"grants": [{"label": "x"}]}))
    with pytest.raises(ConfigError, match="cannot be read"):
        Grants(tmp_path / "grants.json")


def test_a_file_that_cannot_be_read_for_a_moment_is_read_again(tmp_path: Path) -> None:
    grants = Grants(tmp_path / "grants.json")
    token = Grants(tmp_path / "grants.json").add("bob")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        assert grants.find(token) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    found = grants.find(token)
    assert found is not None
    assert found.label == "bob"
