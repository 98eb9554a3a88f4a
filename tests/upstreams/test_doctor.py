"""The doctor starts what it examines; the servers here are small scripts run as real processes."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from mcpwatch.errors import ConfigError
from mcpwatch.upstreams.doctor import Report, doctor
from tests.upstreams.stubs import GOOD, MODERN, NO_REGION, SILENT, TELLTALE, script

_SECRET = "wJalrXUtnFEMI"


async def _examine(text: str, tmp_path: Path, *, timeout_s: float = 20.0, path: str = "") -> Report:
    environ = {"PATH": path or os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": _SECRET}
    return await doctor(text, environ=environ, state_dir=tmp_path / "state", version="1", timeout_s=timeout_s)


async def test_a_server_that_answers_is_ready_and_its_tools_of_all_pages_are_counted(tmp_path: Path) -> None:
    report = await _examine(f"x={script(tmp_path, 'good', GOOD)}", tmp_path)
    assert (report.exit_code, report.server, report.protocol) == (0, "stub 7", "2025-11-25")
    assert report.tools == ("first", "second")
    assert "x: ready" in report.lines()


async def test_a_server_of_the_newest_era_only_is_ready_too(tmp_path: Path) -> None:
    report = await _examine(f"x={script(tmp_path, 'modern', MODERN)}", tmp_path)
    assert (report.exit_code, report.server, report.protocol, report.tools) == (0, "new 1", "2026-07-28", ("only",))


async def test_a_missing_region_is_named_with_the_remedy(tmp_path: Path) -> None:
    report = await _examine(f"eks={script(tmp_path, 'eks', NO_REGION)}", tmp_path)
    assert report.exit_code == 4
    assert report.error == "Exception: Failed to create boto3 client for ec2: You must specify a region."
    assert "AWS_REGION" in report.remedy
    assert any("a region" in need for need in report.needs)


async def test_no_secret_is_shown_whatever_the_server_writes(tmp_path: Path) -> None:
    report = await _examine(f"eks={script(tmp_path, 'tell', TELLTALE)}", tmp_path)
    assert report.error == "login failed for <AWS_SECRET_ACCESS_KEY>"
    assert "AWS_SECRET_ACCESS_KEY" in report.env_names
    assert _SECRET not in json.dumps(report.json()) + "\n".join(report.lines())


async def test_a_server_that_says_nothing_is_given_up_and_ended(tmp_path: Path) -> None:
    body = f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n{SILENT}"
    report = await _examine(f"x={script(tmp_path, 'silent', body)}", tmp_path, timeout_s=1.5)
    assert (report.exit_code, report.error) == (4, "It did not answer within 2 s")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_lost_interpreter_is_not_mistaken_for_a_lost_program(tmp_path: Path) -> None:
    report = await _examine(f"eks={script(tmp_path, 'old', '', '/gone/bin/python')}", tmp_path)
    assert (report.exit_code, "bad interpreter" in report.error) == (4, True)
    assert report.remedy.endswith("mcpwatch upstream install eks")


async def test_a_program_that_is_not_there_is_a_report(tmp_path: Path) -> None:
    report = await _examine("eks", tmp_path, path=str(tmp_path))
    assert (report.exit_code, report.remedy) == (4, "Run: mcpwatch upstream install eks")


async def test_an_unknown_name_is_a_fault_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        await _examine("nothing", tmp_path)


async def test_no_line_for_people_is_wider_than_80_columns(tmp_path: Path) -> None:
    report = await _examine(f"eks={script(tmp_path, 'eks', NO_REGION)}", tmp_path)
    assert max(len(line) for line in report.lines()) <= 80


class _Remote(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/moved":
            self.send_response(307)
            self.send_header("Location", "/mcp")
            self.end_headers()
            return
        tools = {"tools": [{"name": "far"}]}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "web", "version": ""}}
        result = hello if message["method"] == "initialize" else tools
        text = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result})
        body = (f": hello\n\nevent: message\ndata: {text}\n\n" if message["method"] == "tools/list" else text).encode()
        self.send_response(200 if "id" in message else 202)
        kind = "text/event-stream" if message["method"] == "tools/list" else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Mcp-Session-Id", "abc")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A test prints nothing."""


@pytest.fixture
def remote() -> Generator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Remote)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_url_is_asked_over_http_and_may_answer_as_a_stream(remote: str, tmp_path: Path) -> None:
    report = await _examine(f"web={remote}/mcp?token=hush", tmp_path)
    assert (report.exit_code, report.server, report.tools) == (0, "web", ("far",))
    assert "hush" not in "\n".join(report.lines())


async def test_a_redirect_is_not_followed(remote: str, tmp_path: Path) -> None:
    report = await _examine(f"web={remote}/moved", tmp_path)
    assert (report.exit_code, report.error) == (4, "It answered with HTTP status 307")


async def test_an_address_where_nobody_listens_is_said(tmp_path: Path) -> None:
    report = await _examine("web=http://127.0.0.1:9/mcp", tmp_path)
    assert report.exit_code == 4
    assert "refused" in report.error.lower()
