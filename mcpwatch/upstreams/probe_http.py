"""Reaches a Streamable HTTP server and greets it. For the doctor only: nothing is forwarded here."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from mcpwatch.upstreams.handshake import Greeting, Message, ProbeFailed, Refused, greet, parsed
from mcpwatch.upstreams.spec import UpstreamSpec

_ANSWER_BYTES = 16 * 1024 * 1024


async def probe_http(spec: UpstreamSpec, *, version: str, timeout_s: float) -> Greeting:
    """Greet the server at the URL of `spec` within `timeout_s` seconds. Raises ProbeFailed."""
    caller = _Http(spec, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            return await greet(caller.ask, caller.tell, version)
    except TimeoutError:
        raise ProbeFailed(f"It did not answer within {timeout_s:.0f} s") from None
    except Refused as error:
        raise ProbeFailed(str(error)) from None


@dataclass(slots=True)
class _Http:
    """One session over Streamable HTTP. Redirects are not followed: the operator named one URL."""

    spec: UpstreamSpec
    timeout_s: float
    session: str = ""

    async def ask(self, message: Message) -> Message:
        return await asyncio.to_thread(self._post, message)

    async def tell(self, message: Message) -> None:
        await asyncio.to_thread(self._post, message)

    def _post(self, message: Message) -> Message:
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        headers |= self.spec.headers | ({"Mcp-Session-Id": self.session} if self.session else {})
        headers |= _modern_headers(message)
        request = urllib.request.Request(self.spec.url, json.dumps(message).encode(), headers)  # noqa: S310
        try:
            with _OPENER.open(request, timeout=self.timeout_s) as answer:
                self.session = answer.headers.get("Mcp-Session-Id", self.session)
                return _first_answer(answer, message.get("id"))
        except urllib.error.HTTPError as error:
            return _http_error(error, message)
        except urllib.error.URLError as error:
            raise Refused(f"{self.spec.url}: {getattr(error.reason, 'strerror', None) or error.reason}") from None
        except (OSError, HTTPException) as error:
            raise Refused(f"{self.spec.url}: {error}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _modern_headers(message: Message) -> dict[str, str]:
    meta = message.get("params", {}).get("_meta")
    if not meta:
        return {}
    return {
        "MCP-Protocol-Version": str(meta["io.modelcontextprotocol/protocolVersion"]),
        "Mcp-Method": message["method"],
    }


def _http_error(error: urllib.error.HTTPError, message: Message) -> Message:
    answer = parsed(error.read(65536))
    if "error" in answer and message["method"] == "initialize":
        return answer
    raise Refused(f"It answered with HTTP status {error.code}")


def _first_answer(answer: Any, number: object) -> Message:
    if "text/event-stream" not in answer.headers.get("Content-Type", ""):
        return parsed(answer.read(_ANSWER_BYTES))
    for line in answer:
        if line.startswith(b"data:"):
            message = parsed(line[5:])
            if message.get("id") == number and "method" not in message:
                return message
    return {}
