"""What can be done from a selected call or limit: edit its rule, copy it, open the policy, answer a hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from textual.screen import Screen

from mcpwatch.console.copying import FORMS, copy_text
from mcpwatch.console.detail import DetailScreen
from mcpwatch.console.dialogs import Ask, Choice
from mcpwatch.console.host import app_of, host
from mcpwatch.console.meters import Meter
from mcpwatch.console.orders import AnswerHold, EditKind, QuickEdit, ShowRule
from mcpwatch.console.ring import Call
from mcpwatch.console.story import headline
from mcpwatch.console.wording import fullest

ORDERS = ("limit", "more", "less", "deny", "hide", "approval", "rule", "copy", "approve", "refuse")
"""Ids of the keys that this gives a screen."""


class CallOrders(Screen[Any]):
    """A screen with a call that orders are about."""

    def target(self) -> Call | None:
        """The call an order is about; it stays selected while the operator answers."""
        return None

    def tell_detail(self) -> None:
        """Show the selected call in the panel that the class `-detail` opens."""

    def action_detail(self) -> None:
        """The call, whole, beside the list; again: on the whole screen."""
        call = self.target()
        if call is None:
            return
        if self.has_class("-low") or self.has_class("-detail"):
            app_of(self).push_screen(DetailScreen(call))
        else:
            self.add_class("-detail")
            self.call_after_refresh(self.tell_detail)

    def limit_target(self) -> Meter | None:
        """The limit under the cursor, None when a call is meant."""
        return None

    def enlarge(self, step: int) -> None:
        """`+` and `-` where nothing has a limit."""
        del step

    def action_quick(self, kind: EditKind) -> None:
        """Ask the app for one change to the policy, about the selected limit or call."""
        if not host(self).may_change():
            return
        meter = self.limit_target()
        if meter is not None:
            self.post_message(QuickEdit(kind, meter.upstream, meter.tool, meter.name))
            return
        self._about_call(lambda call: self.post_message(_edit(kind, call)))

    def action_resize(self, step: int) -> None:
        kind: EditKind = "raise" if step > 0 else "lower"
        meter, call = self.limit_target(), self.selected_call()
        if meter is not None or (call is not None and fullest(call.record) is not None):
            self.action_quick(kind)
        else:
            self.enlarge(step)

    def selected_call(self) -> Call | None:
        """The call under the cursor, None while the list follows."""
        return self.target()

    def action_rule(self) -> None:
        meter = self.limit_target()
        if meter is not None:
            self.post_message(ShowRule(meter.upstream, meter.rule, meter.tool))
            return
        self._about_call(lambda call: self.post_message(_rule(call)))

    def action_copy(self) -> None:
        self._about_call(self._copy)

    def action_approve(self) -> None:
        self._answer("approve")

    def action_refuse(self) -> None:
        self._answer("refuse")

    def _answer(self, action: Literal["approve", "refuse"]) -> None:
        if not host(self).may_change():
            return
        ledger = host(self).ledger
        call = self.selected_call()
        if call is None or call.call_id not in ledger.holds:
            waiting = ledger.waiting()
            call = waiting[0].call if waiting else None
        if call is None:
            host(self).say("No call waits for you")
            return
        self.post_message(AnswerHold(call.call_id, action))

    def _copy(self, call: Call) -> None:
        choices = [Choice(key, label, form) for key, form, label in FORMS]
        ledger = host(self).ledger

        def chosen(form: str | None) -> None:
            if form:
                host(self).copy(copy_text(form, call, ledger), form)

        app_of(self).push_screen(Ask("Copy this call as", headline(call, host(self).look), choices), chosen)

    def _about_call(self, act: Callable[[Call], object]) -> None:
        call = self.target()
        if call is None:
            host(self).say("No call is selected")
        else:
            act(call)


def _edit(kind: EditKind, call: Call) -> QuickEdit:
    counter = fullest(call.record) or {}
    return QuickEdit(kind, str(call.record.get("upstream", "")), call.tool, str(counter.get("name", "")))


def _rule(call: Call) -> ShowRule:
    rule = str(call.record.get("rule") or call.record.get("would_deny") or "")
    return ShowRule(str(call.record.get("upstream", "")), rule, call.tool)
