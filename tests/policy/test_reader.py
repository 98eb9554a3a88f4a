"""Every key of every object: what may stand there, and what is refused at which pointer."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from mcpwatch.policy.document import Condition, Limit, NameRule, Rule, Window
from mcpwatch.policy.reader import MAX_BYTES
from tests.policy.texts import NOTHING, condition, faults, limit, pointers, policy, read

NO_TEXT: list[Any] = [None, 1, True, NOTHING, dict(NOTHING)]
NO_LIST: list[Any] = [None, 1, True, "x", {}]
NO_OBJECT: list[Any] = [None, 1, True, "x", NOTHING]
BLANK: list[Any] = ["", " ", "\t"]
NO_WHOLE: list[Any] = [None, True, "1", 1.0, 1.5, -1, NOTHING, dict(NOTHING)]
NO_AMOUNT: list[Any] = [None, True, "1", -0.5, -1, NOTHING, dict(NOTHING)]
NO_MODE: list[Any] = [None, 1, True, NOTHING, dict(NOTHING), "", "Enforce", "off", "observe "]
NO_WINDOW: list[Any] = [
    *(None, True, False, 0, -1, 1.0, 0.5, [], {}, "", "minutes", "Minute", " minute", "week", "second", "s", "5"),
    *("0s", "05m", "5M", "+5m", "-5m", "1.5h", "5m ", "1h30m", "5 m", "٣m", "99999999d", "1" * 400 + "s", 10**300),
]
NO_TIME: list[Any] = [
    None,
    True,
    45,
    1.5,
    NOTHING,
    dict(NOTHING),
    "",
    "soon",
    "0s",
    "45",
    "45S",
    "1h30m",
    "-1s",
    "99999d",
]
NO_PATH: list[Any] = [
    *(None, 1, True, [], {}, "", "x", "args", "args.", "args..a", "args.a.", ".args.a", "Args.a", " args.a"),
    *("args.a ", "args. a", "args.a\n", "$.args.a", "/args/a", "args.a[0]", "args.a[*]", "args[a]", 'args["a'),
    *(
        'args["a"]b',
        "args['a']",
        "args.a]",
        'args.a"b',
        "argsx.a",
        "state.t.c",
        'args["\\x"]',
        "args.a\x7fb",
        "args.\x85a",
    ),
]
NO_SCOPE: list[Any] = [
    None,
    1,
    True,
    [],
    {},
    "",
    "Grant",
    "user",
    "grant ",
    "args",
    "args.",
    "args.a..b",
    "arg.x",
    "argsx",
]
NO_PATTERN: list[Any] = [
    *(
        None,
        3,
        True,
        [],
        {},
        "[",
        "(",
        "*",
        "(?=a)",
        "(?<!a)b",
        r"\1",
        r"\Z",
        "(?>a)",
        "(?R)",
        "(?x)a",
        "a**",
        "a{2}{3}",
    ),
    *(r"\<a", r"[a&&b]", r"[[a]b]", "a{1001}", "a" * 10_001, "(a{1000}){1000}", "(?#c)", "a{2,1}", r"\u0041", "a?*"),
]


@pytest.mark.parametrize("value", [None, 1, 1.0, True, "", "2", "1.0", " 1", NOTHING, dict(NOTHING)])
def test_the_version_is_the_text_1(value: object) -> None:
    assert pointers(policy(version=value)) == ["/version"]


def test_version_and_default_are_needed() -> None:
    assert pointers("{}") == ["/version", "/default"]


@pytest.mark.parametrize("value", [None, 1, True, NOTHING, dict(NOTHING), "", "Deny", "block", "deny "])
def test_default_is_allow_or_deny(value: object) -> None:
    assert pointers(policy(default=value)) == ["/default"]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("description", NO_TEXT),
        ("$schema", NO_TEXT),
        ("mode", NO_MODE),
        ("hide", NO_LIST),
        ("tools", NO_OBJECT),
        ("all_tools", NO_OBJECT),
        ("resources", [None, 1, True, NOTHING, "", "Deny", "*"]),
        ("prompts", [None, 1, True, NOTHING, "", "Deny", "*"]),
        ("approvals", NO_OBJECT),
        ("redact", NO_LIST),
    ],
)
def test_top_level_values_of_another_kind_are_refused(key: str, values: list[object]) -> None:
    for value in values:
        assert pointers(policy(**{key: value})) == [f"/{key}"]


@pytest.mark.parametrize(
    "key", ["Version", "tool", "defaults", "hidden", "_comment", "", "rules", "action", "version "]
)
def test_unknown_keys_at_the_top_are_refused(key: str) -> None:
    assert pointers(policy(**{key: NOTHING})) == [f"/{key}"]


@pytest.mark.parametrize("entry", [*NO_TEXT, *BLANK])
def test_names_are_texts_that_are_not_blank(entry: object) -> None:
    assert pointers(policy(hide=["a", entry])) == ["/hide/1"]
    for key in ("resources", "prompts"):
        for part in ("allow", "deny"):
            value = {"default": "deny", part: ["a", entry]}
            assert pointers(policy(**{key: value})) == [f"/{key}/{part}/1"]


def test_a_name_stands_once_in_its_list() -> None:
    assert pointers(policy(hide=["a", "b", "a"])) == ["/hide/2"]


def test_resources_and_prompts_are_a_word_or_an_object_with_default() -> None:
    document = read(policy(resources="allow", prompts={"default": "deny", "allow": ["a*"], "deny": ["ab"]}))
    assert document.resources == NameRule("allow")
    assert document.prompts == NameRule("deny", ("a*",), ("ab",))
    assert read(policy()).resources is None
    assert pointers(policy(resources={"allow": NOTHING})) == ["/resources/default"]
    assert pointers(policy(resources={"default": "no"})) == ["/resources/default"]
    assert pointers(policy(resources={"default": "deny", "allowed": NOTHING})) == ["/resources/allowed"]
    assert pointers(policy(resources={"default": "deny", "allow": "x"})) == ["/resources/allow"]


def test_approvals_say_how_long_an_operator_has() -> None:
    document = read(policy(approvals={"timeout": "90s", "remember": "1h"}))
    assert (document.approval_timeout_ms, document.approval_remember_ms) == (90_000, 3_600_000)
    document = read(policy(approvals={}))
    assert (document.approval_timeout_ms, document.approval_remember_ms) == (45_000, 600_000)
    assert pointers(policy(approvals={"time_out": "5m"})) == ["/approvals/time_out"]


@pytest.mark.parametrize("value", NO_TIME)
@pytest.mark.parametrize("key", ["timeout", "remember"])
def test_times_are_a_number_with_a_unit(key: str, value: object) -> None:
    assert pointers(policy(approvals={key: value})) == [f"/approvals/{key}"]


@pytest.mark.parametrize("value", NO_PATH)
def test_paths_go_into_the_arguments(value: object) -> None:
    assert pointers(policy(redact=["args.ok", value])) == ["/redact/1"]
    rule = {"conditions": [condition(path=value)]}
    assert pointers(policy({"require": [rule]})) == ["/tools/t/require/0/conditions/0/path"]
    assert pointers(policy({"limits": [limit(increment_from=value)]})) == ["/tools/t/limits/0/increment_from"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("args.a", ("a",)),
        ("args.a.b.0", ("a", "b", "0")),
        ("args.a/b~c", ("a/b~c",)),
        ("args.a b.工具", ("a b", "工具")),
        ('args["a.b"]', ("a.b",)),
        ('args.labels["app.kubernetes.io/name"]', ("labels", "app.kubernetes.io/name")),
        ('args["a"]["\\"\\u0041\\\\"].b', ("a", '"A\\', "b")),
        ("args.args", ("args",)),
    ],
)
def test_paths_are_read_key_by_key(text: str, keys: tuple[str, ...]) -> None:
    (rule,) = read(policy({"require": [{"conditions": [condition(path=text)]}]})).tools["t"].require
    assert (rule.conditions[0].path, rule.conditions[0].path_text) == (keys, text)


@pytest.mark.parametrize("value", NO_OBJECT)
def test_an_entry_of_tools_is_an_object(value: object) -> None:
    assert pointers(policy(tools={"t": value})) == ["/tools/t"]


@pytest.mark.parametrize("name", BLANK)
def test_a_tool_has_a_name(name: str) -> None:
    assert pointers(policy(tools={name: {}})) == [f"/tools/{name}"]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("require", NO_LIST),
        ("deny_if", NO_LIST),
        ("approve_if", NO_LIST),
        ("limits", NO_LIST),
        ("rules", NO_LIST),
        ("validate", [None, 1, True, "on", "Schema", ""]),
        ("mode", NO_MODE),
        ("category", [None, 1, True, "read", "Delete", "", NOTHING]),
        ("risk", [None, 1, True, "High", "none", "", NOTHING]),
        ("action", [None, 1, True, "Deny", "block", "", "evaluate", NOTHING]),
        ("rate_limit", [None, 10, True, NOTHING, "", "10", "10/week", "/minute", "10/", "1.5/minute", "-1/minute"]),
        ("rate_limit", ["10 / minute", " 10/minute", "10/minute ", "10/Minute", "10/minutes", "ten/minute"]),
        ("rate_limit", ["010/minute", "1e2/minute", "10/minute/2", "minute/10", "9" * 30 + "/minute"]),
    ],
)
def test_values_of_a_tool_of_another_kind_are_refused(key: str, values: list[object]) -> None:
    for value in values:
        assert pointers(policy({key: value})) == [f"/tools/t/{key}"]


@pytest.mark.parametrize("key", ["limit", "denyIf", "Require", "on_deny", "conditions", "state", "hide", "x/y~"])
def test_unknown_keys_of_a_tool_are_refused(key: str) -> None:
    escaped = key.replace("~", "~0").replace("/", "~1")
    assert pointers(policy({key: NOTHING})) == [f"/tools/t/{escaped}"]


@pytest.mark.parametrize("key", ["mode", "category", "risk", "action", "rate_limit", "rules", "limit"])
def test_all_tools_has_lists_and_validate_only(key: str) -> None:
    assert pointers(policy(all_tools={key: NOTHING})) == [f"/all_tools/{key}"]


@pytest.mark.parametrize("key", ["require", "deny_if", "approve_if"])
def test_a_rule_is_an_object_with_conditions(key: str) -> None:
    for value in NO_OBJECT:
        assert pointers(policy({key: [{"conditions": NOTHING}, value]})) == [f"/tools/t/{key}/1"]
    assert pointers(policy({key: [dict(NOTHING)]})) == [f"/tools/t/{key}/0/conditions"]
    for value in NO_LIST:
        assert pointers(policy({key: [{"conditions": value}]})) == [f"/tools/t/{key}/0/conditions"]
    for value in NO_OBJECT:
        assert pointers(policy({key: [{"conditions": [value]}]})) == [f"/tools/t/{key}/0/conditions/0"]


@pytest.mark.parametrize(
    ("key", "values"),
    [("on_deny", NO_TEXT), ("name", [*NO_TEXT, *BLANK]), ("mode", NO_MODE), ("timeout", NO_TIME)],
)
def test_values_of_a_rule_of_another_kind_are_refused(key: str, values: list[object]) -> None:
    for value in values:
        rule = {"conditions": NOTHING, key: value}
        assert pointers(policy({"approve_if": [rule]})) == [f"/tools/t/approve_if/0/{key}"]


def test_only_rules_that_ask_an_operator_have_a_timeout() -> None:
    rule = {"conditions": NOTHING, "timeout": "5s"}
    assert read(policy({"approve_if": [rule]})).tools["t"].approve_if[0].timeout_ms == 5_000
    for key in ("require", "deny_if"):
        assert pointers(policy({key: [rule]})) == [f"/tools/t/{key}/0/timeout"]


@pytest.mark.parametrize("key", ["path", "op", "value"])
def test_a_condition_has_path_op_and_value(key: str) -> None:
    entry = condition()
    del entry[key]
    assert pointers(policy({"deny_if": [{"conditions": [entry]}]})) == [f"/tools/t/deny_if/0/conditions/0/{key}"]


@pytest.mark.parametrize(
    "value", [None, 1, True, NOTHING, dict(NOTHING), "", "==", "Eq", "equals", "not", "exists ", "matches"]
)
def test_an_operator_is_one_of_eleven(value: object) -> None:
    assert pointers(policy({"deny_if": [{"conditions": [condition(op=value)]}]})) == [
        "/tools/t/deny_if/0/conditions/0/op"
    ]


@pytest.mark.parametrize(
    ("op", "values"),
    [
        ("in", NO_LIST),
        ("not_in", NO_LIST),
        ("exists", [None, 1, 0, "true", NOTHING, dict(NOTHING)]),
        ("lt", [None, True, "1", NOTHING, dict(NOTHING)]),
        ("lte", [None, True, "1", NOTHING, dict(NOTHING)]),
        ("gt", [None, True, "1", NOTHING, dict(NOTHING)]),
        ("gte", [None, True, "1", NOTHING, dict(NOTHING)]),
        ("regex", NO_PATTERN),
    ],
)
def test_operators_refuse_values_they_cannot_work_with(op: str, values: list[object]) -> None:
    for value in values:
        for key in ("require", "deny_if", "approve_if"):
            text = policy({key: [{"conditions": [condition(op=op, value=value)]}]})
            assert pointers(text) == [f"/tools/t/{key}/0/conditions/0/value"], value


@pytest.mark.parametrize(
    ("op", "value"),
    [
        *[
            (op, value)
            for op in ("eq", "neq", "contains")
            for value in (None, 0, -1.5, True, "", "x", [1, {"a": NOTHING}])
        ],
        *[(op, value) for op in ("in", "not_in") for value in (NOTHING, [1, "1", None, True, [2], {"a": 1}])],
        *[(op, value) for op in ("lt", "lte", "gt", "gte") for value in (0, -5, 2.5, 10**30)],
        ("exists", True),
        ("exists", False),
        *[
            ("regex", value)
            for value in ("", "^a+?$", r"\d{2,3}[^\]\[]\.", "[[:alpha:]-]", "(?P<n>a)(?i:b)(?s-m:c)", r"\pL")
        ],
    ],
)
def test_operators_take_every_value_they_can_work_with(op: Any, value: Any) -> None:
    (rule,) = read(policy({"deny_if": [{"conditions": [condition(op=op, value=value)]}]})).tools["t"].deny_if
    (found,) = rule.conditions
    assert (found.op, found.value) == (op, value)
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("counter", [*NO_TEXT, *BLANK]),
        ("window", NO_WINDOW),
        ("max", NO_WHOLE),
        ("scope", NO_SCOPE),
        ("on_deny", NO_TEXT),
        ("algorithm", [None, 1, True, NOTHING, "", "Fixed", "token_bucket"]),
        ("increment", NO_AMOUNT),
        ("mode", NO_MODE),
    ],
)
def test_values_of_a_limit_of_another_kind_are_refused(key: str, values: list[object]) -> None:
    for value in values:
        text = policy({"limits": [limit(**{key: value})]})
        assert pointers(text) == [f"/tools/t/limits/0/{key}"], value


@pytest.mark.parametrize("key", ["counter", "window", "max"])
def test_a_limit_has_counter_window_and_max(key: str) -> None:
    entry = limit()
    del entry[key]
    assert pointers(policy({"limits": [entry]})) == [f"/tools/t/limits/0/{key}"]


def test_limits_are_objects_without_other_keys() -> None:
    for value in NO_OBJECT:
        assert pointers(policy({"limits": [value]})) == ["/tools/t/limits/0"]
    assert pointers(policy({"limits": [limit(maximum=1)]})) == ["/tools/t/limits/0/maximum"]


def test_a_sliding_window_has_a_bound() -> None:
    assert pointers(policy({"limits": [limit(algorithm="sliding", max=10_001)]})) == ["/tools/t/limits/0/max"]
    assert read(policy({"limits": [limit(algorithm="sliding", max=10_000)]})).tools["t"].limits[0].max == 10_000


@pytest.mark.parametrize(
    ("value", "window"),
    [
        *[(text, Window("minute", 60_000)) for text in ("minute", 60, "60s", "1m")],
        *[(text, Window("hour", 3_600_000)) for text in ("hour", 3600, "60m", "1h")],
        *[(text, Window("day", 86_400_000)) for text in ("day", 86_400, "24h", "1d")],
        (90, Window("90s", 90_000)),
        ("5m", Window("5m", 300_000)),
        ("12h", Window("12h", 43_200_000)),
        ("7d", Window("7d", 604_800_000)),
        (1, Window("1s", 1_000)),
        ("3660d", Window("3660d", 316_224_000_000)),
        (316_224_000, Window("316224000s", 316_224_000_000)),
    ],
)
def test_windows_of_one_length_are_one_window(value: object, window: Window) -> None:
    assert read(policy({"limits": [limit(window=value)]})).tools["t"].limits[0].window == window


@pytest.mark.parametrize("value", ["3661d", 316_224_001])
def test_windows_of_more_than_ten_years_are_slips(value: object) -> None:
    assert pointers(policy({"limits": [limit(window=value)]})) == ["/tools/t/limits/0/window"]


def test_a_whole_limit_is_read() -> None:
    entry = limit(
        max=0,
        scope='args.o["a.b"]',
        on_deny="no",
        algorithm="sliding",
        increment=0.5,
        increment_from="args.n",
        mode="observe",
    )
    (found,) = read(policy(all_tools={"limits": [entry]})).all_tools.limits
    window = Window("minute", 60_000)
    path = ("o", "a.b")
    assert found == Limit("c", window, 0, 'args.o["a.b"]', path, "no", "sliding", 0.5, ("n",), "observe", found.span)


def test_a_whole_policy_is_read_in_file_order() -> None:
    rule = {"conditions": [condition()], "on_deny": "m", "name": "n", "mode": "observe"}
    tool: dict[str, Any] = {
        "require": [rule],
        "deny_if": [{"conditions": NOTHING}],
        "validate": "schema",
        "mode": "observe",
        "category": "Write",
        "risk": "high",
    }
    document = read(
        policy(tools={"b*": tool, "a": {}}, mode="observe", hide=["z", "y*"], redact=["args.p"], description="d")
    )
    assert list(document.tools) == ["b*", "a"]
    entry = document.tools["b*"]
    (found,) = entry.require
    assert found == Rule(
        (Condition(("x",), "args.x", "eq", 1, found.conditions[0].span),), "m", "n", "observe", None, found.span
    )
    assert (entry.validate, entry.mode, entry.category, entry.risk) == ("schema", "observe", "Write", "high")
    assert (document.mode, document.hide, document.redact) == ("observe", ("z", "y*"), ("args.p",))
    assert (document.description, document.dialect, document.warnings) == ("d", "v1", ())


def test_spans_say_where_rules_stand() -> None:
    text = '{"version": "1", "default": "deny",\n "tools": {\n  "t": {"deny_if": [\n    {"conditions": []}]}}}'
    document = read(text)
    entry = document.tools["t"]
    assert (entry.span.line, entry.span.column) == (3, 3)
    assert (entry.deny_if[0].span.line, entry.deny_if[0].span.column) == (4, 5)
    assert (entry.deny_if[0].span.end_line, entry.deny_if[0].span.end_column) == (4, 23)


def test_the_nearest_known_name_is_given_for_keys_and_words() -> None:
    assert 'did you mean "deny_if"' in faults(policy({"denyif": NOTHING}))[0][1]
    assert 'did you mean "observe"' in faults(policy(mode="Observe"))[0][1]
    assert 'did you mean "minute"' in faults(policy({"limits": [limit(window="Minute")]}))[0][1]
    assert "did you mean" not in faults(policy(xyzzy=1))[0][1]


def test_all_faults_of_a_file_are_named_at_once() -> None:
    tool: dict[str, Any] = {
        "limits": [limit(max=-1, window="week")],
        "deny_if": [{"conditions": [condition(op="x")]}],
        "y": 1,
    }
    assert pointers(policy(tool, mode="m", hide=[""])) == [
        "/tools/t/limits/0/window",
        "/tools/t/limits/0/max",
        "/tools/t/deny_if/0/conditions/0/op",
        "/tools/t/y",
        "/mode",
        "/hide/0",
    ]


def test_there_is_an_end_to_naming_faults() -> None:
    found = faults(policy(hide=[1] * 5_000))
    assert len(found) == 1_000
    assert [pointer for pointer, _ in found[:999]] == [f"/hide/{at}" for at in range(999)]
    assert found[-1] == ("", "there are more problems than these; mend these and check again")


def test_the_file_has_at_most_four_mebibytes() -> None:
    text = policy()
    assert read(text + " " * (MAX_BYTES - len(text)))
    (fault,) = faults(text + " " * (MAX_BYTES - len(text) + 1))
    assert fault == ("", "the file has more than 4,194,304 bytes, the most that a policy may have")


def test_long_values_are_cut_in_messages() -> None:
    ((_, message),) = faults(policy(mode="x" * 500))
    assert len(message) < 200


def test_ten_thousand_tools_keep_their_order() -> None:
    tools = {f"t{at}": {"limits": [limit(counter=f"c{at}")]} for at in range(10_000)}
    document = read(json.dumps({"version": "1", "default": "deny", "tools": tools}))
    assert list(document.tools) == list(tools)
    assert document.tools["t9999"].limits[0].counter == "c9999"


def test_reading_leaves_the_garbage_collector_as_it_was() -> None:
    assert gc.isenabled()
    gc.disable()
    try:
        read(policy())
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert faults("{")
    assert gc.isenabled()


def test_a_tool_hidden_in_two_ways_is_hidden_once() -> None:
    assert read(policy({"action": "hide"}, hide=["t"])).hide == ("t",)
