"""Whatever the bytes: a document or a list of problems, nothing else; the writing never changes the meaning."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.policy.document import PolicyDocument
from mcpwatch.policy.problems import render_problem
from mcpwatch.policy.reader import MAX_BYTES, read_policy
from mcpwatch.policy.values import PolicyError
from mcpwatch.policy.writer import document_json
from tests.policy.texts import policy
from tests.policy.writings import POLICIES, Object, laid

DATA = Path(__file__).parent.parent / "data" / "policies"
SOURCES = sorted([*(DATA / "valid").iterdir(), *(DATA / "invalid").iterdir()])
NAMES = st.sampled_from(["p.json", "p.yaml", "p"])
PIECES = st.sampled_from(
    [
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b":",
            b",",
            b"\n",
            b"-",
            b"&a ",
            b"*a",
            b"!!x ",
            b"~",
            b"no",
            b"1e999",
            b"\\ud800",
        ),
        *(
            b"\xff",
            b"\xed\xa0\x80",
            b"\xef\xbb\xbf",
            b"\x00",
            b"NaN",
            b"null",
            b"true",
            b"''",
            b"|\n",
            b"? ",
            b"%",
            b"\t",
        ),
    ]
)


def outcome(data: bytes, name: str) -> PolicyDocument | None:
    """The document, None when it was refused in order."""
    try:
        return read_policy(data, name=name)
    except PolicyError as error:
        problems = error.problems
    lines = data.count(b"\n") + 1
    assert problems
    for problem in problems:
        assert 1 <= problem.line <= lines
        assert problem.column >= 1
        assert "\n" not in render_problem(name, problem)
    return None


@given(st.binary(max_size=200), NAMES)
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    outcome(data, name)


@given(st.lists(PIECES, max_size=30), NAMES)
def test_any_pieces_of_policies_are_read_or_refused(pieces: list[bytes], name: str) -> None:
    outcome(b"".join(pieces), name)


@given(st.sampled_from(SOURCES), st.data())
def test_damaged_policies_are_read_or_refused(file: Path, data: st.DataObject) -> None:
    text = file.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(PIECES | st.binary(max_size=3)) + text[at + data.draw(st.integers(0, 5)) :]
    outcome(text, file.name)


KEYS = [
    "version",
    "default",
    "tools",
    "t",
    "*",
    "require",
    "deny_if",
    "limits",
    "rules",
    "conditions",
    "path",
    "op",
    "value",
    "state",
    "rate_limit",
    "action",
    "hide",
    "all_tools",
    "max",
    "window",
    "counter",
    "approvals",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 200)
    | st.floats()
    | st.sampled_from(["", "allow", "deny", "args.x", "1/minute"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(VALUES, NAMES)
def test_any_json_of_known_keys_is_read_or_refused(value: object, name: str) -> None:
    outcome(json.dumps(value).encode(), name)


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same JSON with the keys of fixed objects in another order; names of tools keep theirs, it has a meaning."""
    if isinstance(value, list):
        return [shuffled(item, chance) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    members = [(key, shuffled(member, chance)) for key, member in cast("Object", value).items()]
    if not any(key in ("t", "*", "get_*", "get_pods", "get_nodes", "a.b", "工具") for key, _ in members):
        chance.shuffle(members)
    return dict(members)


def escaped(text: str) -> str:
    """The same JSON with every letter of its texts written as an escape."""
    inside, parts = False, list[str]()
    at = 0
    while at < len(text):
        char = text[at]
        if inside and char == "\\":
            parts.append(text[at : at + 2])
            at += 2
            continue
        inside = inside != (char == '"')
        parts.append(f"\\u{ord(char):04X}" if inside and char.isascii() and char.isalpha() else char)
        at += 1
    return "".join(parts)


@given(POLICIES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_writing_never_changes_the_meaning(value: Object, how: int, chance: random.Random) -> None:
    meant = document_json(read_policy(json.dumps(value).encode()))
    for text in (laid(value, how), escaped(json.dumps(value, ensure_ascii=False)), json.dumps(shuffled(value, chance))):
        document = read_policy(text.encode())
        assert document_json(document) == meant
        assert list(document.tools) == [name for name in value.get("tools", {}) if name in document.tools]


def bombs() -> dict[str, bytes]:
    """Files that have brought other readers down."""
    levels = "".join(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9) if at else 'x, x'}]\n" for at in range(30))
    wide = ", ".join(f'"k{at}": 1' for at in range(100_000))
    return {
        "ten megabytes": b" " * 10_000_000,
        "ten megabytes of brackets": b"[" * 10_000_000,
        "four megabytes of brackets": b"[" * MAX_BYTES,
        "four megabytes of objects": b'{"a":' * (MAX_BYTES // 5),
        "deep and closed": b"[" * 10_000 + b"]" * 10_000,
        "deep tool": b'{"version": "1", "default": "deny", "tools": ' + b'{"t": ' * 10_000 + b"{}" + b"}" * 10_001,
        "laughs": f'version: "1"\n{levels}'.encode(),
        "quadratic": b'version: "1"\na: &a [' + b"x, " * 5_000 + b"]\nb: [" + b"*a, " * 5_000 + b"]\n",
        "many unknown keys": ("{" + wide + "}").encode(),
        "many unknown tools": policy(tools={f"t{at}": {"x": 1} for at in range(20_000)}).encode(),
        "long text": b'{"version": "' + b"1" * 4_000_000 + b'"}',
        "long number": b'{"version": ' + b"1" * 4_000_000 + b"}",
        "escapes": b'{"version": "' + b"\\n" * 2_000_000 + b'"}',
        "half escapes": b'{"version": "' + b"\\" * 4_000_000,
        "quotes": b'"' * 4_000_000,
        "lines": b"\n" * 4_000_000,
        "utf-16": '{"version": "1"}'.encode("utf-16"),
        "utf-32": '{"version": "1"}'.encode("utf-32-le"),
        "an executable": b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)) * 100,
        "overlong": b'{"version": "\xc0\xb1"}',
        "dashes": b"- " * 100_000,
        "questions": b"? " * 100_000,
        "anchors": b"".join(b"- &a%d x\n" % at for at in range(20_000)),
        "stars": b'{"version": "1", "default": "deny", "hide": ["' + b"*a" * 100_000 + b'"]}',
        "patterns": policy(
            {"deny_if": [{"conditions": [{"path": "args.x", "op": "regex", "value": "(" * 5_000}]}]}
        ).encode(),
    }


@pytest.mark.parametrize("bomb", bombs())
@pytest.mark.parametrize("name", ["p.json", "p.yaml"])
def test_no_file_takes_long_or_breaks_the_reader(bomb: str, name: str) -> None:
    data = bombs()[bomb]
    started = time.process_time()
    outcome(data, name)
    assert time.process_time() - started < 10
