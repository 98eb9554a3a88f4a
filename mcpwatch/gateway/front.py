"""The front: who may come in, with what, and how long it may take. Every refusal is recorded once.

Sources: MCP transports (status codes, Origin), RFC 9110, RFC 6750 (bearer tokens).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from mcpwatch.gateway.book import MALFORMED, Book
from mcpwatch.gateway.core import Core
from mcpwatch.gateway.grants import Grant, Grants
from mcpwatch.gateway.http_server.exchange import Exchange, NoRoom, TooLarge, Unreadable
from mcpwatch.gateway.link import Headers
from mcpwatch.gateway.relay import Relay
from mcpwatch.gateway.replies import error
from mcpwatch.gateway.room import Room
from mcpwatch.gateway.wire import INVALID_REQUEST

_MCP = "/mcp/"
_VERBS = ("POST", "GET", "DELETE")
_JSON_TYPE = (b"content-type", b"application/json")
_ACCEPTED = ("application/json", "text/event-stream", "application/*", "text/*", "*/*")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer instead of service. `rule` is what the audit says; `close`: with the connection."""

    status: int
    rule: str
    text: str
    close: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()


_SINGLE = frozenset(b"host origin authorization content-type content-length content-encoding mcp-session-id".split())
_FORMS = 256

Fields = dict[bytes, bytes]
"""Headers by name; of those that decide, none is there twice."""

_REPEATED = Refusal(400, "(headers)", "A header appears more than once", close=True)
_HOW_TO_CONNECT = "A valid bearer token is needed: `mcpwatch connect CLIENT` prints the line that has it"
_NO_TOKEN = Refusal(401, "(no token)", _HOW_TO_CONNECT, headers=((b"www-authenticate", b"Bearer"),))
_NO_UPSTREAM = Refusal(404, "(no such upstream)", "There is no such endpoint")
_BAD_HOST = Refusal(403, "(host)", "This Host is not served")
_BAD_ORIGIN = Refusal(403, "(origin)", "This Origin may not call")
_BAD_VERB = Refusal(405, "(verb)", "Only POST, GET and DELETE are served", headers=((b"allow", b"POST, GET, DELETE"),))
_BAD_TYPE = Refusal(415, "(content type)", "Content-Type must be application/json, not compressed", close=True)
_BAD_ACCEPT = Refusal(406, "(accept)", "Accept must name application/json and text/event-stream", close=True)
_TOO_LARGE = Refusal(413, "(too large)", "The message is too large", close=True)
_UNREADABLE = Refusal(400, MALFORMED, "The request is not HTTP", close=True)
_NO_ROOM = Refusal(503, "(no room)", "Too many large messages are under way. Try again later.", close=True)
_UNFINISHED = Refusal(408, "(unfinished)", "The message did not arrive whole in time", close=True)


