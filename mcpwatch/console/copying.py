"""A call as text for other programs: its record, a curl command that repeats it, a policy case of its decision."""

from __future__ import annotations

import json
import shlex
from typing import Any

from mcpwatch.console.ledger import Ledger
from mcpwatch.console.ring import Call
from mcpwatch.console.wire import table

FORMS = (
    ("j", "JSON", "its audit record, JSON"),
    ("c", "curl", "a curl command that sends it again"),
    ("p", "policy case", "a case for mcpwatch policy test"),
)
"""(key, form, what it is)."""


def copy_text(form: str, call: Call, ledger: Ledger) -> str:
    """The call in one of FORMS. Arguments are the redacted ones; ASCII only, so nothing hides in it."""
    if form == "curl":
        return _curl(call, ledger)
    if form == "policy case":
        return _case(call, ledger)
    return json.dumps(call.record, indent=2)


def _curl(call: Call, ledger: Ledger) -> str:
    endpoints = table(ledger.connect.get("endpoints"))
    url = str(endpoints.get(str(call.record.get("upstream", "")), "http://127.0.0.1:7330/mcp/UPSTREAM"))
    message: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": call.record.get("method") or "tools/call",
        "params": {"name": call.tool, "arguments": call.record.get("args") or {}},
    }
    words = ["-H", "Content-Type: application/json", "-H", "Accept: application/json, text/event-stream"]
    token = ' -H "Authorization: Bearer $MCPWATCH_TOKEN"' if ledger.connect.get("token") else ""
    return f"curl -sS {shlex.quote(url)} {shlex.join(words)}{token} -d {shlex.quote(json.dumps(message))}"


def _case(call: Call, ledger: Ledger) -> str:
    record = call.record
    view = ledger.policies.get(str(record.get("upstream", "")))
    told: dict[str, Any] = {
        "at": record.get("at"),
        "grant": record.get("grant"),
        "tool": call.tool,
        "args": record.get("args") or {},
        "expect": {"decision": record.get("decision"), "rule": record.get("rule") or ""},
    }
    case: dict[str, Any] = {"id": f"call-{record.get('seq') or call.call_id}", "calls": [told]}
    if view is not None:
        case["policy_file"] = view.file
    return json.dumps([case], indent=2)
