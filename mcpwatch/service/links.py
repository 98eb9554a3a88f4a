"""From what an upstream is to the link that reaches it."""

from __future__ import annotations

from collections.abc import Callable

Told = Callable[[str, str, str, str], None]
"""(upstream, state, error, remedy)"""
