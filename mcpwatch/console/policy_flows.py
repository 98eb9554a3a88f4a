"""How the console changes a policy: new text, diff and what-if, the operator's word, the desk. No other way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from textual.app import App

from mcpwatch.console.changes import Change, change_of, limit_change, owned_limit
from mcpwatch.console.dialogs import Ask, Choice, Prompt
from mcpwatch.console.host import Host
from mcpwatch.console.orders import QuickEdit
from mcpwatch.console.policies import PolicyView
from mcpwatch.console.safe import safe
from mcpwatch.console.save_dialog import SaveDialog, diff_lines
from mcpwatch.console.whatif import LOOKED_AT, WhatIf, what_if
from mcpwatch.console.wire import items, table, tables
from mcpwatch.errors import ConfigError
from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.values import PolicyError


async def quick_edit(app: App[Any], host: Host, order: QuickEdit) -> bool:
    """One key, one change: ask for a number where one is needed, show the change, save it. True when it was saved."""
    view = await current(host, order.upstream)
    if view is None:
        return False
    if view.document is None:
        fault = "has a fault; mend it on the policy screen (3) first" if view.text else "is empty or missing"
        host.say(f"The policy file of {order.upstream} {fault}", error=True)
        return False
    try:
        change = await _change(app, view, view.document, order)
    except ValueError as fault:
        host.say(sentence(str(fault)), error=True)
        return False
    return change is not None and await save(app, host, view, change)


async def undo(app: App[Any], host: Host, upstream: str) -> bool:
    """Back to the text that was in force before the present one; shown and saved like any other change."""
    view = await current(host, upstream)
    if view is None:
        return False
    try:
        past = tables((await host.desk.history(upstream)).get("policies"))
    except ConfigError as fault:
        host.say(fault.message, error=True)
        return False
    known = [entry for entry in past if entry.get("text")]
    before = [entry for entry in known if _former(entry, view)]
    if not before:
        host.say(f"The policy of {upstream} has no earlier text")
        return False
    last = before[-1]
    title = f"Undo: back to the policy of {safe(last.get('at', ''), 30)} (by {safe(last.get('by', ''), 40)})"
    return await save(app, host, view, Change(title, view.text, str(last["text"])))


def _former(entry: Mapping[str, Any], view: PolicyView) -> bool:
    """Whether undo may go to it: while the file is broken to the policy in force, else to any other than that."""
    in_force = entry.get("digest") == view.digest
    return in_force if view.document is None and view.digest else not in_force


async def save(app: App[Any], host: Host, view: PolicyView, change: Change) -> bool:
    """Show the change and what it would have done; when the operator says so, save it. True when it was saved."""
    if not host.may_change():
        return False
    try:
        consequence = await consequences(host, view.upstream, change.before, change.after)
    except PolicyError as fault:
        place = fault.problems[0]
        host.say(f"Not saved: line {place.line}:{place.column} {place.message}", error=True)
        return False
    if not await app.push_screen_wait(SaveDialog(change, consequence, view.file)):
        return False
    return await store(app, host, view, change.after)


async def store(app: App[Any], host: Host, view: PolicyView, text: str) -> bool:
    """Write the file when it still is what was looked at; else show what came between and ask."""
    base = view.file_digest
    while True:
        try:
            answer = await host.desk.save_policy(view.upstream, text, base, host.by)
        except ConfigError as fault:
            host.say(f"{fault.message}. {fault.remedy}".rstrip(". ") + ".", error=True)
            return False
        status = answer.get("status")
        if status == 200:
            host.say("Saved. In force for the next call; u takes it back.")
            return True
        if status == 422:
            problem = table(next(iter(items(answer.get("problems"))), None))
            place = f"line {problem.get('line')}:{problem.get('column')} {problem.get('message')}"
            host.say(f"Not saved: {place if problem else 'the gateway refuses this policy'}", error=True)
            return False
        if status != 409:
            host.say("Not saved: the gateway answered what this console does not understand", error=True)
            return False
        choices = [Choice("o", "Overwrite what somebody else saved", "overwrite", "$decision-deny")]
        outside = diff_lines(view.text, str(answer.get("text", "")))
        question = "Somebody else changed the file meanwhile. Cancel leaves it like this:"
        if await app.push_screen_wait(Ask(question, outside, choices)) != "overwrite":
            return False
        base = str(answer.get("digest", ""))


async def consequences(host: Host, upstream: str, now: str, draft: str) -> WhatIf:
    """The what-if of a draft over the last recorded calls. Raises PolicyError when it cannot be put in force."""
    try:
        rows = tables((await host.desk.search(f"upstream:{upstream}", 0, 0, LOOKED_AT)).get("rows"))
    except ConfigError as fault:
        return WhatIf(f"The recorded calls cannot be read: {safe(fault.message, 200)}", ())
    offered = host.ledger.upstreams.get(upstream)
    schemas = {str(tool.get("name")): table(tool.get("inputSchema")) for tool in (offered.tools if offered else [])}
    return await asyncio.to_thread(what_if, now, draft, rows, schemas)


async def current(host: Host, upstream: str) -> PolicyView | None:
    """The file as it is now, None (and said) when the gateway cannot tell."""
    try:
        return PolicyView.read(upstream, await host.desk.policy(upstream), 0)
    except ConfigError as fault:
        host.say(fault.message, error=True)
        return None


async def _change(app: App[Any], view: PolicyView, document: PolicyDocument, order: QuickEdit) -> Change | None:
    if order.kind != "limit":
        return change_of(order, view.text, document)
    found = owned_limit(document, order.tool, order.limit) or owned_limit(document, order.tool, "")
    per = f"per {found[1].window.text}" if found else "a minute per grant"
    counter = found[1].counter if found else ""
    label = f"LIMIT  {safe(counter or order.tool, 60)}: calls {per}; enter shows the change, esc leaves"
    typed = await app.push_screen_wait(Prompt(label, str(found[1].max) if found else "10", "a whole number, 0 or more"))
    if typed is None:
        return None
    return limit_change(view.text, document, order.tool, counter, whole_number(typed))


def whole_number(typed: str) -> int:
    """What the operator typed, as a maximum. Raises ValueError with a sentence."""
    text = typed.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError(f'"{safe(text, 40)}" is no whole number of 0 or more')
    return int(text)


def sentence(text: str) -> str:
    """With a capital letter."""
    return text[:1].upper() + text[1:]
