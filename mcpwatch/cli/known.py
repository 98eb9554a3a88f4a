"""Which upstream a bare NAME means: the one of the configuration, of the last start, or of an earlier login."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mcpwatch.config import GatewayOptions, Place, file_defaults, with_upstreams
from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.logins.store import LoginStore
from mcpwatch.upstreams.presets import resolve
from mcpwatch.upstreams.spec import UpstreamSpec


def known_upstream(text: str, configs: Sequence[str], place: Place) -> UpstreamSpec:
    """The upstream reached by URL that `text` (NAME or NAME=URL) means. Raises ConfigError.

    Looked for in `configs` (--mcp-config) alone when there are some, else in config.toml, in what the last start of
    this gateway used, and among the logins.
    """
    name, given, _ = text.partition("=")
    spec = _given(text, place) if given else find_upstream(name, configs, place)
    if spec is None:
        raise ConfigError(
            f'no URL of an upstream "{name}" is known',
            f"Write: mcpwatch upstream login {name}=URL, or add --mcp-config FILE.",
        )
    if spec.kind != "http":
        raise ConfigError(f"{name} is a program that is started here", "A login is for an upstream reached by URL.")
    return spec


def find_upstream(name: str, configs: Sequence[str], place: Place) -> UpstreamSpec | None:
    """The upstream of that name, None when nothing speaks of it. Raises ConfigError for `configs` that are no good."""
    if configs:
        return _in(GatewayOptions(place=place, mcp_configs=tuple(configs)), name)
    defaults = file_defaults()
    upstreams: tuple[str, ...] = defaults.get("upstreams", ())
    for options in (GatewayOptions(place=place, upstreams=upstreams), GatewayOptions(place=place)):
        try:
            found = _in(with_upstreams(options), name)
        except ConfigError:
            # Nothing was started yet, or its files are gone: then they say nothing about the name.
            continue
        if found is not None:
            return found
    login = LoginStore(place.logins).read(name)
    return None if login is None else _given(f"{name}={login.url}", place)


def _in(options: GatewayOptions, name: str) -> UpstreamSpec | None:
    import dataclasses

    from mcpwatch.service import choose

    meant = tuple(text for text in options.upstreams if text.partition("=")[0] == name and "=" in text)
    # What stood behind -- belongs to a program, and those have no login.
    narrowed = dataclasses.replace(options, upstreams=meant, args=())
    if not meant and not options.mcp_configs:
        return None
    return next((spec for spec in choose.upstreams(narrowed) if spec.name == name), None)


def _given(text: str, place: Place) -> UpstreamSpec:
    return resolve(text, environ=os.environ, state_dir=place.folder)
