"""Secrets do not get into the audit, whatever they are wrapped in."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpwatch import redact
from mcpwatch.policy.values import Json
from mcpwatch.redact import DEPTH, REDACTED, Redactor

PLAIN = Redactor()
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nq8Xz\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "db_password",
        "dbPasswordProd",
        "passwd",
        "passphrase",
        "secret",
        "clientSecret",
        "token",
        "access_token",
        "X-Auth-Token",
        "Authorization",
        "apiKey",
        "api-key",
        "API_KEY",
        "apikey",
        "privateKey",
        "aws_secret_access_key",
        "SecretAccessKey",
        "cookie",
        "credentials",
    ],
)
def test_what_stands_under_a_telling_name_is_redacted(name: str) -> None:
    assert PLAIN.args({name: "hunter2"}) == {name: REDACTED}
    assert PLAIN.args({"deep": [{name: 1234}]}) == {"deep": [{name: REDACTED}]}


@pytest.mark.parametrize(
    "name", ["namespace", "secretName", "token_type", "max_tokens", "nextToken", "key", "monkey", "author", "tokenizer"]
)
def test_names_that_only_sound_similar_are_left_alone(name: str) -> None:
    assert PLAIN.args({name: "hunter2"}) == {name: "hunter2"}


def test_below_a_telling_name_all_values_go_but_the_shape_and_references_stay() -> None:
    args: Json = {"secret": {"secretName": "db", "on": True, "none": None, "keys": ["a", {"b": 7}]}}
    assert PLAIN.args(args) == {
        "secret": {"secretName": "db", "on": True, "none": None, "keys": [REDACTED, {"b": REDACTED}]}
    }


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
        "glpat-ABCdef0123456789abcd",
        "xoxb-123456789012-abcdefghij",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "sk-ant-api03-abcdefghijklmnopqrst",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "hvs.CAESIJabcdefghijklmnopqrstuv",
        JWT,
        PEM,
    ],
)
@pytest.mark.parametrize("around", ["{}", "use {} now", "x={}", '"{}"', "({})"])
def test_what_looks_like_a_secret_is_redacted_wherever_it_stands(secret: str, around: str) -> None:
    clean = PLAIN.text(around.format(secret))
    assert secret not in clean
    assert clean == around.format(REDACTED)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgres://app:s3cret@db:5432/x", f"postgres://{REDACTED}@db:5432/x"),
        ("https://u:p@ss@host/", f"https://{REDACTED}@host/"),
        ("https://ghtoken1234567890abc@host/", f"https://{REDACTED}@host/"),
        ("ssh://git@github.com/a/b", "ssh://git@github.com/a/b"),
        ("Bearer abc123def456", f"Bearer {REDACTED}"),
        ("the bearer certificates", "the bearer certificates"),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: {REDACTED}"),
        ("export DB_PASSWORD=hunter2", f"export DB_PASSWORD={REDACTED}"),
        ("DB_PASSWORD='two words' x=1", f"DB_PASSWORD='{REDACTED}' x=1"),
        ("psql --password hunter2 -h db", f"psql --password {REDACTED} -h db"),
        ("run --api-key=abc --dry-run", f"run --api-key={REDACTED} --dry-run"),
        ("curl -u me:hunter2 http://h", f"curl -u {REDACTED} http://h"),
        ('curl -H "X-Api-Key: abc" http://h', f'curl -H "X-Api-Key: {REDACTED}" http://h'),
        ("a=1&token=abc", f"a=1&token={REDACTED}"),
        ("Server=db;Password=p,;w)x;", f"Server=db;Password={REDACTED};"),
        ('said {"password": "x", "user": "y"}', f'said {{"password": "{REDACTED}", "user": "y"}}'),
        ('{\\"password\\": \\"x y\\"}', f'{{\\"password\\": \\"{REDACTED}\\"}}'),
        ("password: correct horse battery", f"password: {REDACTED}"),
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("arn:aws:eks:eu-west-1:123456789012:cluster/prod", "arn:aws:eks:eu-west-1:123456789012:cluster/prod"),
        ("Rate limit of 10 per minute reached. Try again in 23 s.",) * 2,
        ("Ünïcode ‮ \x1b[31m ok: yes",) * 2,
    ],
)
def test_texts_lose_their_secrets_and_nothing_else(text: str, clean: str) -> None:
    assert PLAIN.text(text) == clean


def test_a_json_text_inside_of_an_argument_is_looked_into() -> None:
    inner = json.dumps({"user": "x", "password": "hunter2", "more": json.dumps([{"apiKey": "abc"}])})
    clean = PLAIN.args({"body": inner})
    assert isinstance(clean, dict)
    assert isinstance(clean["body"], str)
    assert json.loads(clean["body"]) == {
        "user": "x",
        "password": REDACTED,
        "more": json.dumps([{"apiKey": REDACTED}]),
    }


def test_a_json_text_without_secrets_keeps_its_exact_form() -> None:
    assert PLAIN.args({"body": '{"a":  1.0}'}) == {"body": '{"a":  1.0}'}


MANIFEST = """\
apiVersion: v1
kind: Secret
metadata:
  name: db
