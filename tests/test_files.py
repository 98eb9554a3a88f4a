"""Where things live, and that nobody else can read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpwatch import files
from mcpwatch.errors import ConfigError


@pytest.fixture
def careless_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("careless_umask")
def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    folder = files.private_dir(tmp_path / "a" / "b")
    files.private_write(folder / "secret", b"x")
    assert [mode(tmp_path / "a"), mode(folder), mode(folder / "secret")] == [0o700, 0o700, 0o600]


def test_a_folder_of_ours_that_is_too_open_is_tightened(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o755)
    assert mode(files.private_dir(folder)) == 0o700


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot use the folder"):
        files.private_dir(tmp_path / "file" / "state")


def test_a_private_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.private_write(path, b"first text")
    files.private_write(path, b"2")
    assert path.read_bytes() == b"2"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_the_folders_follow_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert files.config_dir() == tmp_path / "c" / "mcpwatch"
    assert files.state_dir() == tmp_path / "s" / "mcpwatch"
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.config_dir() == tmp_path / ".config" / "mcpwatch"


def test_the_socket_stands_in_the_runtime_folder_unless_a_state_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert files.socket_path("default") == Path("/run/user/1/mcpwatch/default.sock")
    assert files.socket_path("a", "/state") == Path("/state/a.sock")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert files.socket_path("b") == Path("/s/mcpwatch/b.sock")


def test_a_path_too_long_for_a_socket_is_moved_to_a_short_one_of_its_own() -> None:
    one, two = (files.socket_path("default", f"/{'x' * 120}/{i}") for i in (1, 2))
    assert len(os.fsencode(one)) <= files.SOCKET_BYTES
    assert one != two
    assert one == files.socket_path("default", f"/{'x' * 120}/1")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 65, "a\n", "ä"])
def test_an_instance_that_cannot_be_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name an instance"):
        files.socket_path(name)


def test_every_instance_but_the_default_one_has_a_folder_of_its_own() -> None:
    assert files.instance_dir("default", "/s") == Path("/s")
    assert files.instance_dir("other", "/s") == Path("/s/instances/other")


def test_shipped_files_are_found_by_name() -> None:
    seed = files.data_file("example-policies", "seed.json")
    assert seed is not None
    assert seed.is_file()
    assert "seed.json" in files.data_names("example-policies")
    assert files.data_file("example-policies", "../pyproject.toml") is None
    assert files.data_file("example-policies", "absent.json") is None


def test_a_file_that_others_can_write_or_replace_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text("{}")
    path.chmod(0o644)
    assert not files.others_can_write(path)
    path.chmod(0o666)
    assert files.others_can_write(path)
    path.chmod(0o644)
    tmp_path.chmod(0o777)
    assert files.others_can_write(path)
    tmp_path.chmod(0o1777)
    assert not files.others_can_write(path)


def test_a_folder_shared_by_all_users_is_refused_and_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(ConfigError, match="shared by all users"):
        files.private_dir(tmp_path)
    assert mode(tmp_path) == 0o1777
