"""The JSON Schema of the policy language, for editors: completion, descriptions, underlined slips.

Draft 7, because that is what VS Code understands in full. What a schema cannot say (patterns that compile, counters of
state blocks, keys given twice) stays with `mcpwatch policy check`.
"""

from __future__ import annotations

from typing import Any, Final, get_args

from mcpwatch.policy.dialects import ACTIONS, RULE_ACTIONS
from mcpwatch.policy.document import Algorithm, Mode, Op
from mcpwatch.policy.entries import MOST_SLIDING, SCOPES
from mcpwatch.policy.reader import CATEGORIES, RISKS

Schema = dict[str, Any]

_KEY = r"""(\.[^.\[\]"]+|\["([^"\\]|\\.)*"\])"""
_PATH: Final = rf"^args{_KEY}+$"
_LENGTH: Final = "^[1-9][0-9]*[smhd]$"
_OPERATORS: Final = {
    "eq": "Equal: numbers as numbers, everything else by its text; lists and objects by value.",
    "neq": "Not equal. A missing argument fails this test too.",
    "lt": "Less than; both sides are numbers.",
    "lte": "At most; both sides are numbers.",
    "gt": "More than; both sides are numbers.",
    "gte": "At least; both sides are numbers.",
    "in": "Equal to one of a list of values.",
    "not_in": "Equal to none of a list of values. A missing argument fails this test too.",
    "exists": "true: the argument is there and not null; false: it is missing or null.",
    "regex": "The text matches an RE2 pattern somewhere; anchor it with ^ and $.",
    "contains": "A text has this part, or a list has this element.",
}


