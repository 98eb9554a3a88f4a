"""The gateway's words for people, on stderr. A terminal that is gone, or a closed pipe, never ends the gateway."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

from mcpwatch.errors import ConfigError

log = logging.getLogger("mcpwatch")

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_WORDS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}


def set_up(level: str) -> None:
    """Send our log to stderr, from `level` on; libraries only speak up from warnings on. Raises ConfigError."""
    if level.lower() not in _LEVELS:
        raise ConfigError(f'--log-level "{level}" is none of {", ".join(_LEVELS)}')
    handler = _Patient(sys.stderr)
    handler.setFormatter(_Plain())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(_LEVELS[level.lower()])


class _Patient(logging.StreamHandler[TextIO]):
    """Drops what cannot be written."""

    def handleError(self, record: logging.LogRecord) -> None:
        return


class _Plain(logging.Formatter):
    """`2026-11-22T10:30:00Z warning  text`, on one line; what an upstream said cannot forge a second one."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        return f"{at} {_WORDS.get(record.levelno, record.levelname.lower()):7} {shown}"
