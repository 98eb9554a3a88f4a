"""What a resource's name may come to at its server: `file:///a/%2e%2e/etc/x` is `file:///etc/x` to most.

Sources: RFC 3986 2.1 (percent-encoding), 5.2.4 (dot segments), 6.2.2 (case of scheme and host).
"""

from __future__ import annotations

from urllib.parse import unquote

_TIMES = 3
"""How often percent-encoding is undone: some servers do it again behind a proxy that did it already."""


def resolved(uri: str) -> str:
    """`uri` with its encoding undone, scheme and host in lower case, without dot segments and empty ones."""
    text = _decoded(uri)
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    host, _, path = rest.replace("\\", "/").partition("/")
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return f"{scheme.lower()}://{host.lower()}/{'/'.join(segments)}"


def has_dots(uri: str) -> bool:
    """Whether a server that resolves dot segments goes elsewhere with this."""
    return not {".", ".."}.isdisjoint(_decoded(uri).replace("\\", "/").split("/"))


def _decoded(text: str) -> str:
    for _ in range(_TIMES):
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return text
