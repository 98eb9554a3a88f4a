"""The head of a request, its first line and its headers: what they say, and how large they are."""

from __future__ import annotations

from urllib.parse import unquote

import httptools

from mcpwatch.gateway.link import Headers


def path_of(url: bytes) -> str:
    """The path of a request's target, decoded once; "" when it has none (`CONNECT host:port`, `OPTIONS *`)."""
    if url[:1] == b"/" and b"?" not in url and b"%" not in url and b"#" not in url:
        return url.decode("latin-1")
    try:
        path = httptools.parse_url(url).path or b""
    except httptools.HttpParserInvalidURLError:
        return ""
    return unquote(path.decode("latin-1"))


def with_true_host(url: bytes, headers: Headers) -> Headers:
    """The headers; what a target in absolute form names is the host, whatever they say. Source: RFC 9112 3.2.2."""
    scheme, found, rest = url.partition(b"://")
    if not found or not scheme.isalpha():
        return headers
    host = rest.partition(b"/")[0].partition(b"?")[0].partition(b"#")[0]
    return [(name, host if name == b"host" else value) for name, value in headers]


def without_offer(headers: Headers) -> Headers:
    """The headers without the word that offers another protocol; the same when there is none."""
    return [(name, _without_upgrade(value) if name == b"connection" else value) for name, value in headers]


def _without_upgrade(value: bytes) -> bytes:
    return b", ".join(word for part in value.split(b",") if (word := part.strip()).lower() != b"upgrade")


def is_served(version: str, headers: Headers) -> bool:
    """Whether requests of this version are read, with these headers.

    HTTP/1.0 knows no chunks: who reads it by the book would see other messages. Source: RFC 9112 6.1.
    """
    return version == "1.1" or (version == "1.0" and all(name != b"transfer-encoding" for name, _ in headers))


def head_bytes(verb: bytes, url: bytes, headers: Headers) -> int:
    """Size of the head in its shortest form, with the empty line."""
    line = len(verb) + len(url) + len("  HTTP/1.1\r\n\r\n")
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in headers)
