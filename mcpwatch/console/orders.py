"""What panels and screens ask of the app, as messages that bubble up to it."""

from __future__ import annotations

from typing import Literal

from textual.message import Message

EditKind = Literal["limit", "raise", "lower", "deny", "hide", "approve", "allow"]


class QuickEdit(Message):
    """One change to the policy of `upstream`: `limit` sets one on `tool`, `raise`/`lower` change the counter `limit`.

    `tool` is "" for a limit of all tools; `limit` is the counter's name or "".
    """

    def __init__(self, kind: EditKind, upstream: str, tool: str, limit: str = "") -> None:
        super().__init__()
        self.kind: EditKind = kind
        self.upstream = upstream
        self.tool = tool
        self.limit = limit


class ShowRule(Message):
    """Open the policy of `upstream` at the JSON pointer `rule` ("" for its beginning), beside `tool`."""

    def __init__(self, upstream: str, rule: str, tool: str = "") -> None:
        super().__init__()
        self.upstream = upstream
        self.rule = rule
        self.tool = tool


class AnswerHold(Message):
    """The operator's word on a held call."""

    def __init__(self, call_id: str, action: Literal["approve", "refuse"]) -> None:
        super().__init__()
        self.call_id = call_id
        self.action: Literal["approve", "refuse"] = action
