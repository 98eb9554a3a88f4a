"""Every key of the console in one table: bindings, footer, help, palette and the user's keymap all come from it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from textual.binding import Binding

from mcpwatch.console.wire import table
from mcpwatch.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Key:
    """One command. `id` names it in the keymap and in `:`; `keys` as Textual spells them, comma separated.

    `action` is the Textual action; `where` the screens that have it, () for all; `changes` marks what a read-only
    console cannot do.
    """

    id: str
    keys: str
    action: str
    label: str
    help: str
    group: str
    where: tuple[str, ...] = ()
    changes: bool = False


_LISTS = ("live", "audit", "tools", "holds")
KEYS: tuple[Key, ...] = (
    Key("live", "1", "app.go('live')", "Live", "calls as they happen", "Screens"),
    Key("tools", "2", "app.go('tools')", "Tools", "what agents can reach", "Screens"),
    Key("policy", "3", "app.go('policy')", "Policy", "edit the policy", "Screens"),
    Key("audit", "4", "app.go('audit')", "Audit", "search what happened", "Screens"),
    Key("holds", "5", "app.go('holds')", "Holds", "calls that wait for you", "Screens"),
    Key("down", "j,down", "down", "Down", "next line", "Move", _LISTS),
    Key("up", "k,up", "up", "Up", "line before", "Move", _LISTS),
    Key("half_down", "ctrl+d,pagedown", "half(1)", "Page down", "half a page down", "Move", _LISTS),
    Key("half_up", "ctrl+u,pageup", "half(-1)", "Page up", "half a page up", "Move", _LISTS),
    Key("top", "g,home", "top", "First", "oldest line", "Move", _LISTS),
    Key("bottom", "G,end", "bottom", "Last", "newest line; on Live follow again", "Move", _LISTS),
    Key(
        "detail", "enter", "detail", "Detail", "everything about the selected line", "Calls", ("live", "audit", "tools")
    ),
    Key("back", "escape", "back", "Back", "close what is open; never quits", "Calls"),
    Key("filter", "slash", "filter", "Filter", "show only some calls", "Calls", ("live", "audit")),
    Key("refresh", "r", "refresh", "Refresh", "search again", "Calls", ("audit",)),
    Key("next", "n", "next(1)", "Next", "next call of the same kind", "Calls", ("live",)),
    Key("previous", "N", "next(-1)", "Previous", "previous call of the same kind", "Calls", ("live",)),
    Key("follow", "f", "follow", "Follow", "scroll with new calls", "Calls", ("live",)),
    Key("pause", "space", "pause", "Pause", "hold the list still", "Calls", ("live",)),
    Key(
        "copy",
        "y",
        "copy",
        "Copy",
        "copy as JSON, curl or policy case",
        "Calls",
        ("live", "audit", "holds"),
    ),
    Key(
        "limit",
        "l",
        "quick('limit')",
        "Limit",
        "set a limit on the selected tool",
        "Change the policy",
        ("live", "tools", "policy"),
        True,
    ),
    Key(
        "more",
        "plus",
        "resize(1)",
        "More",
        "raise the limit, else enlarge panel",
        "Change the policy",
        ("live",),
    ),
    Key(
        "less",
        "minus",
        "resize(-1)",
        "Less",
        "lower the limit, else shrink panel",
        "Change the policy",
        ("live",),
    ),
    Key(
        "allow",
        "A",
        "quick('allow')",
        "Allow",
        "list the selected tool, undo a denial",
        "Change the policy",
        ("tools", "policy"),
        True,
    ),
    Key(
        "deny",
        "x",
        "quick('deny')",
        "Deny",
        "deny the selected tool",
        "Change the policy",
        ("live", "tools", "policy"),
        True,
    ),
    Key(
        "hide",
        "h",
        "quick('hide')",
        "Hide",
        "hide the selected tool from agents",
        "Change the policy",
        ("live", "tools", "policy"),
        True,
    ),
    Key(
        "approval",
        "p",
        "quick('approve')",
        "Ask",
        "let an operator decide each call",
        "Change the policy",
        ("live", "tools", "policy"),
        True,
    ),
    Key(
        "rule",
        "e",
        "rule",
        "Rule",
        "the policy at the rule that decided",
        "Change the policy",
        ("live", "audit", "tools"),
    ),
    Key("edit", "enter,i", "edit", "Edit", "type into the policy", "Change the policy", ("policy",), True),
    Key(
        "save", "ctrl+s", "save", "Save", "show the change, then write the file", "Change the policy", ("policy",), True
    ),
    Key("problem", "n", "problem", "Next fault", "go to the next fault or remark", "Change the policy", ("policy",)),
    Key("history", "H", "history", "History", "policies that were in force", "Change the policy", ("policy",)),
    Key(
        "other",
        "right_square_bracket",
        "other",
        "Other",
        "policy of the next upstream",
        "Change the policy",
        ("policy",),
    ),
    Key("undo", "u", "app.undo", "Undo", "take back the last policy change", "Change the policy", (), True),
    Key("approve", "a", "approve", "Approve", "let the held call pass", "Act", ("live", "holds"), True),
    Key("refuse", "d", "refuse", "Refuse", "refuse the held call", "Act", ("live", "holds"), True),
    Key("freeze", "F", "app.freeze", "Freeze", "freeze all, a caller, a tool; thaw", "Act", (), True),
    Key("focus", "tab", "app.focus_next", "Panel", "next panel", "Console"),
    Key("theme", "t", "app.next_theme", "Theme", "next theme", "Console"),
    Key("command", "colon", "app.command_line", "Command", "type a command", "Console"),
    Key("palette", "ctrl+p", "app.command_palette", "Palette", "find any command", "Console"),
    Key("help", "question_mark", "app.help", "Keys", "this list", "Console"),
    Key("quit", "q,ctrl+c,ctrl+q", "app.leave", "Quit", "close the console", "Console"),
)
BY_ID: Mapping[str, Key] = {key.id: key for key in KEYS}
_SHOWN = {
    "question_mark": "?",
    "right_square_bracket": "]",
    "slash": "/",
    "colon": ":",
    "plus": "+",
    "minus": "-",
    "space": "space",
    "escape": "esc",
    "down": "↓",
    "up": "↑",
    "pagedown": "pgdn",
    "pageup": "pgup",
}


def bindings(ids: Iterable[str]) -> list[Binding | tuple[str, str] | tuple[str, str, str]]:
    """Textual bindings for the commands named; their ids make the keymap work."""
    return [
        Binding(key.keys, key.action, key.label, id=key.id, show=False, priority=key.id == "palette")
        for key in (BY_ID[name] for name in ids)
    ]


def key_text(keys: str) -> str:
    """Keys as people read them: `ctrl+d pgdn`, `?`."""
    return " ".join(_SHOWN.get(key, key.replace("ctrl+", "^")) for key in keys.split(","))


def first_key(key: Key, keymap: Mapping[str, str]) -> str:
    """The key that a footer shows for a command."""
    return key_text(keymap.get(key.id, key.keys).split(",")[0])


def read_keymap(text: str, file: str) -> dict[str, str]:
    """The user's keymap: `[keys]` with `COMMAND = "KEY"` or `"KEY,KEY"`. ConfigError names what is wrong."""
    try:
        data: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"keymap {file}: {fault}") from fault
    if set(data) - {"keys"} or not isinstance(data.get("keys", {}), dict):
        raise ConfigError(f"keymap {file}: one table [keys] is expected")
    keymap: dict[str, str] = {}
    for name, keys in table(data.get("keys")).items():
        if name not in BY_ID:
            raise ConfigError(f"keymap {file}: unknown command {name!r}")
        if not isinstance(keys, str) or not keys.strip():
            raise ConfigError(f"keymap {file}: {name} needs a key")
        keymap[name] = keys
    return keymap
