"""Random policies and calls that collide often: few names, values nearly equal, times around the edges of windows."""

from __future__ import annotations

from random import Random
from typing import Any

TOOLS = ("t", "u", "get_a", "T ", "put\u200b_b", "ｔ", "no/te~")
KEYS = ("t", "u", "get_*", "*_b", "no/te~", "get_a", "*")
GRANTS = ("ann", "bob")
CLIENTS = ("cc", "")
SESSIONS = ("", "s1", "s2")
PATHS = ("args.x", "args.y", "args.o.k", "args.n")
VALUES: tuple[Any, ...] = (
    0, 1, 1.0, "1", True, "true", False, None, "a", "ab", "", 2.5, "2.5", -1, -0.5, 100, "100", 10**20, 1e20,
    [1], [1.0], ["1"], [], {"k": 1}, {"k": "a"}, {"k": None}, {"k": [1]}, "é", "é", 0.1, "a\n",
)  # fmt: skip
BIGGER_THAN_FLOATS = 10**400
SCALARS = tuple(value for value in VALUES if not isinstance(value, (list, dict)))
NUMBERS = tuple(value for value in VALUES if isinstance(value, (int, float)) and not isinstance(value, bool))
PATTERNS = ("^a", "a$", "^a$", "^(1|true)$", "[0-9]+", "", "b")
WINDOWS: tuple[Any, ...] = ("minute", "hour", "day", 7, "90s", "1h", 60)
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "string"}}, "required": ["x"]}
SCHEMAS = {"t": SCHEMA, "get_a": SCHEMA}
START_MS = 1_795_343_399_000
STEPS_MS = (0, 0, 1, 500, 999, 1_000, 6_000, 7_000, 59_000, 60_000, 3_600_000, 86_400_000)
BACK_MS = (1, 1_000, 30_000, 60_000, 3_600_000, 90_000_000)


def policy(random: Random) -> dict[str, Any]:
    """A policy of version 1 with the extensions, small enough to be read when it fails."""
    made: dict[str, Any] = {"version": "1", "default": random.choice(("allow", "deny"))}
    if random.random() < 0.1:
        made["mode"] = "observe"
    if random.random() < 0.2:
        made["hide"] = random.sample(("u", "get_*", "x", "*_b"), random.randint(1, 2))
    if random.random() < 0.4:
        made["all_tools"] = entry(random, 0.3)
    keys = random.sample(KEYS, random.randint(0, 3))
    made["tools"] = {key: entry(random, 0.5) for key in ("t", *(key for key in keys if key != "t"))}
    if random.random() < 0.1:
        del made["tools"]["t"]
    for tool in made["tools"].values():
        if random.random() < 0.1:
            tool["mode"] = "observe"
    return made


def entry(random: Random, likely: float) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for stage in ("require", "deny_if", "approve_if"):
        if random.random() < likely * 0.4:
            made[stage] = [rule(random) for _ in range(random.randint(1, 2))]
    if random.random() < 1.5 * likely:
        made["limits"] = [limit(random) for _ in range(random.randint(1, 3))]
    if random.random() < 0.05:
        made["validate"] = "schema"
    return made


def rule(random: Random) -> dict[str, Any]:
    conditions = [condition(random) for _ in range(random.choice((0, 1, 1, 1, 2, 3)))]
    made: dict[str, Any] = {"conditions": conditions}
    if random.random() < 0.15:
        made["mode"] = "observe"
    return made


def condition(random: Random) -> dict[str, Any]:
    op = random.choice(("eq", "neq", "lt", "lte", "gt", "gte", "in", "not_in", "exists", "regex", "contains"))
    value: Any = random.choice(VALUES)
    if op in ("lt", "lte", "gt", "gte"):
        value = random.choice(NUMBERS)
    elif op in ("in", "not_in"):
        value = random.sample(VALUES, random.randint(0, 4))
    elif op == "exists":
        value = random.random() < 0.7
    elif op == "regex":
        value = random.choice(PATTERNS)
    elif op == "contains":
        value = random.choice(SCALARS)
    return {"path": random.choice(PATHS), "op": op, "value": value}


def limit(random: Random) -> dict[str, Any]:
    """One name is always fixed, another always sliding: what a change of algorithm keeps has a test of its own."""
    counter = random.choice(("fixed", "sliding", "other/~"))
    made: dict[str, Any] = {
        "counter": counter,
        "window": random.choice(WINDOWS),
        "max": random.choice((0, 1, 2, 3, 5)),
        "scope": random.choice(("grant", "session", "client", "global", "args.x", "args.o")),
    }
    if counter == "sliding":
        made["algorithm"] = "sliding"
    if random.random() < 0.2:
        made["increment_from"] = "args.n"
    elif random.random() < 0.2:
        made["increment"] = random.choice((0, 1, 2, 0.5, 0.1))
    if random.random() < 0.15:
        made["mode"] = "observe"
    return made


def arguments(random: Random) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in random.sample(("x", "y", "n", "o"), random.randint(0, 4)):
        made[name] = random.choice(NUMBERS if name == "n" and random.random() < 0.7 else VALUES)
    if random.random() < 0.02:
        made[random.choice(("x", "n"))] = BIGGER_THAN_FLOATS
    return made
