"""What a request is for, as its first line says it."""

from __future__ import annotations

from urllib.parse import unquote

import httptools


def path_of(url: bytes) -> str:
    """The path of a request's target, decoded once; "" when it has none (`CONNECT host:port`, `OPTIONS *`)."""
    if url[:1] == b"/" and b"?" not in url and b"%" not in url and b"#" not in url:
        return url.decode("latin-1")
    try:
        path = httptools.parse_url(url).path or b""
    except httptools.HttpParserInvalidURLError:
        return ""
    return unquote(path.decode("latin-1"))


def authority_of(url: bytes) -> bytes:
    """`host:port` of a target in absolute form, b"" of any other. Source: RFC 9112 3.2."""
    scheme, found, rest = url.partition(b"://")
    if not found or not scheme.isalpha():
        return b""
    return rest.partition(b"/")[0].partition(b"?")[0].partition(b"#")[0]
