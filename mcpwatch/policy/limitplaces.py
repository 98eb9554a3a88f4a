"""Where the maxima of limits stand in a policy's text, whichever form each limit is written in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from mcpwatch.policy.dialects import SHORT_KEYS, owner_of
from mcpwatch.policy.document import Window
from mcpwatch.policy.source import Node
from mcpwatch.policy.textedit import JsonText, items, member
from mcpwatch.policy.windows import window_of, window_word

_OTHER_FORMS: Final = (*SHORT_KEYS, "rules")


class LimitPlace(NamedTuple):
    """The maximum of one limit: its node, the text behind the number, how much more than the maximum is written."""

    counter: str
    node: Node
    after: str = ""
    more: int = 0

    def written(self, json: JsonText, most: int) -> str:
        """The text with another maximum here."""
        number = most + self.more
        return json.replace(self.node, f"{number}{self.after}" if self.after else number)


def limit_places(root: Node, tool: str) -> Iterator[LimitPlace]:
    """The limits of an entry in the order the document has them; `tool` "" is all_tools."""
    tools = member(root, "tools")
    if tool:
        yield from _places(member(tools, tool), owner_of(tool))
        return
    yield from _places(member(root, "all_tools"), owner_of(""))
    star = member(tools, "*")
    if any(member(star, key) is not None for key in _OTHER_FORMS):
        yield from _places(star, owner_of("*"))


def _places(node: Node | None, owner: str) -> Iterator[LimitPlace]:
    for limit in items(node, "limits"):
        yield LimitPlace(_text(limit, "counter"), _given(limit, "max"))
    yield from _rate(node, owner)
    for rule in items(node, "rules"):
        yield from _rate(rule, owner)
        yield from _state(rule, owner)


def _rate(node: Node | None, owner: str) -> Iterator[LimitPlace]:
    rate = member(node, "rate_limit")
    if rate is None:
        return
    if isinstance(rate.value, str):
        word = rate.value.partition("/")[2]
        yield LimitPlace(_rate_counter(owner, word), rate, f"/{word}")
    else:
        yield LimitPlace(_rate_counter(owner, _given(rate, "window").value), _given(rate, "max"))


def _rate_counter(owner: str, window: object) -> str:
    return f"{owner}._rate_{window_word(cast(Window, window_of(window)))}"


def _state(rule: Node, owner: str) -> Iterator[LimitPlace]:
    state = member(rule, "state")
    if state is None:
        return
    counter = f"{owner}.{_text(state, 'counter')}"
    for condition in items(rule, "conditions"):
        if _text(condition, "path") == f"state.{counter}":
            more = 1 if _text(condition, "op") == "lt" else 0
            yield LimitPlace(counter, _given(condition, "value"), more=more)


def _given(node: Node, key: str) -> Node:
    """A member that every policy which can be put in force has here."""
    return cast(Node, member(node, key))


def _text(node: Node, key: str) -> str:
    return str(_given(node, key).value)
