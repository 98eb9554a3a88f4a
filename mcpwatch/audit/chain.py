"""The hash chain: what is hashed, in which order, and the anchor outside of the file.

Every row holds `sha256(chain id | hash of the row before | the row's JSON)`. The row's JSON is stored as it was
hashed, and begins with its own number and kind, so that no row can be changed, moved, left out or brought in from
another log without a break. Whoever can write the file can compute all of it anew; `audit.head` notices that, unless
it is rewritten too. Against its owner only a copy of the anchor on another machine helps.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mcpwatch.files import private_write
from mcpwatch.records import rfc3339

START = bytes(32)
"""The hash before the first row."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to be written. `fields` is a JSON object without its opening brace; `seq` 0 of a call: a new number.

    `policy`: digest and text of a policy that must be kept before the row is written.
    """

    kind: str
    fields: bytes
    seq: int = 0
    policy: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: its id, the last row and its hash, and the last number given to a call."""

    chain: str
    row: int
    seq: int
    hash: bytes


def new_chain() -> str:
    """A fresh chain id, 32 hex digits."""
    return secrets.token_hex(16)


def link(chain: bytes, before: bytes, body: bytes) -> bytes:
    """The hash of one row."""
    return sha256(chain + before + body).digest()


def lead(row: int, kind: str, seq: int) -> bytes:
    """How the JSON of a row begins."""
    return f'{{"row":{row},"kind":"{kind}","seq":{seq},'.encode()


def extend(head: Head, entries: Sequence[Entry]) -> tuple[Head, list[Any], list[int]]:
    """The head after `entries`, the values for `schema.insert_rows`, and the call number of each entry."""
    chain, row, last, digest = bytes.fromhex(head.chain), head.row, head.seq, head.hash
    values: list[Any] = []
    seqs: list[int] = []
    for entry in entries:
        row += 1
        seq = entry.seq
        if entry.kind == "call" and not seq:
            seq = last = last + 1
        body = lead(row, entry.kind, seq) + entry.fields
        digest = link(chain, digest, body)
        values += (row, entry.kind, seq, digest, body.decode())
        seqs.append(seq)
    return Head(head.chain, row, last, digest), values, seqs


def anchor_path(path: Path) -> Path:
    """`audit.head` of `audit.db`."""
    return path.with_suffix(".head")


def read_anchor(path: Path) -> Head | None:
    """The head last put down for the audit file `path`; None when there is none or it cannot be understood."""
    try:
        data = json.loads(anchor_path(path).read_bytes())
        return Head(str(data["chain"]), int(data["row"]), int(data["seq"]), bytes.fromhex(data["hash"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_anchor(path: Path, head: Head, at_ms: int) -> None:
    """Put the head down by rename. The log is made durable first: an anchor must never be ahead of what it anchors."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        _sync(log)
    private_write(anchor_path(path), json.dumps({**head_json(head), "at": rfc3339(at_ms)}).encode() + b"\n")


def head_json(head: Head) -> dict[str, Any]:
    return {"chain": head.chain, "row": head.row, "seq": head.seq, "hash": head.hash.hex()}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(handle)
    finally:
        os.close(handle)
