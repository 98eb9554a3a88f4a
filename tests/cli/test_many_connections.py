"""More connections than the process may open files: whoever calls gets in, and so does the operator."""

from __future__ import annotations

import contextlib
import resource
import socket

import pytest

from tests.cli.running import Home

FILES = 256


@pytest.mark.parametrize("said", [b"", b"POST /mcp", b"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"])
def test_idle_connections_of_strangers_keep_nobody_out(home: Home, said: bytes) -> None:
    with home.serve() as serving, contextlib.ExitStack() as stack:
        resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        host, port = serving.url.split("/")[2].split(":")
        for _ in range(2 * FILES):
            line = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            with contextlib.suppress(ConnectionError):
                line.sendall(said.replace(b"{host}", f"{host}:{port}".encode()))
        client = serving.client()
        assert client.text("echo", a=1) == '{"a": 1}'
        assert home.run("status", "--json").json["pid"] == serving.process.pid
        assert home.run("freeze").code == 0
        assert client.call("echo")["isError"]


def test_the_gateway_may_open_as_many_files_as_the_system_allows(home: Home) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with home.serve() as serving:
        soft, _ = resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE)
        assert soft in (hard, 65_536)


def test_streams_of_one_caller_leave_the_operator_his_way_in(home: Home) -> None:
    with home.serve() as serving, contextlib.ExitStack() as stack:
        client = serving.client()
        resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        host, port = serving.url.split("/")[2].split(":")
        body = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"slow","arguments":{"seconds":60}}}'
        head = "".join(f"{name}: {value}\r\n" for name, value in client.headers.items())
        for number in range(2 * FILES):
            line = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            text = body % (number + 100)
            lines = f"POST /mcp/echo HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(text)}\r\n{head}\r\n"
            with contextlib.suppress(ConnectionError):
                line.sendall(lines.encode() + text)
        assert home.run("status", "--json").json["pid"] == serving.process.pid
        assert home.run("freeze").code == 0
