"""The entrance: loads the one command that is named, and turns every fault into a sentence and a code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, TextIO

import click

from mcpwatch import __version__
from mcpwatch.cli.group import lazy
from mcpwatch.cli.options import TakesArguments, gateway_options, keep_for_subcommands
from mcpwatch.cli.output import say, say_fault
from mcpwatch.errors import AuditError, ConfigError

DONE, INTERNAL, USAGE, INVALID_POLICY, NO_UPSTREAM, BROKEN_AUDIT, DIFFERENT = range(7)
_INTERRUPTED = 130

_COMMANDS = {
    "serve": ("serve", "The gateway alone, in the foreground."),
    "attach": ("attach", "A console on a running gateway."),
    "stdio": ("stdio", "MCP on stdin and stdout, for clients that start commands."),
    "status": ("status", "What a running gateway does."),
    "stop": ("status", "End a running gateway, calls in flight first."),
    "freeze": ("freeze", "Refuse every call, or those of one grant or tool."),
    "thaw": ("freeze", "End a freeze."),
    "policy": ("policy", "Check, explain, test and change policy files."),
    "audit": ("audit", "Read, export and verify the record of calls."),
    "grant": ("grant", "Who may call: tokens and their names."),
    "upstream": ("upstream", "The servers behind the gateway: list, doctor, login."),
    "connect": ("connect", "The ready-made line that connects a client."),
    "wrap": ("wrap", "Put the gateway in front of the servers of a client's file."),
    "unwrap": ("wrap", "Undo wrap."),
}


class Commands(TakesArguments, lazy(_COMMANDS)):
    """All commands, and the gateway's options for when none is named."""


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 done, 1 internal error, 2 usage, 3 policy invalid, 4 upstream, 5 audit, 6 difference.",
)
@gateway_options
@click.option("--read-only", is_flag=True, help="The console may look and change nothing.")
@click.option("--plain", is_flag=True, help="Lines instead of the full screen.")
@click.version_option(__version__, prog_name="mcpwatch", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, **options: Any) -> None:
    """A policy gateway in front of MCP servers, and a console that shows it live.

    Without a command: start the gateway and its console. For example:

    \b
      mcpwatch --upstream demo --traffic
    """
    keep_for_subcommands(context)
    if context.invoked_subcommand is None:
        from mcpwatch.cli.both import both

        context.exit(both(context, read_only=options["read_only"], plain=options["plain"]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Nothing but a code and a sentence comes out, whatever happens."""
    try:
        result: object = cli.main(
            args=None if arguments is None else list(arguments), prog_name="mcpwatch", standalone_mode=False
        )
        code = result if isinstance(result, int) else DONE
    except BaseException as fault:
        code = _explained(fault)
    _let_go(sys.stdout)
    _let_go(sys.stderr)
    return code


def _explained(fault: BaseException) -> int:
    if isinstance(fault, click.exceptions.Exit):
        return fault.exit_code
    if isinstance(fault, SystemExit):
        return fault.code if isinstance(fault.code, int) else INTERNAL
    if isinstance(fault, click.Abort | KeyboardInterrupt):
        return _INTERRUPTED
    if os.environ.get("MCPWATCH_DEBUG"):
        traceback.print_exception(fault)
    return _said(fault)


def _said(fault: BaseException) -> int:
    from mcpwatch.gateway.link import UpstreamError
    from mcpwatch.policy.values import PolicyError

    if isinstance(fault, click.exceptions.NoArgsIsHelpError):
        say(fault.format_message())
        return USAGE
    if isinstance(fault, click.ClickException):
        say_fault(fault.format_message(), _usage_hint(fault))
        return USAGE
    if isinstance(fault, ConfigError):
        say_fault(fault.message, fault.remedy)
        # By name: loading their modules for this alone would take a second.
        upstream = any(kind.__name__ in ("NotThere", "LoginFailed") for kind in type(fault).__mro__)
        return NO_UPSTREAM if upstream else USAGE
    if isinstance(fault, PolicyError):
        from mcpwatch.cli.problems import say_problems

        say_problems("policy", fault.problems)
        return INVALID_POLICY
    if isinstance(fault, UpstreamError):
        say_fault(fault.error, fault.remedy)
        return NO_UPSTREAM
    if isinstance(fault, AuditError):
        say_fault(f"the audit cannot be used: {fault}")
        return INTERNAL
    say_fault(f"internal error: {type(fault).__name__}: {fault}", "Set MCPWATCH_DEBUG=1 to see where.")
    return INTERNAL


def _usage_hint(fault: click.ClickException) -> str:
    if isinstance(fault, click.UsageError) and fault.ctx is not None:
        return f"See: {fault.ctx.command_path} --help"
    return ""


def _let_go(stream: TextIO | None) -> None:
    """When the reader is gone (`| head`, a closed terminal), what is left unwritten must not change the exit code."""
    if stream is None:  # Python's word for a descriptor that was closed before the start
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
