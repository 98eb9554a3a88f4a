"""The faults that end a command or refuse a call, each with one sentence for people."""

from __future__ import annotations


class ConfigError(Exception):
    """Usage or configuration is wrong (exit 2). `remedy` says what to do next, may be ""."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class CountersError(Exception):
    """Shared counters gave no answer; a call that reached a limit is refused. The text says why, for the operator.

    `refused`: they were reached and said no, which waiting does not help against.
    """

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


class AuditError(Exception):
    """The audit cannot be written or read; a call that needed it is refused. The text says why, for the operator."""
