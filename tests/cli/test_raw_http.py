"""Requests in raw bytes against `mcpwatch serve`: what is smuggled, spelled oddly or sent in one piece with others.

Of each: the HTTP statuses in order, the tools that the server behind was really asked for, the decisions in the audit.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cli.running import Home, Serving
from tests.cli.witness import Witness

POLICY: dict[str, Any] = {"version": "1", "default": "deny", "tools": {"safe": {}}}
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LAST = "GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"


def body(tool: str = "safe", message_id: int = 1) -> bytes:
    params: dict[str, Any] = {"name": tool, "arguments": {}}
    return json.dumps({"jsonrpc": "2.0", "id": message_id, "method": "tools/call", "params": params}).encode()


@dataclass
class Line:
    """A gateway that is spoken to in bytes."""

    serving: Serving
    home: Home
    witness: Witness

    @property
    def host(self) -> str:
        return self.serving.url.split("/")[2]

    def request(
        self, *extra: str, target: str = "POST /mcp/up HTTP/1.1", text: bytes | None = None, leave: str = ""
    ) -> bytes:
        """A request with the headers that a good one has, except those in `leave`."""
        text = body() if text is None else text
        own = {
            "Host": self.host,
            "Authorization": f"Bearer {self.serving.token}",
            "Content-Type": "application/json",
            "Content-Length": str(len(text)),
        }
        lines = [target, *(f"{name}: {value}" for name, value in own.items() if name not in leave.split()), *extra]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + text

    def say(self, data: bytes) -> tuple[list[int], list[str], list[str]]:
        """Statuses, executed tools, and decisions with their rules, of what these bytes made happen.

        A last request asks to close the connection; its status is left out.
        """
        calls, rows = len(self.witness.calls()), len(self.rows())
        with socket.create_connection(self.host.split(":"), timeout=20) as line:  # type: ignore[arg-type]
            line.sendall(data + _LAST.format(host=self.host).encode())
            heard = b""
            while part := line.recv(65536):
                heard += part
        statuses = [int(status) for status in _STATUS.findall(heard)]
        if heard.endswith(b'{"status":"ok"}'):
            statuses.pop()
        told = [f"{row['decision']} {row['rule']}".strip() for row in self.rows()[rows:]]
        return statuses, self.witness.calls()[calls:], told

    def rows(self) -> list[dict[str, str]]:
        done = self.home.run("audit", "search", "--json")
        return [json.loads(line) for line in done.out.splitlines()]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    home = Home(tmp_path_factory.mktemp("raw"))
    with Witness() as witness, home.serve("--upstream", f"up={witness.url}", policy=POLICY) as serving:
        yield Line(serving, home, witness)


def test_requests_in_one_piece_are_judged_one_by_one_and_answered_in_order(line: Line) -> None:
    three = b"".join(line.request(text=body(tool, n)) for n, tool in enumerate(("safe", "forbidden", "safe")))
    assert line.say(three) == ([200, 200, 200], ["safe", "safe"], ["allow", "deny (default deny)", "allow"])


@pytest.mark.parametrize("first", ["bad", "no token", "other verb"])
def test_a_refused_request_does_not_take_the_next_one_with_it(line: Line, first: str) -> None:
    before = {
        "bad": line.request(text=b"{"),
        "no token": line.request(leave="Authorization"),
        "other verb": line.request(target="PUT /mcp/up HTTP/1.1"),
    }[first]
    statuses, executed, told = line.say(before + line.request())
    assert (statuses[1:], executed, told[1:]) == ([200], ["safe"], ["allow"])


LENGTHS = {
    "length, then chunks": ("Content-Length: 6", "Transfer-Encoding: chunked"),
    "chunks, then length": ("Transfer-Encoding: chunked", "Content-Length: 4"),
    "chunks twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "chunks first": ("Transfer-Encoding: chunked, identity",),
    "a blank before the colon": ("Transfer-Encoding : chunked",),
    "a vertical tab": ("Transfer-Encoding: \x0bchunked",),
    "another coding": ("Transfer-Encoding: xchunked",),
    "two equal lengths": ("Content-Length: 3", "Content-Length: 3"),
    "two lengths": ("Content-Length: 3", "Content-Length: 500"),
    "a list of lengths": ("Content-Length: 3, 3",),
    "plus": ("Content-Length: +3",),
    "minus": ("Content-Length: -3",),
    "hexadecimal": ("Content-Length: 0x3",),
    "more digits than numbers have": ("Content-Length: 99999999999999999999999",),
    "a folded header": ("Content-Length: 3", "X-A: b\r\n c"),
    "a carriage return alone": ("Content-Length: 3", "X-A: b\rContent-Length: 500"),
    "a zero byte": ("Content-Length: 3", "X-A: b\0c"),
    "no colon": ("Content-Length: 3", "nonsense"),
}


@pytest.mark.parametrize("headers", LENGTHS.values(), ids=LENGTHS.keys())
def test_a_length_that_two_readers_take_for_two_is_refused_with_all_that_follows(
    line: Line, headers: tuple[str, ...]
) -> None:
    hidden = line.request(text=body("safe", 7))
    statuses, executed, told = line.say(line.request(*headers, text=b"0\r\n\r\n" + hidden, leave="Content-Length"))
    assert (statuses, executed) == ([400], [])
    assert len(told) == 1
    assert told[0].startswith("reject ")


def test_trailers_are_no_headers(line: Line) -> None:
    text = b"%x\r\n%b\r\n0\r\nAuthorization: Bearer %b\r\n\r\n" % (len(body()), body(), line.serving.token.encode())
    data = line.request("Transfer-Encoding: chunked", text=text, leave="Authorization Content-Length")
    assert line.say(data) == ([401], [], ["reject (no token)"])


TARGETS = {
    "POST /mcp/%75p HTTP/1.1": 200,
    "POST /mcp/up?x=1 HTTP/1.1": 200,
    "POST //mcp/up HTTP/1.1": 404,
    "POST /mcp//up HTTP/1.1": 404,
    "POST /mcp/up/ HTTP/1.1": 404,
    "POST /mcp/up/../up HTTP/1.1": 404,
    "POST /mcp/other/../up HTTP/1.1": 404,
    "POST /mcp/%2e%2e/mcp/up HTTP/1.1": 404,
    "POST /mcp/up%00 HTTP/1.1": 404,
    "POST /mcp/up;x HTTP/1.1": 404,
    "POST /mcp/UP HTTP/1.1": 404,
}


@pytest.mark.parametrize(("target", "status"), TARGETS.items())
def test_a_path_is_the_upstreams_own_or_nothing(line: Line, target: str, status: int) -> None:
    statuses, executed, _ = line.say(line.request(target=target))
    assert (statuses, executed) == ([status], ["safe"] if status == 200 else [])


def test_a_token_in_the_query_is_none(line: Line) -> None:
    target = f"POST /mcp/up?token={line.serving.token}&access_token={line.serving.token} HTTP/1.1"
    assert line.say(line.request(target=target, leave="Authorization"))[:2] == ([401], [])
    assert line.serving.token not in line.serving.errors + json.dumps(line.rows())


@pytest.mark.parametrize("authority", ["evil.example", "evil.example:80", "127.0.0.1", "a@evil.example"])
def test_the_host_in_the_target_is_the_one_that_counts(line: Line, authority: str) -> None:
    target = f"POST http://{authority}/mcp/up HTTP/1.1"
    assert line.say(line.request(target=target)) == ([403], [], ["reject (host)"])
    assert line.say(line.request(target=f"POST http://{line.host}/mcp/up HTTP/1.1"))[:2] == ([200], ["safe"])


def test_a_wish_for_another_protocol_is_not_granted_and_costs_no_body(line: Line) -> None:
    """Java's HTTP client asks for HTTP/2 in its first request."""
    wish = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    assert line.say(line.request(*wish)) == ([200], ["safe"], ["allow"])
    assert "upgrade" not in {name.lower() for name in line.witness.headers[-1]}


def test_who_sends_the_body_without_waiting_to_be_asked_is_served(line: Line) -> None:
    assert line.say(line.request("Expect: 100-continue")) == ([200], ["safe"], ["allow"])


def test_many_headers_are_too_many(line: Line) -> None:
    statuses, executed, told = line.say(line.request(*(f"X-{number}: 1" for number in range(1000))))
    assert (statuses, executed, told) == ([400], [], ["reject (malformed)"])


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_what_a_request_without_body_carries_is_no_request(line: Line, verb: str) -> None:
    hidden = line.request(text=body("safe", 7))
    statuses, executed, _ = line.say(line.request(target=f"{verb} /mcp/up HTTP/1.1", text=hidden))
    assert (statuses, executed) == ([405], [])


@pytest.mark.parametrize(
    "raw",
    [b"GET /mcp/up\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
)
def test_another_protocol_is_turned_away(line: Line, raw: bytes) -> None:
    statuses, executed, _ = line.say(raw)
    assert statuses[:1] in ([400], [403])
    assert executed == []


def test_the_gateway_lives_and_answers(line: Line) -> None:
    assert line.say(line.request()) == ([200], ["safe"], ["allow"])
