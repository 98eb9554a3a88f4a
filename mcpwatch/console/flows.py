"""Orders that need the operator's word first: freeze, answer a held call, quit."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from textual.app import App
from textual.content import Content

from mcpwatch.console.dialogs import Ask, Choice, Prompt
from mcpwatch.console.holds_screen import HoldsScreen
from mcpwatch.console.host import Host
from mcpwatch.console.orders import AnswerHold
from mcpwatch.console.policies import risk_of
from mcpwatch.console.ring import Call
from mcpwatch.console.safe import safe
from mcpwatch.console.story import arguments, headline
from mcpwatch.console.wording import caller
from mcpwatch.errors import ConfigError

RISKY = ("high", "critical", "unknown")


async def attempt(host: Host, act: Awaitable[Any], done: str) -> bool:
    """Do something at the desk; say `done`, or why it could not be done."""
    try:
        await act
    except ConfigError as fault:
        host.say(f"{fault.message}. {fault.remedy}".rstrip(". ") + ".", error=True)
        return False
    if done:
        host.say(done)
    return True


async def quit_console(app: App[str], *, owned: bool, unsaved: str = "") -> None:
    """Leave; when this console started the gateway, ask what becomes of it. `unsaved`: whose policy would be lost."""
    if unsaved:
        lose = [Choice("y", "Quit and lose the changes", "yes", "$decision-deny")]
        if not await app.push_screen_wait(Ask(f"The policy of {safe(unsaved, 40)} has changes not saved", [], lose)):
            return
    if not owned:
        app.exit("leave")
        return
    choices = [
        Choice("s", "Stop the gateway: agents lose their connection", "stop"),
        Choice("l", "Leave it running: mcpwatch attach comes back to it", "leave"),
    ]
    answer = await app.push_screen_wait(Ask("Quit. What becomes of the gateway?", [], choices))
    if answer:
        app.exit(answer)


async def freeze(app: App[str], host: Host, about: Call | None) -> None:
    """Refuse everything, one caller or one tool from now on; or let them through again."""
    choices = [Choice("a", "Freeze everything", "all", "$decision-deny")]
    if about is not None:
        grant = safe(about.record.get("grant") or "", 60)
        choices.append(Choice("g", f"Freeze the caller {grant}", "grant"))
        choices.append(Choice("t", f"Freeze the tool {safe(about.tool, 80)}", "tool"))
    if host.ledger.frozen:
        choices.insert(0, Choice("w", "Thaw: let calls through again", "thaw", "$decision-allow"))
    text = "Frozen calls are refused at once, whatever the policy says, until someone thaws them."
    answer = await app.push_screen_wait(Ask("Freeze", [(text, "$muted")], choices))
    if answer == "thaw":
        await _thaw(host)
    elif answer == "all":
        await attempt(host, host.desk.freeze(by=host.by), "Everything is frozen")
    elif answer and about is not None:
        grant, tool = (str(about.record.get("grant") or ""), "") if answer == "grant" else ("", about.tool)
        await attempt(host, host.desk.freeze(grant=grant, tool=tool, by=host.by), f"{grant or tool} is frozen")


async def _thaw(host: Host) -> None:
    for scope in sorted(host.ledger.frozen):
        kind, _, name = scope.partition(":")
        which = {kind: name} if kind in ("grant", "tool") else {}
        await attempt(host, host.desk.thaw(**which, by=host.by), f"{name or 'Everything'} is thawed")


async def answer_hold(app: App[str], host: Host, order: AnswerHold) -> None:
    """Approve or refuse one call. Approving asks again when the risk is high or the arguments were not in view."""
    hold = host.ledger.holds.get(order.call_id)
    if hold is None:
        host.say("This call no longer waits")
        return
    if order.action == "refuse":
        await _refuse(app, host, hold.call)
        return
    in_view = isinstance(app.screen, HoldsScreen)
    risk = risk_of(host.ledger.policies, hold.call.record)
    answer = "once" if in_view and risk not in RISKY else await _confirm(app, host, hold.call, risk)
    if answer:
        act = host.desk.hold(order.call_id, "approve", remember=answer == "remember", by=host.by)
        await attempt(host, act, f"{hold.call.tool} of {caller(hold.call.record)} may pass")


async def _confirm(app: App[str], host: Host, call: Call, risk: str) -> str:
    lines = [headline(call, host.look), [("caller ", "$muted"), (caller(call.record), "bold")]]
    if risk:
        lines.append([("risk   ", "$muted"), (safe(risk, 20), f"bold $risk-{risk}" if risk in _RISKS else "bold")])
    lines += [[("", "")], *arguments(call.record.get("args"))]
    text = Content("\n").join([Content.assemble(*line) for line in lines])
    choices = [
        Choice("y", "Approve this call", "once", "$decision-allow"),
        Choice("r", "Approve, and the same tool for this caller for a while", "remember"),
    ]
    return await app.push_screen_wait(Ask("Let this call pass?", text, choices))


_RISKS = ("low", "medium", "high", "critical")


async def _refuse(app: App[str], host: Host, call: Call) -> None:
    label = f"Refuse {safe(call.tool, 60)}: reason for the agent (may be empty), esc keeps it waiting"
    reason = await app.push_screen_wait(Prompt(label))
    if reason is not None:
        act = host.desk.hold(call.call_id, "refuse", reason=reason, by=host.by)
        await attempt(host, act, f"{call.tool} of {caller(call.record)} is refused")
