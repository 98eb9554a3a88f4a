"""Which variables of the operator's environment an upstream may see: an allow-list of names, nothing else.

A name that ends in `*` stands for all names that begin so. The mapping that is picked from is always an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mcpwatch.errors import ConfigError

BASE = ("HOME", "PATH", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LC_*", "TZ", "TMPDIR")
"""What every upstream sees: enough to run a program, nothing that opens a door."""

NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")

AWS = (
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_*",
    "AWS_ENDPOINT_URL*",
    "AWS_CA_BUNDLE",
    "AWS_EC2_METADATA_DISABLED",
)

_HARMLESS = frozenset(
    {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED", "EKS_AUTH_MODE", "LOGURU_LEVEL"}
)


def pick(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The part of `environ` that BASE and `names` allow."""
    allowed = (*BASE, *names)
    exact = frozenset(n for n in allowed if not n.endswith("*"))
    prefixes = tuple(n[:-1] for n in allowed if n.endswith("*"))
    return {k: v for k, v in environ.items() if k in exact or k.startswith(prefixes)}


def extra(environ: Mapping[str, str], options: Sequence[str]) -> dict[str, str]:
    """What `--env NAME` (taken from `environ`) and `--env NAME=VALUE` add. Raises ConfigError; never shows a value."""
    chosen: dict[str, str] = {}
    for option in options:
        name, given, value = option.partition("=")
        if not name or not (name.replace("_", "a").isalnum() and not name[0].isdigit()):
            raise ConfigError("--env wants NAME or NAME=VALUE", "For example: --env AWS_REGION=eu-central-1")
        if not given and name not in environ:
            raise ConfigError(f"--env {name}: no such variable here", f"Export {name}, or give --env {name}=VALUE.")
        chosen[name] = value if given else environ[name]
    return chosen


def scrub(text: str, env: Mapping[str, str]) -> str:
    """`text` without the values of variables that may be secrets: each is replaced by its name in angle brackets."""
    secrets = [(v, k) for k, v in env.items() if len(v) >= 4 and not _plain(k)]
    for value, name in sorted(secrets, key=lambda pair: -len(pair[0])):
        text = text.replace(value, f"<{name}>")
    return text


def _plain(name: str) -> bool:
    listed = name in _HARMLESS or name in BASE or name.startswith("LC_")
    return listed or name.endswith(("_PATH", "_FILE", "_DIR", "CONFIG", "_BUNDLE"))