def policy_schema() -> Schema:
    """The schema as a JSON value."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "mcpwatch policy",
        "description": "Which tools agents may call, with which arguments, how often, and who is asked.",
        "definitions": _definitions(),
        "required": ["version"],
        "anyOf": [
            {"required": ["default"]},
            {
                "description": "A file of `rules` may leave default out; it is allow then.",
                "required": ["tools"],
                "properties": {"tools": {"not": {"additionalProperties": {"not": {"required": ["rules"]}}}}},
            },
        ],
        **_object(_top()),
    }


def _top() -> Schema:
    return {
        "version": {"const": "1", "description": 'The only version of the language: the text "1".'},
        "default": _enum(("allow", "deny"), "What becomes of tools that are not listed under tools."),
        "description": _text("For people; it has no meaning."),
        "$schema": _text("Where this schema is found; it has no meaning for the gateway."),
        "mode": _ref("mode"),
        "hide": _names("Tools that are gone from the list and refused when called. * stands for any characters."),
        "all_tools": {
            "description": "Rules and limits for every call; a tool's own come first. It never lists a tool.",
            **_object(_lists()),
        },
        "tools": {
            "description": "One entry a tool. A key with * is a pattern; an exact key beats it.",
            "type": "object",
            "propertyNames": {"pattern": r"\S"},
            "additionalProperties": _ref("tool"),
        },
        "resources": _ref("names"),
        "prompts": _ref("names"),
        "approvals": {
            "description": "How long a held call waits, and how long an approval is remembered.",
            **_object({"timeout": _ref("length"), "remember": _ref("length")}),
        },
        "redact": {
            "description": "Arguments that are never stored or shown, on top of the built-in secret patterns.",
            **_list(_ref("path")),
        },
    }


def _definitions() -> Schema:
    return {
        "mode": _enum(get_args(Mode), "observe: what would be denied is recorded, but the call passes."),
        "path": _pattern(_PATH, 'Into the arguments: args.a.b; a key with a dot is written args.labels["a.b"].'),
        "length": _pattern(_LENGTH, "A length of time: 45s, 10m, 2h, 1d."),
        "window": {
            "description": "minute, hour, day, whole seconds, or a length like 90s, 5m, 12h, 7d.",
            "anyOf": [
                {"enum": ["minute", "hour", "day"]},
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": _LENGTH},
            ],
        },
        "names": _name_rule(),
        "condition": _condition(),
        "conditions": {
            "description": "All of them must hold. An empty list always holds.",
            **_list(_ref("condition")),
        },
        "rule": _rule({}),
        "approval": _rule({"timeout": _ref("length")}),
        "limit": _limit(),
        "rate_limit": _rate_limit(),
        "catalogue_rule": _catalogue_rule(),
        "tool": {"description": "{} lists the tool: it is allowed.", **_object(_tool())},
    }


def _lists() -> Schema:
    return {
        "require": {"description": "Every rule must hold, else the call is denied.", **_list(_ref("rule"))},
        "deny_if": {
            "description": "The call is denied when all conditions of any rule hold.",
            **_list(_ref("rule")),
        },
        "approve_if": {
            "description": "The call is held for an operator when all conditions of any rule hold.",
            **_list(_ref("approval")),
        },
        "limits": {"description": "How often, per window and scope.", **_list(_ref("limit"))},
        "validate": _enum(
            ("off", "schema"), "schema: arguments must satisfy the tool's inputSchema, and no others are allowed."
        ),
    }


def _tool() -> Schema:
    return {
        **_lists(),
        "mode": _ref("mode"),
        "category": _enum(CATEGORIES, "Shown, not enforced."),
        "risk": _enum(RISKS, "Shown, not enforced."),
        "action": _enum(ACTIONS, "Short form: the whole tool is allowed, denied, hidden, or needs approval."),
        "reason": _text("Short form: what a refused agent is told."),
        "rate_limit": _ref("rate_limit"),
        "rules": {
            "description": "The rules form of the catalogue and of Intercept; policy convert writes v1 lists.",
            **_list(_ref("catalogue_rule")),
        },
    }


def _condition() -> Schema:
    by_kind = {
        ("in", "not_in"): {"type": "array"},
        ("exists",): {"type": "boolean"},
        ("lt", "lte", "gt", "gte"): {"type": "number"},
        ("regex",): {"type": "string"},
    }
    members = {
        "path": {"type": "string", "description": "args.KEY of the call; in rules also state.TOOL.COUNTER."},
        "op": {
            "description": "How the argument is compared.",
            "oneOf": [{"const": op, "description": _OPERATORS[op]} for op in get_args(Op)],
        },
        "value": {"description": "What the argument is compared with."},
    }
    return {
        **_object(members),
        "required": ["path", "op", "value"],
        "allOf": [
            {
                "if": {"properties": {"op": {"enum": list(ops)}}, "required": ["op"]},
                "then": {"properties": {"value": kind}},
            }
            for ops, kind in by_kind.items()
        ],
    }


def _args_condition() -> Schema:
    return {"allOf": [_ref("condition"), {"properties": {"path": _ref("path")}}]}


def _rule(more: Schema) -> Schema:
    members = {
        "conditions": {"description": "All must hold. [] always holds.", **_list(_args_condition())},
        "on_deny": _text("What a refused agent is told, as written."),
        "name": _name("For people, and for rule ids."),
        "mode": _ref("mode"),
        **more,
    }
    return {**_object(members), "required": ["conditions"]}


def _limit() -> Schema:
    members = {
        "counter": _name("Limits that name the same counter, window and scope share it."),
        "window": _ref("window"),
        "max": _whole("How much passes in one window; 0 means never."),
        "scope": {
            "description": "Who shares the counter: grant (default), session, client, global, or args.PATH.",
            "anyOf": [{"enum": list(SCOPES)}, {"type": "string", "pattern": _PATH}],
        },
        "on_deny": _text("What a refused agent is told, as written."),
        "algorithm": _enum(get_args(Algorithm), "fixed: aligned to UTC (default). sliding: the last window, exactly."),
        "increment": _amount("What one call counts; 1 by default."),
        "increment_from": {"description": "The argument whose number a call counts.", **_pattern(_PATH, "")},
        "mode": _ref("mode"),
    }
    return {
        **_object(members),
        "required": ["counter", "window", "max"],
        "if": {"properties": {"algorithm": {"const": "sliding"}}, "required": ["algorithm"]},
        "then": {"properties": {"max": {"maximum": MOST_SLIDING}}},
    }


def _rate_limit() -> Schema:
    members = {"max": _whole("How many calls pass in one window."), "window": _ref("window")}
    return {
        "description": 'Short form of a limit: "10/minute" or {"max": 10, "window": 60}.',
        "anyOf": [
            {"type": "string", "pattern": "^(0|[1-9][0-9]*)/(minute|hour|day|[1-9][0-9]*[smhd])$"},
            {**_object(members), "required": ["max", "window"]},
        ],
    }


def _catalogue_rule() -> Schema:
    state = {
        "counter": _name("Counts as TOOL.COUNTER."),
        "window": _ref("window"),
        "increment": _amount("What one call counts; 1 by default."),
        "increment_from": _ref("path"),
    }
    members = {
        "name": _name("For people."),
        "action": _enum(RULE_ACTIONS, "deny and hide: always. require_approval: when the conditions hold."),
        "conditions": _ref("conditions"),
        "rate_limit": _ref("rate_limit"),
        "state": {
            "description": "A counter of this rule; one condition sets its maximum: state.TOOL.COUNTER lte N.",
            **_object(state),
            "required": ["counter", "window"],
        },
        "on_deny": _text("What a refused agent is told, as written."),
        "reason": _text("The same as on_deny."),
        "approval_timeout": _ref("length"),
        "mode": _ref("mode"),
    }
    return {
        **_object(members),
        "anyOf": [
            {"required": ["rate_limit"]},
            {"required": ["conditions"], "properties": {"conditions": {"minItems": 1}}},
            {"required": ["action"], "properties": {"action": {"not": {"const": "evaluate"}}}},
        ],
    }


def _name_rule() -> Schema:
    words = ["allow", "deny"]
    members = {
        "default": _enum(("allow", "deny"), "For those that no list names."),
        "allow": _names("Allowed. * stands for any characters."),
        "deny": _names("Denied, also when allow names them."),
    }
    return {
        "description": "What agents may read. When absent: the same as default.",
        "anyOf": [{"enum": words}, {**_object(members), "required": ["default"]}],
    }


# building blocks


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _object(members: Schema) -> Schema:
    return {"type": "object", "properties": members, "additionalProperties": False}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _names(description: str) -> Schema:
    return {"description": description, **_list({"type": "string", "pattern": r"\S"}), "uniqueItems": True}


def _enum(words: tuple[str, ...], description: str) -> Schema:
    return {"description": description, "enum": list(words)}


def _text(description: str) -> Schema:
    return {"description": description, "type": "string"}


def _name(description: str) -> Schema:
    return {"description": description, "type": "string", "pattern": r"\S"}


def _pattern(pattern: str, description: str) -> Schema:
    described: Schema = {"description": description} if description else {}
    return {**described, "type": "string", "pattern": pattern}


def _whole(description: str) -> Schema:
    return {"description": description, "type": "integer", "minimum": 0}


def _amount(description: str) -> Schema:
    return {"description": description, "type": "number", "minimum": 0}
