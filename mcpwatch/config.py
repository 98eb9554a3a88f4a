"""What the gateway is asked to do: the options of the command line, of config.toml, and of the last start."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcpwatch.errors import ConfigError
from mcpwatch.files import config_dir, instance_dir, private_dir, private_write, socket_path

DEFAULT_LISTEN = "127.0.0.1:7330"
_FILE_KEYS = {
    "upstream": "upstreams",
    "policy": "policies",
    "listen": "listen",
    "open": "open",
    "durability": "durability",
    "counters": "counters",
    "env": "env",
    "call_timeout": "call_timeout",
    "tls_cert": "tls_cert",
    "tls_key": "tls_key",
    "log_level": "log_level",
}
_LISTS = {"upstreams", "mcp_configs", "policies", "env", "args"}
_REMEMBERED = ("upstreams", "mcp_configs", "policies", "args")


@dataclass(frozen=True, slots=True)
class Place:
    """Which gateway: an instance, and where its state is (`state_dir` None: the XDG state folder)."""

    instance: str = "default"
    state_dir: str | None = None

    @property
    def folder(self) -> Path:
        return instance_dir(self.instance, self.state_dir)

    @property
    def socket(self) -> Path:
        return socket_path(self.instance, self.state_dir)

    @property
    def audit(self) -> Path:
        return self.folder / "audit.db"

    @property
    def last_choice(self) -> Path:
        return self.folder / "last.json"

    @property
    def logins(self) -> Path:
        """The operator's logins at upstreams, one file each."""
        return self.folder / "logins"

    def arguments(self) -> list[str]:
        """The options that lead another mcpwatch command to the same gateway; [] for the default one."""
        chosen = [] if self.instance == "default" else ["--instance", self.instance]
        return chosen + (["--state-dir", self.state_dir] if self.state_dir else [])


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """The gateway options of the command line, as typed. `call_timeout` is in seconds."""

    place: Place = field(default_factory=Place)
    upstreams: tuple[str, ...] = ()
    mcp_configs: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    listen: str = DEFAULT_LISTEN
    open: bool = False
    durability: str = "normal"
    counters: str = "memory:"
    env: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    traffic: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    call_timeout: float = 60.0
    log_level: str = "info"

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> GatewayOptions:
        values: dict[str, Any] = json.loads(text)
        place = Place(**values.pop("place"))
        lists: dict[str, Any] = {name: tuple(values.pop(name)) for name in _LISTS}
        return GatewayOptions(place=place, **lists, **values)


@dataclass(frozen=True, slots=True)
class Address:
    """Where agents connect. `port` 0 picks a free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def reachable(self) -> Address:
        """An address of this machine, when this one stands for all of them."""
        try:
            return Address("127.0.0.1", self.port) if ipaddress.ip_address(self.host).is_unspecified else self
        except ValueError:
            return self

    def url(self, port: int, *, tls: bool = False) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if tls else 'http'}://{host}:{port}"


def address(text: str) -> Address:
    """`HOST:PORT`, `[V6]:PORT` or `:PORT` (loopback). Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f'--listen "{text}" is not HOST:PORT', f"For example: --listen {DEFAULT_LISTEN}")
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise ConfigError(f'--listen "{text}": an IPv6 address stands in brackets', "For example: --listen [::1]:7330")
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def check(options: GatewayOptions) -> Address:
    """The listening address, after everything that needs no file was checked. Raises ConfigError."""
    where = address(options.listen)
    if options.open and not where.loopback:
        raise ConfigError(
            f"--open lets everybody in, so it cannot listen on {options.listen}",
            "Listen on 127.0.0.1, or leave --open out and give callers a token: mcpwatch grant add LABEL",
        )
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigError("--tls-cert and --tls-key belong together")
    if options.durability not in ("full", "normal"):
        raise ConfigError(f'--durability "{options.durability}" is neither full nor normal')
    if not 0 < options.call_timeout <= 86_400:
        raise ConfigError("--call-timeout must be more than 0 and at most 86400 seconds")
    return where


def file_defaults() -> dict[str, Any]:
    """The `[gateway]` table of config.toml, in the names of GatewayOptions; {} without the file. Raises ConfigError."""
    path = config_dir() / "config.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("gateway", {})
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigError(f"cannot read {path}: {fault}") from fault
    unknown = sorted(set(table) - set(_FILE_KEYS))
    if unknown:
        raise ConfigError(f'{path}: unknown key "{unknown[0]}" in [gateway]', f"Known: {', '.join(_FILE_KEYS)}")
    return {_FILE_KEYS[key]: _as_option(path, key, value) for key, value in table.items()}


def remember(options: GatewayOptions) -> None:
    """Keep which upstreams were chosen, for a start that names none."""
    private_dir(options.place.folder)
    chosen = {name: list(getattr(options, name)) for name in _REMEMBERED}
    private_write(options.place.last_choice, json.dumps(chosen).encode())


def with_upstreams(options: GatewayOptions) -> GatewayOptions:
    """`options`, with the upstreams of the last start when none are named. Raises ConfigError when there was none."""
    if options.upstreams or options.mcp_configs:
        return options
    try:
        last: dict[str, list[str]] = json.loads(options.place.last_choice.read_bytes())
        kept = {name: tuple(str(item) for item in last[name]) for name in _REMEMBERED}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            "no upstream is named, and none was used before",
            "Try the built-in one: mcpwatch --upstream demo. See all: mcpwatch upstream list",
        ) from None
    return dataclasses.replace(options, **{name: getattr(options, name) or kept[name] for name in _REMEMBERED})


def _as_option(path: Path, key: str, value: object) -> object:
    name = _FILE_KEYS[key]
    if name in _LISTS:
        items = cast("list[object]", value) if isinstance(value, list) else [value]
        if all(isinstance(item, str) for item in items):
            return tuple(items)
    elif name == "open":
        if isinstance(value, bool):
            return value
    elif name == "call_timeout":
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, str):
        return value
    raise ConfigError(f"{path}: [gateway] {key} has the wrong type")
