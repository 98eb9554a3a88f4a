"""Options: what they mean, what cannot be meant, and what is kept for the next start."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mcpwatch.config import Address, GatewayOptions, Place, address, check, file_defaults, remember, with_upstreams
from mcpwatch.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7330", "127.0.0.1", 7330),
        ("localhost:0", "localhost", 0),
        (":80", "127.0.0.1", 80),
        ("[::1]:7330", "::1", 7330),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
    ],
)
def test_an_address_is_host_and_port(text: str, host: str, port: int) -> None:
    assert address(text) == Address(host, port)


@pytest.mark.parametrize("text", ["", "7330", "host", "host:", "host:x", "host:65536", "::1:7330", "[::1:7330", "h:²"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        address(text)
    assert "7330" in caught.value.remedy


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_this_machine_alone(host: str, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback


def test_an_ipv6_url_has_brackets() -> None:
    assert Address("::1", 0).url(8, tls=True) == "https://[::1]:8"


def test_open_is_for_loopback_only() -> None:
    check(GatewayOptions(open=True))
    with pytest.raises(ConfigError, match="--open"):
        check(GatewayOptions(open=True, listen="0.0.0.0:7330"))


def test_options_travel_to_a_child_and_come_back_equal() -> None:
    options = GatewayOptions(Place("x", "/s"), ("a=b",), env=("K=v",), traffic=True, call_timeout=1.5)
    assert GatewayOptions.from_json(options.to_json()) == options


def test_the_last_upstreams_are_kept_privately_and_used_when_none_is_named(tmp_path: Path) -> None:
    place = Place(state_dir=str(tmp_path / "state"))
    with pytest.raises(ConfigError, match="no upstream"):
        with_upstreams(GatewayOptions(place))
    remember(GatewayOptions(place, ("demo",), args=("x",), env=("SECRET=1",)))
    assert with_upstreams(GatewayOptions(place)) == GatewayOptions(place, ("demo",), args=("x",))
    assert with_upstreams(GatewayOptions(place, ("eks",))) == GatewayOptions(place, ("eks",))
    kept = place.last_choice
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert b"SECRET" not in kept.read_bytes()


def test_a_damaged_memory_is_none(tmp_path: Path) -> None:
    place = Place(state_dir=str(tmp_path))
    place.last_choice.write_text("{]")
    with pytest.raises(ConfigError, match="no upstream"):
        with_upstreams(GatewayOptions(place))


def configured(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    (folder / "mcpwatch").mkdir()
    (folder / "mcpwatch" / "config.toml").write_text(text)


def test_the_users_file_gives_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configured(monkeypatch, tmp_path, '[gateway]\nupstream = "demo"\nenv = ["A", "B"]\ncall_timeout = 5\nopen = true\n')
    assert file_defaults() == {"upstreams": ("demo",), "env": ("A", "B"), "call_timeout": 5.0, "open": True}


@pytest.mark.parametrize(
    "text",
    ["[gateway]\nupstrem = 1", "[gateway]\nopen = 1", "[gateway]\nlisten = 7330", "[gateway", "[gateway]\nenv=[1]"],
)
def test_a_wrong_users_file_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    configured(monkeypatch, tmp_path, text)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        file_defaults()


def test_without_the_users_file_there_are_no_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert file_defaults() == {}


def test_an_address_that_stands_for_all_is_reached_by_loopback() -> None:
    assert [Address(host, 1).reachable().host for host in ("0.0.0.0", "::", "10.0.0.1", "localhost")] == [
        "127.0.0.1",
        "127.0.0.1",
        "10.0.0.1",
        "localhost",
    ]
