"""Which screens there are. A new screen is one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import App

from mcpwatch.console.audit_screen import AuditScreen
from mcpwatch.console.holds_screen import HoldsScreen
from mcpwatch.console.ledger import Ledger
from mcpwatch.console.live import LiveScreen
from mcpwatch.console.orders import ShowRule
from mcpwatch.console.policy_screen import PolicyScreen
from mcpwatch.console.seat import Seat
from mcpwatch.console.tools_screen import ToolsScreen

SCREENS: dict[str, Callable[[Ledger], Seat]] = {
    "live": LiveScreen,
    "tools": ToolsScreen,
    "policy": PolicyScreen,
    "audit": AuditScreen,
    "holds": HoldsScreen,
}
"""Screens by the name that `keys.KEYS` gives them, in the order of their keys."""


async def show_rule(app: App[Any], order: ShowRule) -> None:
    """Open the policy screen at a rule, when there is one."""
    if "policy" in SCREENS:
        await app.switch_mode("policy")
        goto = getattr(app.screen, "goto_rule", None)
        if goto is not None:
            goto(order.upstream, order.rule, order.tool)
