"""Options that several commands share, and how a group's and a command's own are put together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from mcpwatch.config import DEFAULT_LISTEN, GatewayOptions, Place, file_defaults

F = TypeVar("F", bound=Callable[..., Any])

_EXTRA = "mcpwatch.extra_arguments"
_GROUP = "mcpwatch.group_options"


def place_options(command: F) -> F:
    """`--instance` and `--state-dir`; the command gets them as `place: Place`."""

    @functools.wraps(command)
    def with_place(*args: Any, instance: str | None, state_dir: str | None, **rest: Any) -> Any:
        above = _group_values(click.get_current_context())
        place = Place(instance or above.get("instance") or "default", state_dir or above.get("state_dir") or None)
        return command(*args, place=place, **rest)

    return cast(F, _add_place(with_place))


def json_option(command: F) -> F:
    """`--json`, as `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def gateway_options(command: F) -> F:
    """Everything a gateway can be started with; the command gets the raw values, see `chosen`."""
    for option in reversed(_GATEWAY):
        command = option(command)
    return _add_place(command)


def chosen(context: click.Context) -> GatewayOptions:
    """The gateway options: the command's own, else those before its name, else config.toml's, else defaults."""
    values: dict[str, Any] = {**file_defaults(), **_group_values(context), **explicit(context)}
    place = Place(values.pop("instance", None) or "default", values.pop("state_dir", None))
    known: dict[str, Any] = {name: value for name, value in values.items() if name in GatewayOptions.__slots__}
    known["args"] = extra_arguments(context)
    return GatewayOptions(place=place, **known)


def extra_arguments(context: click.Context) -> tuple[str, ...]:
    """What stood behind ` -- `."""
    extra: tuple[str, ...] = context.meta.get(_EXTRA, ())
    return extra


def explicit(context: click.Context) -> dict[str, Any]:
    """The parameters that were really given to this command."""
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
    }


def keep_for_subcommands(context: click.Context) -> None:
    """Let commands see the options that stood before their name."""
    context.meta[_GROUP] = explicit(context)


class TakesArguments(click.Command):
    """A command for which everything behind ` -- ` belongs to the upstream's own command line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            if not isinstance(self, click.Group) or not self._words(ctx, args[:cut]):
                ctx.meta[_EXTRA] = tuple(args[cut + 1 :])
                args = args[:cut]
        return super().parse_args(ctx, args)

    def _words(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What of `args` is no option: the name of a subcommand, whose own business `--` then is."""
        try:
            return self.make_parser(ctx).parse_args(list(args))[1]
        except click.UsageError:
            return []


def _group_values(context: click.Context) -> dict[str, Any]:
    return context.meta.get(_GROUP, {})


def _add_place(command: F) -> F:
    for option in (
        click.option("--state-dir", metavar="DIR", help="Where its state lives."),
        click.option("--instance", metavar="NAME", help="Which gateway of this machine (default: default)."),
    ):
        command = option(command)
    return command


_GATEWAY: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--upstream", "upstreams", multiple=True, metavar="SPEC",
        help="A preset (demo, eks, …), NAME=URL or NAME=COMMAND LINE. Repeatable.",
    ),
    click.option(
        "--mcp-config", "mcp_configs", multiple=True, metavar="FILE[#NAME]",
        help="Upstreams from .mcp.json or VS Code's mcp.json.",
    ),
    click.option(
        "--policy", "policies", multiple=True, metavar="[NAME=]FILE",
        help="The policy, for all upstreams or for one.",
    ),
    click.option("--listen", metavar="HOST:PORT", help=f"Where agents connect (default {DEFAULT_LISTEN})."),
    click.option("--open", "open", is_flag=True, help="Accept callers without a token (loopback only)."),
    click.option("--durability", metavar="full|normal", help="SQLite's synchronous level (default normal)."),
    click.option(
        "--counters", metavar="URL",
        help="Where counters live: memory: (default), or redis://HOST:PORT/DB, shared by all gateways that name it. "
        "Its password may be in MCPWATCH_REDIS_PASSWORD.",
    ),
    click.option(
        "--env", "env", multiple=True, metavar="NAME[=VALUE]",
        help="What else the upstream finds in its environment.",
    ),
    click.option("--traffic", is_flag=True, help="With demo: let scripted agents work through the gateway."),
    click.option("--tls-cert", metavar="FILE", help="Serve HTTPS with this certificate."),
    click.option("--tls-key", metavar="FILE", help="The certificate's key."),
    click.option("--call-timeout", type=float, metavar="SECONDS", help="Give up on a call after this (default 60)."),
    click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error (default info)."),
)  # fmt: skip
