"""What the gateway itself answers: refusals an agent can act on, and JSON-RPC errors.

A refusal is a tool result over HTTP 200: every client shows that as clean text. Source: product contract.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcpwatch.gateway.wire import MessageId, encode
from mcpwatch.policy.values import Decision, Json

PREFIX = "[POLICY DENIED] "
META = "mcpwatch/decision"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a call is refused: `rule` for the audit, `message` for the agent (without prefix), `reason` for people."""

    rule: str
    reason: str
    message: str
    policy: str = ""
    retry_after_s: int | None = None
    used: int | float | None = None
    max: int | None = None

    @staticmethod
    def of(decision: Decision) -> Denial:
        """The denial in an engine's decision; `used` and `max` when a limit decided."""
        spent = next((c for c in decision.counters if c.rule == decision.rule), None)
        return Denial(
            decision.rule,
            decision.reason,
            decision.message,
            decision.policy,
            decision.retry_after_s,
            None if spent is None else spent.used,
            None if spent is None else spent.max,
        )


def denied(message_id: MessageId, denial: Denial, *, modern: bool) -> bytes:
    """A refused tool call. Without `structuredContent`, which some clients would show instead of the text."""
    result: dict[str, Json] = {
        "content": [{"type": "text", "text": PREFIX + denial.message}],
        "isError": True,
        "_meta": {META: _facts(denial)},
    }
    if modern:
        result["resultType"] = "complete"
    return encode({"jsonrpc": "2.0", "id": message_id, "result": result})


def denied_method(message_id: MessageId, denial: Denial, code: int) -> bytes:
    """A refused resource or prompt: those have no result that could say so, hence an error."""
    return error(message_id, code, PREFIX + denial.message, {META: _facts(denial)})


def error(message_id: MessageId, code: int, message: str, data: Json = None) -> bytes:
    """A JSON-RPC error; `message_id` None when the request's own could not be read."""
    fault: dict[str, Json] = {"code": code, "message": message}
    if data is not None:
        fault["data"] = data
    return encode({"jsonrpc": "2.0", "id": message_id, "error": fault})


def _facts(denial: Denial) -> dict[str, Json]:
    facts: dict[str, Json] = {"rule": denial.rule, "policy": denial.policy[:12]}
    for name, value in (("retry_after_s", denial.retry_after_s), ("used", denial.used), ("max", denial.max)):
        if value is not None:
            facts[name] = value
    return facts
