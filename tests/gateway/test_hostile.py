"""Hostile input over HTTP: never forwarded, always answered, recorded once."""

from __future__ import annotations

import asyncio
import gzip
import re
import time

import pytest

from mcpwatch.gateway.settings import Limits
from tests.gateway.hostile import GOOD, HOSTILE, LOOKALIKES, lookalike
from tests.gateway.house import DEADLINE_S, House, call, house, modern, request, until


@pytest.fixture
async def gateway():
    async with house() as h:
        yield h


def _rejected_once(h: House) -> None:
    assert h.upstream.heard == []
    assert [row.decision for row in h.journal.rows] == ["reject"]
    assert h.journal.rows[0].reason


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_message_is_answered_recorded_and_not_forwarded(gateway: House, raw: bytes) -> None:
    reply = await gateway.post(raw)
    assert reply.status in (400, 413)
    assert reply.json["error"]["message"]
    _rejected_once(gateway)


@pytest.mark.parametrize("method", LOOKALIKES)
@pytest.mark.parametrize("default", ["allow", "deny"])
async def test_a_method_that_only_looks_like_a_call_is_unknown(gateway: House, method: str, default: str) -> None:
    gateway.install({"version": "1", "default": default})
    reply = await gateway.post(lookalike(method))
    assert reply.json["error"]["code"] == -32601
    _rejected_once(gateway)


async def test_a_method_unknown_to_mcp_passes_only_where_everything_does(gateway: House) -> None:
    assert "result" in (await gateway.post(request("vendor/thing", {}))).json
    gateway.install({"version": "1", "default": "deny"})
    assert (await gateway.post(request("vendor/thing", {}))).json["error"]["code"] == -32601
    assert len(gateway.upstream.heard) == 1
    assert [row.decision for row in gateway.journal.rows] == ["allow", "reject"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic bG9jYWw6eA=="}, 401),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1"}, 403),
        ({"host": "127.0.0.1.evil.example:80"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://127.0.0.1"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"accept": "text/html"}, 406),
        ({"mcp-session-id": "f" * 32}, 404),
    ],
)
async def test_a_request_that_may_not_come_in_is_recorded(gateway: House, headers: dict[str, str], status: int) -> None:
    body = gzip.compress(GOOD.encode()) if "content-encoding" in headers else GOOD.encode()
    assert (await gateway.post(body, headers)).status == status
    _rejected_once(gateway)


async def test_own_names_and_origins_come_in(gateway: House) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        address = f"{host}:{gateway.port}"
        assert (await gateway.post(call(), {"host": address, "origin": f"http://{address}"})).status == 200


async def test_without_a_host_nothing_is_served(gateway: House) -> None:
    head = f"POST /mcp/up HTTP/1.0\r\nAuthorization: Bearer {gateway.token}\r\n"
    answer = await _raw(gateway, head.encode() + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    assert b" 403 " in answer.splitlines()[0]
    _rejected_once(gateway)


async def test_a_session_of_another_grant_is_unknown(gateway: House) -> None:
    session = await gateway.open_session()
    other = gateway.grants.add_ephemeral("other")
    heard = len(gateway.upstream.heard)
    headers = {"mcp-session-id": session, "authorization": f"Bearer {other}"}
    assert (await gateway.post(call(), headers)).status == 404
    for verb in ("GET", "DELETE"):
        async with gateway.http.request(verb, gateway.url, headers=gateway.headers(headers)) as response:
            assert response.status == 404
    assert len(gateway.upstream.heard) == heard
    assert [row.rule for row in gateway.journal.rows] == ["(unknown session)"] * 3


@pytest.mark.parametrize("line", ["Host: evil.example", "Authorization: Bearer x", "Content-Type: text/plain"])
async def test_a_deciding_header_given_twice_is_refused(gateway: House, line: str) -> None:
    head = _head(gateway, len(GOOD))[:-2] + line.encode() + b"\r\n\r\n"
    answer = await _raw(gateway, head + GOOD.encode())
    assert b" 400 " in answer.splitlines()[0]
    _rejected_once(gateway)


async def test_length_and_chunks_together_are_refused(gateway: House) -> None:
    head = f"POST /mcp/up HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nAuthorization: Bearer {gateway.token}\r\n"
    both = "Content-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = await _raw(gateway, (head + both).encode() + GOOD.encode())
    assert b" 400 " in answer.splitlines()[0]
    assert gateway.upstream.heard == []


async def test_another_coding_before_the_chunks_is_refused(gateway: House) -> None:
    codings = b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    head = re.sub(rb"Content-Length: \d+\r\n\r\n", codings, _head(gateway, len(GOOD)))
    answer = await _raw(gateway, b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(GOOD), GOOD.encode()))
    assert b" 400 " in answer.splitlines()[0]
    _rejected_once(gateway)


async def test_a_target_that_names_another_host_than_the_header_is_refused(gateway: House) -> None:
    head = _head(gateway, len(GOOD)).replace(b"/mcp/up", b"http://evil.example/mcp/up", 1)
    answer = await _raw(gateway, head + GOOD.encode())
    assert b" 403 " in answer.splitlines()[0]
    _rejected_once(gateway)


async def test_a_body_that_stays_shorter_than_its_length_is_closed() -> None:
    async with house(limits=Limits(body_timeout_ms=100)) as h:
        began = time.monotonic()
        answer = await _raw(h, _head(h, 1000) + b'{"json')
        assert b" 408 " in answer.splitlines()[0]
        assert time.monotonic() - began < DEADLINE_S
        _rejected_once(h)


async def test_a_body_that_is_announced_too_large_is_not_read(gateway: House) -> None:
    answer = await _raw(gateway, _head(gateway, 4 * 2**20 + 1))
    assert b" 413 " in answer.splitlines()[0]
    _rejected_once(gateway)


