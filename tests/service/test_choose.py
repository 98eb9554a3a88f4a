"""From options to upstreams and policy files."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.config import GatewayOptions, Place
from mcpwatch.errors import ConfigError
from mcpwatch.files import data_file
from mcpwatch.service import choose

ALLOW = '{"version": "1", "default": "allow", "tools": {}}'


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with nothing on it; the current folder is `here`."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def options(*upstreams: str, **more: Any) -> GatewayOptions:
    return GatewayOptions(Place(), upstreams, **more)


def policies(wanted: GatewayOptions) -> dict[str, choose.Chosen]:
    return choose.policies(wanted, choose.upstreams(wanted))


def test_presets_commands_and_urls_may_stand_side_by_side() -> None:
    found = choose.upstreams(options("demo", f"own={sys.executable} -V", "far=http://127.0.0.1:1/mcp"))
    assert [(spec.name, spec.kind) for spec in found] == [("demo", "stdio"), ("own", "stdio"), ("far", "http")]
    assert found[0].demo


def test_two_upstreams_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two upstreams"):
        choose.upstreams(options("demo", f"demo={sys.executable}"))


def test_arguments_need_one_upstream_that_they_belong_to() -> None:
    (spec,) = choose.upstreams(options(f"own={sys.executable}", args=("-V",)))
    assert spec.command[-1] == "-V"
    with pytest.raises(ConfigError, match="exactly one"):
        choose.upstreams(options("demo", f"own={sys.executable}", args=("-V",)))


def test_a_clients_file_gives_all_its_servers_or_the_one_that_is_named(folder: Path) -> None:
    servers = {"a": {"command": sys.executable}, "b": {"url": "http://127.0.0.1:1/mcp"}}
    file = folder / ".mcp.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    assert [spec.name for spec in choose.upstreams(options(mcp_configs=(str(file),)))] == ["a", "b"]
    assert [spec.name for spec in choose.upstreams(options(mcp_configs=(f"{file}#b",)))] == ["b"]
    with pytest.raises(ConfigError, match="cannot read"):
        choose.upstreams(options(mcp_configs=("absent.json",)))


def test_a_named_policy_beats_the_general_one(folder: Path) -> None:
    for name in ("general.json", "special.json"):
        (folder / name).write_text(ALLOW)
    more = (str(folder / "general.json"), f"two={folder / 'special.json'}")
    found = policies(options(f"one={sys.executable}", f"two={sys.executable}", policies=more))
    assert {name: chosen.path.name for name, chosen in found.items()} == {"one": "general.json", "two": "special.json"}


def test_two_general_policies_cannot_be_meant(folder: Path) -> None:
    (folder / "p.json").write_text(ALLOW)
    with pytest.raises(ConfigError, match="twice"):
        policies(options("demo", policies=(str(folder / "p.json"), str(folder / "p.json"))))


def test_the_current_folder_beats_the_users_folder_which_beats_writing_one(folder: Path) -> None:
    written = policies(options("demo"))["demo"]
    assert written.path == folder / "config" / "mcpwatch" / "policies" / "demo.json"
    assert "recommended" in written.written
    recommended = data_file("example-policies", "demo.json")
    assert recommended is not None
    assert written.path.read_bytes() == recommended.read_bytes()
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o600
    assert policies(options("demo"))["demo"] == choose.Chosen(written.path)
    here = folder / "here" / "policy.json"
    here.write_text(ALLOW)
    assert policies(options("demo"))["demo"] == choose.Chosen(here)


def test_an_upstream_nobody_knows_gets_a_policy_that_refuses_everything() -> None:
    chosen = policies(options(f"own={sys.executable}"))["own"]
    assert json.loads(chosen.path.read_text())["default"] == "deny"
    assert "refused" in chosen.written
