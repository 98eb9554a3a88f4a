"""Secrets leave arguments and texts before anything is stored, shown or sent to a console.

Three things are taken for secrets: what stands under a telling name (`password`, `apiKey`, `--token`, the values of a
Kubernetes Secret), what looks like one wherever it stands (`AKIA…`, `ghp_…`, JWT, private keys, `user:password@` in a
URL), and what the policy's `redact` names. Texts that are JSON or YAML are looked into. All of it is one pass: no
pattern goes back over a text more than a bounded number of characters, nesting is cut at `DEPTH`, nothing raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from mcpwatch.policy.values import Json

REDACTED = "[redacted]"
DEPTH = 100
"""Values nested deeper are redacted unseen."""

JSON_TEXTS = 4
"""How many times a text inside of a text is read as JSON."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ALWAYS = _set("password passwords passwd passphrase secret secrets pwd credential credentials")
_AT_END = _set("token tokens auth authorization cookie cookies jwt apikey apikeys bearer pat dockerconfigjson")
_KEY_KINDS = _set("api access private secret signing encryption ssh session account auth")
_REFERENCE = _set(
    "name names ref refs arn arns id ids type version count policy length mode expiry ttl enabled required optional"
    " namespace url uri limit"
)
"""A name that ends in one of these tells about a secret, but does not hold it (`secretName`)."""

_HARMLESS_TOKENS = _set(
    "next page pagination continuation continue starting request idempotency"
    " max min total prompt completion input output stop"
)
"""Tokens that are no secrets: of lists that have more pages, of repeated requests, of language models."""

_SECRET_DATA = {"data", "stringdata"}
_NAME_KEYS = ("name", "key", "Name", "Key", "header", "ParameterKey")
_VALUE_KEYS = ("value", "Value", "ParameterValue")


@lru_cache(maxsize=4096)
def _telling(name: str) -> bool:
    """Whether a name says that its value is secret."""
    words = [word.lower() for word in _WORDS.findall(name[:256])]
    if not words or words[-1] in _REFERENCE:
        return False
    last = words[-1]
    if last in ("token", "tokens"):
        return not _HARMLESS_TOKENS.intersection(words)
    if last in _AT_END or not _ALWAYS.isdisjoint(words):
        return True
    if last in ("key", "keys") and len(words) > 1:
        return words[-2] in _KEY_KINDS
    return "".join(words) in _AT_END | _ALWAYS


# Each with the marks, in small letters, one of which is in every text it can match ("" is in all): looking for those
# first costs a hundredth of a search.
_SHAPES: tuple[tuple[str, str, str], ...] = (
    (
        "-----begin",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
        REDACTED,
    ),
    ("akia asia abia acca", r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])", REDACTED),
    ("ghp_ gho_ ghu_ ghs_ ghr_", r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{16,255}+", REDACTED),
    ("github_pat_", r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{16,255}+", REDACTED),
    ("gl", r"(?<![A-Za-z0-9])gl(?:pat|ptt|dt|rt|cbt|ft|soat)-[A-Za-z0-9_.-]{16,255}+", REDACTED),
    ("xox", r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,255}+", REDACTED),
    ("sk_ rk_ whsec_", r"(?<![A-Za-z0-9])(?:[sr]k|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,255}+", REDACTED),
    ("sk-", r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,255}+", REDACTED),
    ("aiza", r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}", REDACTED),
    (
        "npm_ mcpw_ hf_ dop_v1_ pypi- hvs. shpat_ lin_api_",
        r"(?<![A-Za-z0-9])(?:npm_|mcpw_|hf_|dop_v1_|pypi-|hvs\.|shpat_|lin_api_)[A-Za-z0-9_-]{20,255}+",
        REDACTED,
    ),
    ("sg.", r"(?<![A-Za-z0-9])SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}", REDACTED),
    (
        "eyj",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,8192}+\.[A-Za-z0-9_-]{2,16384}+(?:\.[A-Za-z0-9_-]*+){0,3}",
        REDACTED,
    ),
    (
        "bearer",
        r"(?i)(?<![a-z0-9])(bearer[ \t]{1,8})(?=[^\s]{0,200}[0-9])[A-Za-z0-9._~+/=-]{8,8192}+",
        rf"\1{REDACTED}",
    ),
    (
        "basic ba\u017fic",  # the long s is one to a search that ignores case
        r"(?i)(?<![a-z0-9])(basic[ \t]{1,8})(?=[^\s]{0,200}[0-9=])[A-Za-z0-9+/]{8,8192}+={0,2}",
        rf"\1{REDACTED}",
    ),
    ("://", r"(?i)([a-z0-9+.-]://)(?![a-z0-9_-]{1,15}@)[^\s/?#\"'<>]{1,1024}@", rf"\1{REDACTED}@"),
    ("-u", r"(?<![\w-])(-u[ \t]{1,4})[^\s:]{1,256}:[^\s]{1,256}", rf"\1{REDACTED}"),
    (
        "",
        r"(?<![A-Za-z0-9/+])(?=[A-Za-z0-9/+]{0,39}[A-Z])(?=[A-Za-z0-9/+]{0,39}[a-z])(?=[A-Za-z0-9/+]{0,39}[0-9])"
        r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
        REDACTED,
    ),
)
_PATTERNS = tuple((re.compile(pattern), replacement) for _, pattern, replacement in _SHAPES)
_MARKS = tuple((mark, number) for number, shape in enumerate(_SHAPES) for mark in shape[0].split() or ("",))
_LONG = 10_000
"""Of longer texts the marks are found faster than what is worth a look."""

