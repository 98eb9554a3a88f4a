"""Who may call: labelled bearer tokens. The file keeps their sha-256 only; the token itself is shown once.

Only the grant `local` also has its token in a file of its own, for the programs of this user (`mcpwatch connect`).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mcpwatch.errors import ConfigError
from mcpwatch.files import Stamp, private_write

OPEN = "open"
LOCAL = "local"
_MARK = "mcpw_"
"""By this, a token is known and redacted wherever a caller puts it."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Grant:
    """`upstreams` it reaches (empty: all), `policy` the file of its own policy or "" for the upstream's."""

    label: str
    upstreams: tuple[str, ...] = ()
    policy: str = ""
    created_at_ms: int = 0

    def reaches(self, upstream: str) -> bool:
        return not self.upstreams or upstream in self.upstreams


class Grants:
    """The grants of one state folder. A change made by another process counts for the next call.

    `version` counts the changes. `path` None keeps everything in memory. With `open_door` callers without a known
    token get the grant `open`.
    """

    def __init__(self, path: Path | None, *, open_door: bool = False) -> None:
        self._path = path
        self._open = Grant(OPEN) if open_door else None
        self._stored: dict[str, Grant] = {}
        self._ephemeral: dict[str, Grant] = {}
        self._stamp = None if path is None else Stamp(path)
        self.version = 0
        self._load()

    def find(self, token: str | None) -> Grant | None:
        """The grant of a bearer token; takes the same time for a wrong token as for a right one."""
        if token:
            self.refresh(now=True)  # a microsecond: a revoked token is no longer good for a single call
            # Looking up the digest tells a guesser nothing: he cannot steer the sha-256 of what he sends.
            digest = _digest(token)
            grant = self._stored.get(digest) or self._ephemeral.get(digest)
            if grant is not None:
                return grant
        return self._open

    def listed(self) -> list[Grant]:
        """All stored grants, oldest first (not the ephemeral ones)."""
        self._load()
        return list(self._stored.values())

    def add(
        self, label: str, *, upstreams: Iterable[str] = (), policy: str = "", created_at_ms: int | None = None
    ) -> str:
        """Make a grant and return its token, which is not kept. Raises ConfigError for a bad or taken label."""
        self._load()
        self._check_free(label)
        at = int(time.time() * 1000) if created_at_ms is None else created_at_ms
        return self._keep(Grant(label, tuple(upstreams), policy, at))

    def add_ephemeral(self, label: str, *, upstreams: Iterable[str] = ()) -> str:
        """Make a grant that lives as long as this process; the demo's agents have such."""
        self._check_free(label)
        token = _new_token()
        self._ephemeral[_digest(token)] = Grant(label, tuple(upstreams))
        return token

    def rotate(self, label: str) -> str:
        """Give a grant a new token; the old one ends at once. Raises ConfigError when there is no such grant."""
        grant = self._drop(label)
        return self._keep(grant)

    def revoke(self, label: str) -> None:
        """End a grant. Raises ConfigError when there is no such grant."""
        self._drop(label)
        self._write()

    def ensure_local(self) -> str:
        """The token of the grant `local`, made on first use and kept beside the grants in `local.token`."""
        if self._path is None:
            return self.add_ephemeral(LOCAL)
        file = self._path.with_name("local.token")
        self._load()
        token = file.read_text().strip() if file.exists() else ""
        if token and _digest(token) in self._stored:
            return token
        if any(grant.label == LOCAL for grant in self._stored.values()):
            return self.rotate(LOCAL)
        return self.add(LOCAL)

    def _keep(self, grant: Grant) -> str:
        token = _new_token()
        self._stored[_digest(token)] = grant
        self._write()
        if grant.label == LOCAL and self._path is not None:
            private_write(self._path.with_name("local.token"), token.encode() + b"\n")
        return token

    def _drop(self, label: str) -> Grant:
        self._load()
        for digest, grant in self._stored.items():
            if grant.label == label:
                del self._stored[digest]
                return grant
        raise ConfigError(f'there is no grant "{label}"', "`mcpwatch grant list` shows those there are.")

    def _check_free(self, label: str) -> None:
        if not _LABEL.match(label) or label == OPEN:
            raise ConfigError(
                f'"{label.encode("ascii", "backslashreplace").decode()[:40]}" cannot be the label of a grant',
                "Use letters, digits, dot, dash, underscore and @, at most 64; `open` is taken.",
            )
        if any(grant.label == label for table in (self._stored, self._ephemeral) for grant in table.values()):
            raise ConfigError(f'there is a grant "{label}" already', "Rotate it, or choose another label.")

    def refresh(self, *, now: bool = False) -> None:
        """Read the file again when it was changed; `now` looks whatever the pause between two looks."""
        if self._stamp is not None and self._stamp.changed(now=now):
            try:
                self._load()
            except ConfigError:
                self._stored = {}

    def _load(self) -> None:
        if self._path is None or self._stamp is None:
            return
        self.version += 1
        try:
            self._stored = _read(self._path) if self._stamp.take() else {}
        except ConfigError:
            self._stamp.forget()  # what could not be read is tried again at the next call
            raise

    def _write(self) -> None:
        if self._path is None or self._stamp is None:
            return
        grants = [
            {
                "label": g.label,
                "sha256": d,
                "upstreams": list(g.upstreams),
                "policy": g.policy,
                "created_at_ms": g.created_at_ms,
            }
            for d, g in self._stored.items()
        ]
        private_write(self._path, json.dumps({"version": 1, "grants": grants}, indent=1).encode() + b"\n")
        self._stamp.take()
        self.version += 1


def _new_token() -> str:
    return _MARK + secrets.token_urlsafe(32)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: Path) -> dict[str, Grant]:
    try:
        rows = cast("list[dict[str, Any]]", json.loads(path.read_bytes())["grants"])
        return {str(row["sha256"]): _grant(row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ConfigError(f"the grants in {path} cannot be read: {fault}", "Restore the file or remove it.") from fault


def _grant(row: dict[str, Any]) -> Grant:
    upstreams = tuple(str(name) for name in row.get("upstreams", ()))
    return Grant(str(row["label"]), upstreams, str(row.get("policy", "")), int(row.get("created_at_ms", 0)))