stringData:
  user: admin
  cert: |
    line one
    line two
type: Opaque
---
apiVersion: v1
kind: Deployment
data:
  stays: as it is
spec:
  env:
    - name: DB_PASSWORD
      value: hunter2
    - name: HOME
      value: /root
  password: correct horse
    battery staple
"""


def test_kubernetes_secrets_inside_of_yaml_texts_lose_their_values_only() -> None:
    assert (
        PLAIN.text(MANIFEST)
        == f"""\
apiVersion: v1
kind: Secret
metadata:
  name: db
stringData:
  user: {REDACTED}
  cert: {REDACTED}
    {REDACTED}
    {REDACTED}
type: Opaque
---
apiVersion: v1
kind: Deployment
data:
  stays: as it is
spec:
  env:
    - name: DB_PASSWORD
      value: {REDACTED}
    - name: HOME
      value: /root
  password: {REDACTED}
    {REDACTED}
"""
    )


def test_kubernetes_secrets_given_as_objects_lose_their_values_only() -> None:
    args: Json = {
        "kind": "Secret",
        "data": {"cert": "YWJj"},
        "metadata": {"annotations": {"last": '{"kind": "Secret", "stringData": {"k": "v"}}'}},
    }
    assert PLAIN.args(args) == {
        "kind": "Secret",
        "data": {"cert": REDACTED},
        "metadata": {"annotations": {"last": f'{{"kind": "Secret", "stringData": {{"k": "{REDACTED}"}}}}'}},
    }
    assert PLAIN.args({"kind": "ConfigMap", "data": {"a": "b"}}) == {"kind": "ConfigMap", "data": {"a": "b"}}


def test_environment_lists_and_command_lines_are_understood() -> None:
    args: Json = {
        "env": [{"name": "API_KEY", "value": "abc"}, {"name": "HOME", "value": "/root"}],
        "command": ["psql", "--password", "hunter2", "-h", "db", "--token=abc"],
    }
    assert PLAIN.args(args) == {
        "env": [{"name": "API_KEY", "value": REDACTED}, {"name": "HOME", "value": "/root"}],
        "command": ["psql", "--password", REDACTED, "-h", "db", f"--token={REDACTED}"],
    }


def test_paths_of_the_policy_are_redacted_also_inside_of_lists() -> None:
    redactor = Redactor(["args.body.pin", 'args.labels["a.b"]', "args.users.mail", "args.body.pin.digits"])
    args: Json = {
        "body": {"pin": {"digits": 1234}, "other": 1},
        "labels": {"a.b": "x", "a": {"b": "stays"}},
        "users": [{"mail": "m@x", "name": "n"}],
        "pin": "stays",
    }
    assert redactor.args(args) == {
        "body": {"pin": REDACTED, "other": 1},
        "labels": {"a.b": REDACTED, "a": {"b": "stays"}},
        "users": [{"mail": REDACTED, "name": "n"}],
        "pin": "stays",
    }


def test_the_arguments_of_the_caller_are_not_touched() -> None:
    args: dict[str, Any] = {"password": "x", "l": [{"token": "y"}]}
    before = json.dumps(args)
    PLAIN.args(args)
    assert json.dumps(args) == before


def test_what_is_nested_too_deep_is_redacted_unseen() -> None:
    deep: Json = {"password": "x"}
    for _ in range(5000):
        deep = [deep]
    clean = PLAIN.args(deep)
    depth = 0
    while isinstance(clean, list):
        clean = clean[0]
        depth += 1
    assert clean == REDACTED
    assert depth == DEPTH


def test_json_texts_inside_of_deep_values_do_not_exhaust_the_stack() -> None:
    text = "x"
    for _ in range(4):
        text = "[" * 90 + json.dumps(text) + "]" * 90
    deep: Json = text
    for _ in range(DEPTH - 1):
        deep = [deep]
    assert PLAIN.args(deep) is not None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(_json)
def test_any_json_is_taken(value: Any) -> None:
    clean = Redactor(["args.a"]).args(value)
    assert type(clean) is type(value) or clean == REDACTED


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="ab:='\"\\- \n\t{}[]@/|>&", max_size=60),
    st.sampled_from(["password", "kind: Secret\ndata:", "--token"]),
)
def test_any_text_is_taken(text: str, middle: str) -> None:
    assert isinstance(PLAIN.text(text + middle + text), str)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a://",
        '":',
        "eyJ",
        "eyJaaaaaaaaa.",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        'password="',
        "password=",
        "password: ",
        "a:\n",
        "- ",
        "bearer ",
        "x:@",
        "aB1/",
        "[",
        '{"a":',
        "--",
        "\\",
        "kind: Secret\n",
        " ",
        "\t\n",
        "-u a",
        "'",
        "a-",
        "ghp_",
    ],
)
def test_the_time_grows_with_the_text_and_not_faster(piece: str) -> None:
    def seconds(size: int) -> float:
        text = f'password: "x {piece * (size // len(piece))}'
        best = math.inf
        for _ in range(2):
            start = time.process_time()
            PLAIN.text(text)
            best = min(best, time.process_time() - start)
        return best

    small, large = seconds(10_000), seconds(100_000)
    # Ten times the text; a quadratic pattern would take a hundred times as long.
    assert large < 40 * small + 0.05


_HEADS = [
    *("AKIA", "ASIA", "ghp_", "github_pat_", "glpat-", "glsoat-", "xoxb-", "sk_live_", "whsec_", "sk-", "AIza", "npm_"),
    *("hf_", "dop_v1_", "pypi-", "hvs.", "shpat_", "lin_api_", "SG.", "eyJ", "Bearer ", "basic ", "ba\u017fic "),
    *("https://", "-u ", "-----BEGIN ", "\u212a", "\u0130"),
]
_PIECES = st.one_of(
    st.sampled_from(_HEADS),
    st.sampled_from(_HEADS).map(str.swapcase),
    st.from_regex(r"[A-Za-z0-9/+=_.@:-]{1,45}", fullmatch=True),
    st.sampled_from([" ", "\n", ":", "=", "RSA PRIVATE KEY-----"]),
)


@given(st.lists(_PIECES, min_size=1, max_size=12).map("".join))
@settings(max_examples=500)
def test_no_pattern_is_passed_over_that_would_find_something(text: str) -> None:
    everything = text
    for pattern, replacement in redact._PATTERNS:  # pyright: ignore[reportPrivateUsage]
        everything = pattern.sub(replacement, everything)
    if everything != text:
        assert redact._marked(text) == everything  # pyright: ignore[reportPrivateUsage]
        assert redact._WORTH_A_LOOK.search(text)  # pyright: ignore[reportPrivateUsage]


def test_a_search_that_ignores_case_is_not_passed_over_for_a_letter_that_folds() -> None:
    assert REDACTED in PLAIN.text("ba\u017fic dXNlcjpwYXNzd29yZDE=")
