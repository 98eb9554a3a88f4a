"""The methods MCP knows, and which names a careless reader would take for one of them."""

from __future__ import annotations

from mcpwatch.policy.names import fold as fold_any

CALL = "tools/call"
MODERN_FROM = "2026-07-28"
"""First revision without handshake and session."""

HANDSHAKE_VERSIONS = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})

_CLIENT_METHODS = """
    initialize ping server/discover subscriptions/listen tools/list tools/call resources/list resources/templates/list
    resources/read resources/subscribe resources/unsubscribe prompts/list prompts/get completion/complete
    logging/setLevel tasks/get tasks/result tasks/update tasks/cancel tasks/list notifications/initialized
    notifications/cancelled notifications/progress notifications/roots/list_changed notifications/tasks/status
"""
CLIENT_METHODS = frozenset(_CLIENT_METHODS.split())
"""What a client may send. Source: MCP 2024-11-05 to 2026-07-28 and its extension for tasks."""

SERVER_METHODS = {
    "ping": "",
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
    "tasks/get": "tasks",
    "tasks/result": "tasks",
    "tasks/cancel": "tasks",
    "tasks/list": "tasks",
}
"""What a server may ask a client (handshake revisions), and the capability the client must have declared."""


def fold(name: str) -> str:
    """`name` as a careless reader sees it: compatibility forms, case, blanks, invisible and control characters gone."""
    if name.isascii() and name.isprintable():
        return name.replace(" ", "").lower()
    return fold_any(name)


def is_lookalike(method: str) -> bool:
    """Whether `method` is none of MCP's but would be one to a reader that ignores case, blanks and the like."""
    return method not in CLIENT_METHODS and fold(method) in _FOLDED


_FOLDED = frozenset(fold(method) for method in CLIENT_METHODS)