_WORTH_A_LOOK = re.compile(
    r"(?i)[:=]|--|-u[ \t]|bearer|basic|-----BEGIN|A(?:KIA|SIA|BIA|CCA)|gh[pousr]_|github_pat|gl[a-z]{2,4}-|xox"
    r"|[sr]k[_-]|whsec|AIza|npm_|mcpw_|hf_|dop_|pypi-|hvs\.|shpat_|lin_api_|SG\.|eyJ|[A-Za-z0-9/+]{40}"
)
_PAIR = re.compile(r"(?<![\w.-])([\w.-]{1,128}+)\\?[\"']?[ \t]{0,8}(?:=>|[:=])[ \t]{0,8}")
_FLAG = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]{1,64}+)[ \t]{1,8}(?!-)")
_SECRET_VALUE = re.compile(
    r"\"(?P<double>[^\"\\]*+(?:\\.[^\"\\]*+)*)\"|'(?P<single>[^']*+)'|\\\"(?P<escaped>[^\"\\]*+)\\\""
    r"|(?:(?i:bearer|basic|token|digest|apikey)[ \t]{1,8})?(?P<bare>\S++)"
)
_NO_SECRET = {"", "|", ">", "null", "true", "false"}
_LINE = re.compile(
    r"(?P<indent>[ \t]*+(?:-[ \t]++)*)(?P<quote>[\"']?)(?P<name>[\w./-]{1,256}+)(?P=quote)[ \t]*+:(?=\s|$)"
)
_DOCUMENT = re.compile(r"(?m)^(?=---)")
_SECRET_KIND = re.compile(r"(?m)^[ \t]*+(?:-[ \t]++)?[\"']?kind[\"']?[ \t]*+:[ \t]*+[\"']?Secret[\"']?[ \t]*+\r?$")


class Redactor:
    """Redacts by built-in rules and by `extra_paths` (`args.body.pin`, `args.labels["a.b"]`; lists are entered)."""

    def __init__(self, extra_paths: Sequence[str] = ()) -> None:
        self._tree: dict[str, Any] = {}
        for path in extra_paths:
            keys = _path(path)
            node = self._tree
            for key in keys[:-1]:
                node = node.setdefault(key, {})
                if node is _WHOLE:
                    break
            else:
                if keys:
                    node[keys[-1]] = _WHOLE

    def args(self, args: Json) -> Json:
        """`args` with secrets replaced; the original is left alone. Never raises."""
        return _value(args, self._tree, DEPTH, JSON_TEXTS)

    def text(self, text: str) -> str:
        """A text for people (a message, a line of stderr) with secrets replaced. Never raises."""
        return _text(text, DEPTH, JSON_TEXTS)


_WHOLE: dict[str, Any] = {}
_NO_PATHS: dict[str, Any] = {}
_STEP = re.compile(r"\.?([^.\[\]\"]+)|\[\"((?:[^\"\\]|\\.)*)\"\]")


def _path(path: str) -> list[str]:
    keys = [plain or re.sub(r"\\(.)", r"\1", quoted) for plain, quoted in _STEP.findall(path)]
    return keys[1:] if keys[:1] == ["args"] else keys


def _value(value: Json, paths: Mapping[str, Any], depth: int, texts: int) -> Json:
    if isinstance(value, str):
        return _text(value, depth, texts)
    if isinstance(value, dict):
        return _object(value, paths, depth - 1, texts) if depth else REDACTED
    if isinstance(value, list):
        return _list(value, paths, depth - 1, texts) if depth else REDACTED
    return value


def _object(value: dict[str, Json], paths: Mapping[str, Any], depth: int, texts: int) -> Json:
    hidden = _hidden_keys(value)
    result: dict[str, Json] = {}
    for key, item in value.items():
        below = paths.get(key, _NO_PATHS) if paths else _NO_PATHS
        if below is _WHOLE:
            result[key] = REDACTED
        elif key in hidden or (_telling(key) if len(key) < 256 else False):
            result[key] = _blank(item, depth)
        else:
            result[key] = _value(item, below, depth, texts)
    return result


