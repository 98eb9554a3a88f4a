"""Any dialect as policy.json v1 with extensions. Deciding by the result agrees with deciding by the original."""

from __future__ import annotations

from collections.abc import Iterator

from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.writer import document_json, write_top


def convert(document: PolicyDocument) -> tuple[str, tuple[str, ...]]:
    """The text, and what it could not carry over, a sentence each."""
    return write_top(document_json(document)), tuple(_lost(document))


def _lost(document: PolicyDocument) -> Iterator[str]:
    for tool, entry in (*document.tools.items(), ("*", document.all_tools)):
        for limit in entry.limits:
            if limit.name is not None:
                yield f'the name "{limit.name}" of the limit on {limit.counter} ({tool}): limits have no names in v1'
