"""Groups of commands that are loaded one by one, when they are named."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click


class Lazy(click.Group):
    """A group whose commands live in modules of their own: {name: (module, one line of help)}."""

    commands_by_name: Mapping[str, tuple[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_by_name:
            return None
        module = importlib.import_module(f"mcpwatch.cli.{self.commands_by_name[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.commands_by_name.items()])


def lazy(commands: Mapping[str, tuple[str, str]]) -> type[Lazy]:
    """A group class for `@click.group(cls=lazy({...}))`."""
    return type("Commands", (Lazy,), {"commands_by_name": commands})
