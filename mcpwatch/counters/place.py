"""`--counters redis://…` as typed, and as it may be shown: the password is in neither log, status nor error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from mcpwatch.errors import ConfigError

PASSWORD: Final = "MCPWATCH_REDIS_PASSWORD"  # noqa: S105 - the name of a variable
_OPTIONS: Final = ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_EXAMPLE: Final = "For example: --counters redis://127.0.0.1:6379/0"


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """`shown` is the address without password and options, `url` the one to connect to, `password` "" for none."""

    shown: str
    url: str = field(repr=False)
    password: str = field(repr=False)

    def hide(self, text: str) -> str:
        """`text` without the password, should somebody else have put it there."""
        return text.replace(self.password, "***") if self.password else text


def redis_place(url: str, environ: Mapping[str, str]) -> RedisPlace:
    """Raises ConfigError, which does not repeat the address: it may hold a password.

    A password that is not in the address is taken from MCPWATCH_REDIS_PASSWORD.
    """
    try:
        parts = urlsplit(url)
        port, host, options = parts.port, parts.hostname or "", parse_qs(parts.query)
        database = int(parts.path.strip("/") or 0) if parts.scheme != "unix" else 0
    except ValueError:
        raise ConfigError("--counters: the address is not one of a Redis", _EXAMPLE) from None
    if parts.scheme == "unix":
        whole = parts.path.startswith("/") and not host
    else:
        whole = parts.scheme in ("redis", "rediss") and bool(host)
    if not whole:
        raise ConfigError(
            "--counters is memory:, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH", _EXAMPLE
        )
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ConfigError(f'--counters: unknown option "{unknown[0]}" in the address', f"Known: {', '.join(_OPTIONS)}")
    password = unquote(parts.password or "") or environ.get(PASSWORD, "")
    if parts.scheme == "unix":
        shown = f"unix://{parts.path}"
    else:
        shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port or 6379}/{database}"
    return RedisPlace(shown, url, password)


def client_options(place: RedisPlace) -> dict[str, Any]:
    """What the client is told beside the address: no retries of its own, which would charge twice."""
    return {"password": place.password or None, "decode_responses": False, "protocol": 2, "health_check_interval": 0}
