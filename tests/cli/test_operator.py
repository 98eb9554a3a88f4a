"""An operator at work on a real gateway: holds, saves, TLS, and what every attached console is told."""

from __future__ import annotations

import asyncio
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpwatch.control.client import ControlClient
from mcpwatch.errors import ConfigError
from tests.cli.running import Home, Serving

TLS = Path(__file__).parent.parent / "data" / "tls"
ASKS = """{"version": "1", "default": "allow",
 "tools": {"echo": {"approve_if": [{"conditions": [], "timeout": "20s"}]}}}"""
WITHIN_S = 15.0

Object = dict[str, Any]


@pytest.fixture
def serving(home: Home) -> Iterator[Serving]:
    with home.serve(policy=ASKS) as running:
        yield running


def desk(serving: Serving) -> ControlClient:
    return ControlClient(Path(serving.ready["control"]))


class Calling:
    """A call under way in a thread."""

    def __init__(self, serving: Serving, tool: str, *, token: str | None = None, **arguments: Any) -> None:
        self._client = serving.client(token)
        self._result: list[Object] = []
        self._thread = threading.Thread(target=lambda: self._result.append(self._client.call(tool, **arguments)))
        self._thread.start()

    async def result(self) -> Object:
        await asyncio.to_thread(self._thread.join, WITHIN_S)
        return self._result[0]


async def waiting(client: ControlClient) -> Object:
    """The one held call."""
    async with asyncio.timeout(WITHIN_S):
        while not (holds := (await client.status())["holds"]):
            await asyncio.sleep(0)
    return holds[0]


@pytest.mark.parametrize(("action", "passes"), [("approve", True), ("refuse", False)])
async def test_a_held_call_gets_the_operators_answer(serving: Serving, action: str, passes: bool) -> None:
    async with desk(serving) as client:
        call = Calling(serving, "echo", text="please")
        hold = await waiting(client)
        assert (hold["tool"], hold["grant"], hold["args"]) == ("echo", "local", {"text": "please"})
        await client.hold(hold["call_id"], action, "because", by="anna")
        assert (await call.result())["isError"] is not passes
        with pytest.raises(ConfigError):
            await client.hold(hold["call_id"], action, by="ben")
        row = (await client.search("tool:echo"))["rows"][-1]
        assert row["decision"] == ("allow" if passes else "deny")
        assert row["held_ms"] >= 0


async def test_a_freeze_written_by_hand_ends_a_held_call_while_nobody_else_calls(serving: Serving) -> None:
    held = Calling(serving, "echo", text="a")
    async with asyncio.timeout(WITHIN_S):
        while '"hold"' not in serving.home.run("audit", "search", "--json").out:
            await asyncio.sleep(0)
    (serving.home.state / "freeze.json").write_text('{"version": 1, "scopes": ["*"]}')
    result = await held.result()
    assert result["_meta"]["mcpwatch/decision"]["rule"] == "(frozen)"


async def test_a_revoked_grant_hears_nothing_more_and_its_held_call_is_refused(home: Home, serving: Serving) -> None:
    token = home.run("grant", "add", "bob").out.strip()
    held = Calling(serving, "echo", token=token, text="a")
    client = serving.client(token)
    listening = urllib.request.Request(serving.url, headers={**client.headers, "Accept": "text/event-stream"})
    with await asyncio.to_thread(urllib.request.urlopen, listening, timeout=WITHIN_S) as stream:
        async with desk(serving) as console:
            await waiting(console)
        assert home.run("grant", "revoke", "bob").code == 0
        assert await asyncio.to_thread(stream.read) == b""
    assert (await held.result())["content"][0]["text"].endswith("the grant was revoked")


