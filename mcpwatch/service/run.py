"""`serve`, from options to exit code: the event loop, the signals, and what a failed start says."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from mcpwatch.config import GatewayOptions, check, with_upstreams
from mcpwatch.errors import ConfigError
from mcpwatch.service import choose
from mcpwatch.service.log import log, set_up
from mcpwatch.service.process import GatewayProcess

_FILES = 65_536


def run(options: GatewayOptions) -> int:
    """Run one gateway until it is told to stop; returns its exit code.

    Raises ConfigError (exit 2), UpstreamError (4), AuditError (1) when it cannot start.
    """
    set_up(options.log_level)
    _allow_files()
    address = check(options)
    options = with_upstreams(options)
    specs = choose.upstreams(options)
    if options.traffic and not any(spec.demo for spec in specs):
        raise ConfigError("--traffic belongs to the demo upstream", "Use it with --upstream demo.")
    if not address.loopback and not options.tls_cert:
        log.warning("tokens and calls travel unencrypted to %s: use --tls-cert and --tls-key", options.listen)

    async def start() -> int:
        process = GatewayProcess(options, address, specs)
        _handle_signals(process)
        return await process.run()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_quietly(start()))


def _allow_files() -> None:
    """Shells allow few open files by default, for programs of old; each caller and each call here needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _handle_signals(process: GatewayProcess) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.stop)
    loop.add_signal_handler(signal.SIGINT, process.stop)
    # Also what a terminal sends when it goes away: the gateway stays and reads its policies again.
    loop.add_signal_handler(signal.SIGHUP, process.reload)


async def _quietly(main: Coroutine[Any, Any, int]) -> int:
    """Unwrap the group around a single fault, so that callers see the fault itself."""
    try:
        return await main
    except BaseExceptionGroup as group:
        faults = group.exceptions
        if len(faults) == 1 and not isinstance(faults[0], BaseExceptionGroup):
            raise faults[0] from None
        raise


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
