"""What is kept of one login: the tokens, and all that is needed to renew them without asking anybody again.

Source of the fields: RFC 6749 5.1 (tokens), RFC 7591 (the client), RFC 8707 (resource). No secret appears in a repr.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

_LEAD_MS = 60_000


@dataclass(frozen=True, slots=True)
class Login:
    """One login at the MCP server of `url`; its tokens are for that URL and no other.

    `expires_at_ms` is 0 when the server did not say. `ended` is the error code with which it refused to renew, "" while
    it has not. `given_client` says that the operator named the client, which then is kept for the next login.
    """

    url: str
    token_endpoint: str
    client_id: str
    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    auth_method: str = "none"
    given_client: bool = False
    redirect_port: int = 0
    issuer: str = ""
    resource: str = ""
    scope: str = ""
    revocation_endpoint: str = ""
    issued_at_ms: int = 0
    expires_at_ms: int = 0
    ended: str = ""

    def belongs_to(self, url: str) -> bool:
        """Whether its token may be sent to `url`."""
        return canonical(url) == canonical(self.url)

    @property
    def renews(self) -> bool:
        return bool(self.refresh_token) and not self.ended

    def is_over(self, now_ms: int) -> bool:
        return 0 < self.expires_at_ms <= now_ms

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to renew: a minute before the end, or a fifth of a short life."""
        lead = min(_LEAD_MS, (self.expires_at_ms - self.issued_at_ms) // 5)
        return self.renews and 0 < self.expires_at_ms <= now_ms + lead

    def to_json(self) -> bytes:
        return json.dumps({"version": 1, **dataclasses.asdict(self)}, indent=1).encode() + b"\n"

    @staticmethod
    def from_json(data: bytes) -> Login:
        """Raises ValueError for what is no login."""
        value: object = json.loads(data)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        row = cast("dict[str, Any]", value)
        chosen = {name: row[name] for name in _KINDS if name in row}
        if any(type(chosen[name]) is not _KINDS[name] for name in chosen) or not chosen.keys() >= _NEEDED:
            raise ValueError("a field is missing or of another kind")
        login = Login(**chosen)
        if not is_token(login.access_token):
            raise ValueError("the token cannot be sent")
        return login


_NEEDED = frozenset({"url", "token_endpoint", "client_id", "access_token"})
_KINDS: dict[str, type] = {name: type(value) for name, value in dataclasses.asdict(Login("", "", "", "")).items()}


def canonical(url: str) -> tuple[str, str, str, str]:
    """What two spellings of one URL have in common: scheme, authority with its port, path, query."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    host = (parts.hostname or "").lower()
    port = parts.port or {"http": 80, "https": 443}.get(scheme, 0)
    return scheme, f"{host}:{port}", parts.path or "/", parts.query


def is_safe(url: str) -> bool:
    """Whether a token may travel to `url`: encrypted, or within this machine. Source: OAuth 2.1, 1.5."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))


def is_token(text: object) -> bool:
    """Whether it can stand in a header: printable ASCII without blanks. Source: RFC 6750, 2.1."""
    return isinstance(text, str) and text != "" and text.isascii() and text.isprintable() and " " not in text