async def test_an_id_in_use_in_its_session_is_refused(gateway: House) -> None:
    go_on = asyncio.Event()

    async def wait(heard: object, obj: dict[str, object]) -> None:
        await go_on.wait()

    session = {"mcp-session-id": await gateway.open_session()}
    gateway.upstream.answers["tools/call"] = wait
    first = asyncio.create_task(gateway.post(call(), session))
    await until(lambda: gateway.upstream.calls())
    reply = await gateway.post(call(), session)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32600)
    go_on.set()
    await first
    assert len(gateway.upstream.calls()) == 1


async def test_an_answer_to_a_question_nobody_asked_goes_nowhere(gateway: House) -> None:
    session = {"mcp-session-id": await gateway.open_session()}
    heard = len(gateway.upstream.heard)
    assert (await gateway.post({"jsonrpc": "2.0", "id": 7, "result": {}}, session)).status == 400
    assert len(gateway.upstream.heard) == heard
    assert [row.decision for row in gateway.journal.rows] == ["reject"]


@pytest.mark.parametrize("name", ["mcp-method", "mcp-name"])
async def test_a_header_that_contradicts_the_body_is_refused(gateway: House, name: str) -> None:
    body, headers = modern(call("forbidden"))
    reply = await gateway.post(body, {**headers, name: "safe"})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)
    _rejected_once(gateway)


async def test_routing_headers_of_the_modern_era_go_no_further_in_the_other(gateway: House) -> None:
    await gateway.post(call("echo"), {"mcp-name": "other", "mcp-method": "ping"})
    assert not {"mcp-name", "mcp-method"} & set(gateway.upstream.heard[-1].headers)


async def test_credentials_and_marks_of_the_connection_stay_here(gateway: House) -> None:
    own = {
        "cookie": "a=b",
        "origin": f"http://127.0.0.1:{gateway.port}",
        "x-forwarded-for": "10.0.0.1",
        "te": "trailers",
    }
    await gateway.post(call(), {**own, "x-custom": " kept "})
    headers = gateway.upstream.heard[-1].headers
    assert not {"authorization", "cookie", "origin", "x-forwarded-for", "te"} & set(headers)
    assert (headers["x-custom"], headers["accept-encoding"]) == ("kept", "identity")


@pytest.mark.parametrize("path", ["/", "/mcp", "/mcp/", "/.well-known/oauth-protected-resource/mcp/up", "/sse"])
async def test_other_paths_are_not_there(gateway: House, path: str) -> None:
    async with gateway.http.get(f"http://127.0.0.1:{gateway.port}{path}") as response:
        assert response.status == 404


@pytest.mark.parametrize("name", ["nobody", "up/x", "../up", "up%2f"])
async def test_another_upstream_is_not_there(gateway: House, name: str) -> None:
    url = f"http://127.0.0.1:{gateway.port}/mcp/{name}"
    async with gateway.http.post(url, data=GOOD, headers=gateway.headers()) as response:
        assert response.status == 404
    assert gateway.upstream.heard == []


async def test_a_grant_reaches_only_its_upstreams(gateway: House) -> None:
    token = gateway.grants.add_ephemeral("elsewhere", upstreams=["other"])
    assert (await gateway.post(call(), {"authorization": f"Bearer {token}"})).status == 404
    _rejected_once(gateway)


async def test_health_needs_no_token_and_numbers_do(gateway: House) -> None:
    base = f"http://127.0.0.1:{gateway.port}"
    await gateway.post(call())
    async with gateway.http.get(f"{base}/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})
    async with gateway.http.get(f"{base}/metrics") as response:
        assert response.status == 401
    async with gateway.http.get(f"{base}/metrics", headers=gateway.headers()) as response:
        assert 'mcpwatch_decisions_total{upstream="up",decision="allow"} 1' in await response.text()


async def test_an_open_door_lets_callers_without_a_token_in_as_open() -> None:
    async with house(open_door=True) as h:
        await h.post(call(), {"authorization": ""})
        assert h.journal.rows[0].grant == "open"


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"])
async def test_another_verb_is_refused_and_recorded(gateway: House, verb: str) -> None:
    url = f"http://127.0.0.1:{gateway.port}/mcp/up"
    async with gateway.http.request(verb, url, data=GOOD, headers=gateway.headers()) as response:
        assert (response.status, response.headers["allow"]) == (405, "POST, GET, DELETE")
    _rejected_once(gateway)


@pytest.mark.parametrize("kind", ["charset=utf-8; charset=utf-16", "charset=utf-16; charset=utf-8"])
async def test_two_character_sets_are_one_too_many(gateway: House, kind: str) -> None:
    assert (await gateway.post(call(), {"content-type": f"application/json; {kind}"})).status == 415
    _rejected_once(gateway)


async def test_a_body_compressed_for_its_way_is_refused(gateway: House) -> None:
    head = _head(gateway, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: gzip, chunked")
    assert b" 415 " in await _raw(gateway, head + b"0\r\n\r\n")
    _rejected_once(gateway)


async def test_a_request_that_is_not_http_is_recorded_when_it_was_meant_for_an_upstream(gateway: House) -> None:
    for path in ("/mcp/up?x=1", "/mcp/other", "/healthz"):
        gateway.gateway.unreadable(path)
    await until(lambda: gateway.journal.rows)
    _rejected_once(gateway)


def _head(h: House, length: int) -> bytes:
    lines = [
        "POST /mcp/up HTTP/1.1",
        f"Host: 127.0.0.1:{h.port}",
        f"Authorization: Bearer {h.token}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _raw(h: House, data: bytes) -> bytes:
    """Send bytes and read until the gateway closes the connection or has answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", h.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
    finally:
        writer.close()
        await writer.wait_closed()
