"""What a resolved upstream is: how it is reached and what its process may see. No secret appears in a repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mcpwatch.errors import ConfigError

Kind = Literal["stdio", "http"]
Source = Literal["built in", "command", "program", "uvx", "npx", "own environment", "url"]


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """One upstream, ready to be started or reached.

    `command` and `env` belong to `stdio` (`env` is the whole environment of the process), `url` and `headers` to
    `http`. `policy` names an example policy (`eks-readonly`) or is None. `policy_folder` is the folder that the
    example policy of the preset speaks of and the one that is served here, when the two differ. `source` says how
    the command was found, `version` the pinned version of the preset, "" when it is not known to be that one.
    """

    name: str
    kind: Kind
    command: tuple[str, ...] = ()
    url: str = ""
    env: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    policy: str | None = None
    title: str = ""
    demo: bool = False
    preset: str | None = None
    source: Source = "command"
    version: str = ""
    policy_folder: tuple[str, str] | None = None

    @property
    def env_names(self) -> tuple[str, ...]:
        """The names of the variables the process sees, sorted: what may be shown. Values never are."""
        return tuple(sorted(self.env))


class NotThere(ConfigError):
    """The program of an upstream is not on this machine (exit 4)."""


class NotInstalled(NotThere):
    """The program of a preset is not on this machine. `command` is the one command that installs it."""

    def __init__(self, preset: str, package: str, tool: str = "") -> None:
        self.preset = preset
        self.command = f"mcpwatch upstream install {preset}"
        needs = f" (it needs {tool})" if tool else ""
        super().__init__(f'The program of "{preset}" is not on this machine: {package}', f"Run: {self.command}{needs}")
