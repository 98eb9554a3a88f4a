"""The operator's API as consoles and commands call it. Every fault is a ConfigError with one sentence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from mcpwatch.errors import ConfigError

Object = dict[str, Any]

_HOST = "http://gateway"
_ANSWER_S = 30.0


class ControlClient:
    """One gateway, by its socket. Opens its connections at the first call; `close` (or `async with`) ends them."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ControlClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def status(self) -> Object:
        return await self._ask("GET", "/status")

    async def events(self) -> AsyncIterator[Object]:
        """`hello` first, then everything as it happens, until the gateway ends (the iterator then just ends)."""
        try:
            async with self._open().get(f"{_HOST}/events", timeout=aiohttp.ClientTimeout(total=None)) as answer:
                rest = b""
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for text in lines:
                        yield json.loads(text)
        except (aiohttp.ClientPayloadError, ConnectionResetError):
            return
        except (aiohttp.ClientError, OSError) as fault:
            raise self._absent(fault) from fault

    async def policy(self, upstream: str) -> Object:
        """{file, text, digest, problems} as the gateway last read it."""
        return await self._ask("GET", f"/policy/{upstream}")

    async def save_policy(self, upstream: str, text: str, base_digest: str, by: str = "console") -> Object:
        """{status: 200, digest} when in force; {status: 409, digest, text} when the file is another one by now;

        {status: 422, problems} when the text is no valid policy.
        """
        body = {"text": text, "base_digest": base_digest, "by": by}
        return await self._ask("PUT", f"/policy/{upstream}", body, passed=(200, 409, 422), with_status=True)

    async def history(self, upstream: str) -> Object:
        return await self._ask("GET", f"/policy/{upstream}/history")

    async def search(self, filter: str = "", since_ms: int = 0, before_seq: int = 0, limit: int = 200) -> Object:
        """{"rows": audit records, newest last}. `before_seq` 0 means from the newest."""
        query = {"filter": filter, "since_ms": since_ms, "before_seq": before_seq, "limit": limit}
        return await self._ask("GET", "/audit/search", query=query)

    async def show(self, seq: int) -> Object:
        return await self._ask("GET", f"/audit/show/{seq}")

    async def hold(
        self, call_id: str, action: str, reason: str = "", remember: bool = False, by: str = "console"
    ) -> Object:
        """`action`: approve | refuse. ConfigError when nobody waits for the answer any more."""
        body = {"action": action, "reason": reason, "remember": remember, "by": by}
        return await self._ask("POST", f"/holds/{call_id}", body)

    async def freeze(self, grant: str = "", tool: str = "", by: str = "console") -> Object:
        return await self._ask("POST", "/freeze", {"grant": grant, "tool": tool, "by": by})

    async def thaw(self, grant: str = "", tool: str = "", by: str = "console") -> Object:
        return await self._ask("POST", "/thaw", {"grant": grant, "tool": tool, "by": by})

    async def stop(self) -> Object:
        return await self._ask("POST", "/stop", {})

    async def connect(self) -> Object:
        """{"endpoints": {upstream: URL}, "token"}: what a client needs."""
        return await self._ask("GET", "/connect")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self.socket_path))
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    async def _ask(
        self,
        verb: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        passed: tuple[int, ...] = (200,),
        with_status: bool = False,
    ) -> Object:
        try:
            async with self._open().request(
                verb, _HOST + path, json=body, params=query, timeout=aiohttp.ClientTimeout(total=_ANSWER_S)
            ) as answer:
                status, value = answer.status, json.loads(await answer.read() or b"{}")
        except TimeoutError as fault:
            raise ConfigError("the gateway does not answer", f"Its control socket is {self.socket_path}.") from fault
        except (aiohttp.ClientError, OSError) as fault:
            raise self._absent(fault) from fault
        except ValueError as fault:
            raise ConfigError("the gateway answered something that is not JSON") from fault
        if status not in passed:
            raise ConfigError(str(value.get("error") or f"the gateway answered {status}"), str(value.get("remedy", "")))
        return {"status": status, **value} if with_status else value

    def _absent(self, fault: Exception) -> ConfigError:
        if isinstance(fault, PermissionError) or "Permission denied" in str(fault):
            return ConfigError(f"the gateway at {self.socket_path} belongs to another user")
        return ConfigError(
            f"no gateway is running at {self.socket_path}",
            "Start one with `mcpwatch serve --upstream NAME`, or name it with --instance.",
        )