async def test_a_console_sees_the_call_the_hold_and_its_end(serving: Serving) -> None:
    async with desk(serving) as client:
        events = client.events()
        hello = await anext(events)
        assert hello["type"] == "hello"
        assert set(hello) >= {"status", "calls", "tools", "policies", "counters", "connect"}
        assert [tool["name"] for tool in hello["tools"]["echo"]][:1] == ["echo"]
        call = Calling(serving, "echo")
        hold = await waiting(client)
        await client.hold(hold["call_id"], "approve")
        await call.result()
        seen: list[str] = []
        async with asyncio.timeout(WITHIN_S):
            async for event in events:
                seen.append(event["type"])
                if event["type"] == "call_settled" and event["outcome"]["call_id"] == hold["call_id"]:
                    break
        assert [kind for kind in seen if kind.startswith("hold")] == ["hold_opened", "hold_closed"]
        assert "call_decided" in seen


async def test_a_saved_policy_is_in_force_for_the_next_call_and_in_the_history(serving: Serving) -> None:
    async with desk(serving) as client:
        before = await client.policy("echo")
        text = '{"version": "1", "default": "deny", "tools": {}}'
        saved = await client.save_policy("echo", text, before["digest"], "anna")
        assert saved["status"] == 200
        result = await asyncio.to_thread(lambda: serving.client().call("echo"))
        assert result["_meta"]["mcpwatch/decision"]["rule"] == "(default deny)"
        assert serving.policy.read_text() == text
        history = (await client.history("echo"))["policies"]
        assert [entry["by"] for entry in history] == ["start", "anna"]
        assert history[-1]["text"] == text


async def test_a_broken_file_that_gets_its_old_text_back_is_told_as_mended(serving: Serving) -> None:
    async with desk(serving) as client:
        events = client.events()
        since = (await anext(events))["status"]["policies"]["echo"]["installed_at"]
        for text, told in (("{", "policy_rejected"), (ASKS, "policy_installed")):
            serving.policy.write_text(text)
            async with asyncio.timeout(WITHIN_S):
                event = await anext(event async for event in events if event["type"].startswith("policy_"))
            assert (event["type"], event["upstream"]) == (told, "echo")
        assert (await client.status())["policies"]["echo"] | {"installed_at": since, "error": None} == (
            await client.status()
        )["policies"]["echo"]
        assert [entry["by"] for entry in (await client.history("echo"))["policies"]] == ["start"]


async def test_a_save_over_an_edit_or_of_nonsense_changes_nothing(serving: Serving) -> None:
    async with desk(serving) as client:
        before = await client.policy("echo")
        assert (await client.save_policy("echo", "{}", before["digest"], "anna"))["status"] == 422
        assert (await client.save_policy("echo", before["text"], "0" * 64, "anna"))["status"] == 409
        assert serving.policy.read_text() == before["text"]


async def test_an_edit_of_the_file_is_told_to_every_console(home: Home, serving: Serving) -> None:
    async with desk(serving) as one, desk(serving) as two:
        streams = [one.events(), two.events()]
        for stream in streams:
            await anext(stream)
        assert (await one.status())["consoles"] == 2
        home.write("policy.json", {"version": "1", "default": "deny", "tools": {}})
        for stream in streams:
            event = await asyncio.wait_for(anext(stream), WITHIN_S)
            while event["type"] != "policy_installed":
                event = await asyncio.wait_for(anext(stream), WITHIN_S)
            assert event["by"] == "file"


def test_tls_serves_https(home: Home) -> None:
    more = ("--tls-cert", TLS / "cert.pem", "--tls-key", TLS / "key.pem")
    with home.serve(*more) as serving:
        assert serving.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(TLS / "cert.pem"))
        url = serving.url.removesuffix("/mcp/echo") + "/healthz"
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            assert answer.status == 200


def test_a_certificate_that_cannot_be_used_is_exit_2(home: Home) -> None:
    more = ("--tls-cert", TLS / "key.pem", "--tls-key", TLS / "key.pem")
    done = home.run("serve", "--upstream", "x=cat", "--listen", "127.0.0.1:0", *more)
    assert done.code == 2
    assert "--tls-cert" in done.err
