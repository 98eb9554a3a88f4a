"""Answers to what is no request that could be answered. All of them end the connection."""

from __future__ import annotations


def _refusal(status: bytes, text: bytes) -> bytes:
    kind = b"content-type: text/plain; charset=utf-8"
    return b"HTTP/1.1 %b\r\n%b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, kind, len(text), text)


BAD_REQUEST = _refusal(b"400 Bad Request", b"The request is not HTTP")
BAD_HEAD = _refusal(b"431 Request Header Fields Too Large", b"The request's headers are too large")