def _hidden_keys(value: dict[str, Json]) -> Sequence[str]:
    """Keys whose values are secret because of what stands beside them."""
    if value.get("kind") == "Secret":
        return [key for key in value if key.lower() in _SECRET_DATA]
    for name in _NAME_KEYS:
        told = value.get(name)
        if isinstance(told, str) and _telling(told):
            return _VALUE_KEYS
    return ()


def _list(value: list[Json], paths: Mapping[str, Any], depth: int, texts: int) -> Json:
    result: list[Json] = []
    flag = False
    for item in value:
        if flag and isinstance(item, str) and not item.startswith("-"):
            result.append(REDACTED)
            flag = False
            continue
        flag = isinstance(item, str) and item.startswith("-") and "=" not in item and _telling(item)
        result.append(_value(item, paths, depth, texts))
    return result


def _blank(value: Json, depth: int) -> Json:
    """Everything below a telling name, except what only refers to a secret (`secretName`) and what cannot be one."""
    if value is None or isinstance(value, bool) or value == "":
        return value
    if isinstance(value, dict) and depth:
        return {key: item if _refers(key, item) else _blank(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list) and depth:
        return [_blank(item, depth - 1) for item in value]
    return REDACTED


def _refers(key: str, value: Json) -> bool:
    words = _WORDS.findall(key[:256])
    return bool(words) and words[-1].lower() in _REFERENCE and not isinstance(value, dict | list)


def _text(text: str, depth: int, texts: int) -> str:
    if len(text) < 6 or (len(text) < _LONG and not _WORTH_A_LOOK.search(text)):
        return text
    if texts and text.lstrip()[:1] in ("{", "["):
        inner = _json_text(text, depth, texts - 1)
        if inner is not None:
            return inner
    if ":" in text:
        documents = _DOCUMENT.split(text)
        text = "".join(_document(part, secret=bool(_SECRET_KIND.search(part))) for part in documents)
    text = _marked(text)
    if ":" in text or "=" in text:
        text = _after(_PAIR, text)
    return _after(_FLAG, text) if "-" in text else text


def _marked(text: str) -> str:
    """`text` without what looks like a secret: as if every pattern was tried, but only those are that can match."""
    small = text.lower()
    for number in sorted({number for mark, number in _MARKS if mark in small}):
        pattern, replacement = _PATTERNS[number]
        text = pattern.sub(replacement, text)
    return text


def _json_text(text: str, depth: int, texts: int) -> str | None:
    try:
        data: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    clean = _value(data, _NO_PATHS, depth, texts)
    return text if clean == data else json.dumps(clean, ensure_ascii=False)


def _after(head: re.Pattern[str], text: str) -> str:
    """`text` without the values that follow a telling name (the first group of `head`)."""
    pieces: list[str] = []
    done = 0
    for match in head.finditer(text):
        if match.start() < done or not _telling(match[1]):
            continue
        value = _SECRET_VALUE.match(text, match.end())
        if value is None:
            continue
        group = value.lastgroup or "bare"
        secret = value[group] if group != "bare" else value[group].rstrip(",;)}]\"'\\")
        if secret in _NO_SECRET or secret.startswith(REDACTED[:-1]):
            continue
        start = value.start(group)
        pieces += (text[done:start], REDACTED)
        done = start + len(secret)
    return "".join([*pieces, text[done:]])


def _document(text: str, *, secret: bool) -> str:
    """YAML, line by line: blocks under telling names, and what a Kubernetes Secret holds."""
    result: list[str] = []
    block: int | None = None
    named = False
    for line in text.split("\n"):
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if block is not None and stripped:
            if indent > block or (indent == block and stripped.startswith("- ")):
                result.append(_blank_line(line, indent))
                continue
            block = None
        match = _LINE.match(line)
        if match is None:
            result.append(line)
            continue
        name, rest = match["name"], line[match.end() :].strip()
        hidden = _telling(name) or (secret and name.lower() in _SECRET_DATA) or (named and name in _VALUE_KEYS)
        named = name in _NAME_KEYS and _telling(rest.strip("\"'"))
        if hidden:
            block = indent
        plain = not rest or rest[0] in "|>&#"
        result.append(f"{line[: match.end()]} {REDACTED}" if hidden and not plain else line)
    return "\n".join(result)


def _blank_line(line: str, indent: int) -> str:
    match = _LINE.match(line)
    if match is None:
        return f"{line[:indent]}{REDACTED}"
    rest = line[match.end() :].strip()
    if not rest or _refers(match["name"], rest):
        return line
    return f"{line[: match.end()]} {REDACTED}"