class Front:
    """Serves HTTP for one gateway."""

    def __init__(self, core: Core, book: Book, grants: Grants) -> None:
        self._core = core
        self._book = book
        self._grants = grants
        self._relay = Relay(core, book)
        self._hosts: dict[int, frozenset[bytes]] = {}
        self._forms: dict[tuple[bytes | None, ...], Refusal | None] = {}
        self._guesses = Throttle()
        self._room = Room(core.config.limits.bodies_bytes)

    async def __call__(self, ex: Exchange) -> None:
        headers, path = ex.headers, ex.path
        upstream = path.removeprefix(_MCP) if path.startswith(_MCP) else ""
        fields = dict(headers)
        refusal = _repeated(headers, fields) or self._check_addresses(ex.port, fields)
        if refusal is None and upstream:
            grant = self._grants.find(_token(fields))
            refusal = self._check_grant(grant, upstream) or self._check_form(ex.verb, fields)
            if refusal is None and grant is not None:
                await self._serve(ex, upstream, grant)
                return
            await self._refuse(ex, upstream, "" if grant is None else grant.label, refusal or _NO_TOKEN)
        elif refusal is not None:
            await self._refuse(ex, upstream, "", refusal)
        else:
            await self._other(ex, path)

    async def unreadable(self, path: str) -> None:
        """Record a request that the listener refused because it is not HTTP, when it was meant for an upstream."""
        upstream = path.partition("?")[0].removeprefix(_MCP)
        if path.startswith(_MCP) and upstream in self._core.links:
            await self._book.reject(upstream, "", MALFORMED, "The request is not HTTP")

    async def _serve(self, ex: Exchange, upstream: str, grant: Grant) -> None:
        if ex.verb == "POST":
            try:
                body = await self._body(ex, upstream, grant)
                if body is not None:
                    await self._relay.post(ex, upstream, grant, body)
            finally:
                self._room.give(grant.label, ex.held)
        elif ex.verb == "GET":
            await self._relay.get(ex, upstream, grant)
        else:
            await self._relay.delete(ex, upstream, grant)

    async def _body(self, ex: Exchange, upstream: str, grant: Grant) -> bytes | None:
        limits = self._core.config.limits
        refusal = _UNFINISHED
        try:
            body = await ex.body(
                limits.body_bytes, limits.body_timeout_ms / 1000, lambda size: self._room.take(grant.label, size)
            )
            if body is not None:
                return body
        except TooLarge:
            refusal = _TOO_LARGE
        except Unreadable:
            refusal = _UNREADABLE
        except NoRoom:
            refusal = _NO_ROOM
        except TimeoutError:
            pass
        await self._refuse(ex, upstream, grant.label, refusal)
        return None

    def _check_addresses(self, port: int, fields: Fields) -> Refusal | None:
        """Only names of this gateway: a web page that had its own name point here is none. Source: MCP transports."""
        allowed = self._allowed(port)
        host = fields.get(b"host")
        if host is None or (host.lower() not in allowed and not self._core.config.any_host):
            return _BAD_HOST
        origin = fields.get(b"origin")
        scheme = b"https://" if self._core.config.tls else b"http://"
        if origin is not None and (not origin.startswith(scheme) or origin[len(scheme) :].lower() not in allowed):
            return _BAD_ORIGIN
        return None

    def _allowed(self, port: int) -> frozenset[bytes]:
        known = self._hosts.get(port)
        if known is None:
            names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
            if port == (443 if self._core.config.tls else 80):
                names += ["127.0.0.1", "localhost", "[::1]"]
            known = frozenset(name.lower().encode() for name in (*names, *self._core.config.hosts))
            self._hosts[port] = known
        return known

    def _check_grant(self, grant: Grant | None, upstream: str) -> Refusal | None:
        if grant is None:
            return _NO_TOKEN
        return None if upstream in self._core.links and grant.reaches(upstream) else _NO_UPSTREAM

    def _check_form(self, verb: str, fields: Fields) -> Refusal | None:
        if verb != "POST":
            return None if verb in _VERBS else _BAD_VERB
        *others, framing = fields.get(b"transfer-encoding", b"chunked").lower().split(b",")
        if others or framing.strip() != b"chunked":
            # Without chunks at the end nobody knows where the body ends. Source: RFC 9112 6.3.
            return _BAD_TYPE if framing.strip() == b"chunked" else _UNREADABLE
        form = fields.get(b"content-type"), fields.get(b"content-encoding"), fields.get(b"accept")
        if form not in self._forms:
            if len(self._forms) > _FORMS:
                self._forms.clear()
            self._forms[form] = _form_refusal(*(value or b"" for value in form))
        length = fields.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > self._core.config.limits.body_bytes:
            return _TOO_LARGE
        return self._forms[form]

    async def _refuse(self, ex: Exchange, upstream: str, grant: str, refusal: Refusal) -> None:
        if upstream in self._core.links:
            await self._book.reject(upstream, grant, refusal.rule, refusal.text)
        if refusal is _NO_TOKEN:
            await self._guesses.slow_down()
        body = error(None, INVALID_REQUEST, refusal.text)
        ex.keep = ex.keep and not refusal.close
        await ex.reply(refusal.status, [_JSON_TYPE, *refusal.headers], body)

    async def _other(self, ex: Exchange, path: str) -> None:
        if path == "/healthz":
            status = b"stopping" if self._core.stopping else b"ok"
            await ex.reply(503 if self._core.stopping else 200, [_JSON_TYPE], b'{"status":"' + status + b'"}')
        elif path == "/metrics":
            await self._metrics(ex)
        else:
            await ex.reply(404, [])

    async def _metrics(self, ex: Exchange) -> None:
        if self._grants.find(_token(dict(ex.headers))) is None:
            await self._guesses.slow_down()
            await ex.reply(401, [*_NO_TOKEN.headers])
            return
        gauges = {
            "requests_in_flight": len(self._core.flights),
            "sessions": len(self._core.sessions),
            "holds": len(self._core.holds.waiting()),
            "listeners": len(self._core.listeners),
            "bodies_bytes": self._room.taken,
        }
        kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        await ex.reply(200, [kind], self._core.metrics.text(gauges).encode())


class Throttle:
    """Makes guessing tokens slow for everybody who guesses, once several guesses failed within ten seconds."""

    _SPAN_S = 10.0
    _FREE = 20
    _WAIT_S = 1.0

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=self._FREE)

    async def slow_down(self) -> None:
        now = time.monotonic()
        many = len(self._recent) == self._FREE and now - self._recent[0] < self._SPAN_S
        self._recent.append(now)
        if many:
            await asyncio.sleep(self._WAIT_S)


def _repeated(headers: Headers, fields: Fields) -> Refusal | None:
    """Of a header given twice, one reader takes the first and another the last."""
    if len(fields) == len(headers):
        return None
    names = [name for name, _ in headers if name in _SINGLE]
    return None if len(names) == len(set(names)) else _REPEATED


def _form_refusal(content_type: bytes, encoding: bytes, accept: bytes) -> Refusal | None:
    kind, *parameters = content_type.decode("latin-1").lower().split(";")
    charsets = {part.partition("=")[2].strip('" ') for part in parameters if "charset" in part}
    if kind.strip() != "application/json" or not charsets <= {"utf-8", "utf8"}:
        return _BAD_TYPE
    if encoding.strip().lower() not in (b"", b"identity"):
        return _BAD_TYPE
    wanted = accept.decode("latin-1").lower()
    if wanted and not any(part.split(";")[0].strip() in _ACCEPTED for part in wanted.split(",")):
        return _BAD_ACCEPT
    return None


def _token(fields: Fields) -> str | None:
    scheme, _, token = fields.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
