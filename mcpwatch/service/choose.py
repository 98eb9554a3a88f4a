"""From the options to what is really run: the upstreams, and the policy file of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mcpwatch.config import GatewayOptions
from mcpwatch.errors import ConfigError
from mcpwatch.files import config_dir, data_file, private_dir, private_write, state_dir
from mcpwatch.upstreams.clientconfig import read_client_config
from mcpwatch.upstreams.presets import recommended_policy, resolve
from mcpwatch.upstreams.spec import UpstreamSpec

_NOTHING_YET = b"""{
  "version": "1",
  "default": "deny",
  "tools": {}
}
"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The policy file of one upstream. `written` says from what it was made just now, "" when it was there."""

    path: Path
    written: str = ""


def upstreams(options: GatewayOptions) -> list[UpstreamSpec]:
    """Every upstream asked for, in order. Raises ConfigError; for an absent program that is a NotInstalled."""
    count = len(options.upstreams) + len(options.mcp_configs)
    if options.args and count != 1:
        raise ConfigError("arguments after -- need exactly one upstream that they belong to")
    state = state_dir(options.place.state_dir)
    specs: list[UpstreamSpec] = []
    for text in options.upstreams:
        specs.append(resolve(text, environ=os.environ, state_dir=state, extra_env=options.env, extra_args=options.args))
    for text in options.mcp_configs:
        specs.extend(_from_config(text))
    _check_names(specs)
    return specs


def policies(options: GatewayOptions, specs: list[UpstreamSpec]) -> dict[str, Chosen]:
    """The policy file of each upstream, written from the recommended one where nothing was said and nothing exists."""
    general, named = _given(options, {spec.name for spec in specs})
    return {spec.name: _file_of(spec, named.get(spec.name, general)) for spec in specs}


def _from_config(option: str) -> tuple[UpstreamSpec, ...]:
    file, _, only = option.partition("#")
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"cannot read {file}: {fault}", "Write --mcp-config FILE or FILE#NAME.") from fault
    return read_client_config(text, file=file, environ=os.environ, only=only or None)


def _given(options: GatewayOptions, names: set[str]) -> tuple[Path | None, dict[str, Path]]:
    general: Path | None = None
    named: dict[str, Path] = {}
    for text in options.policies:
        name, equals, rest = text.partition("=")
        if equals and name in names:
            named[name] = _existing(rest)
        elif general is None:
            general = _existing(text)
        else:
            raise ConfigError("--policy FILE was given twice", "Say which upstream each is for: --policy NAME=FILE")
    return general, named


def _existing(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"there is no policy file {text}", "Without --policy, a recommended one is written for you.")
    return path


def _file_of(spec: UpstreamSpec, given: Path | None) -> Chosen:
    if given is not None:
        return Chosen(given)
    folder = config_dir()
    own = folder / "policies" / f"{spec.name}.json"
    for path in (Path.cwd() / "policy.json", own, folder / "policy.json"):
        if path.is_file():
            return Chosen(path)
    return _write_recommended(spec, own)


def _write_recommended(spec: UpstreamSpec, path: Path) -> Chosen:
    source = data_file("example-policies", f"{spec.policy}.json") if spec.policy else None
    if source is None:
        text, origin = _NOTHING_YET, "an empty one: every call is refused until you allow tools"
    else:
        text = recommended_policy(spec, source.read_text(encoding="utf-8")).encode()
        origin = f"the recommended one ({source.stem})"
    private_dir(path.parent)
    try:
        private_write(path, text)
    except OSError as fault:
        raise ConfigError(f"cannot write {path}: {fault.strerror}", "Name a policy with --policy FILE.") from fault
    return Chosen(path, origin)


def _check_names(specs: list[UpstreamSpec]) -> None:
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen:
            raise ConfigError(f'two upstreams are called "{spec.name}"', "Name them: --upstream NAME=COMMAND LINE")
        seen.add(spec.name)
