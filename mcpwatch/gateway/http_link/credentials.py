"""How the operator gets in at an upstream, and what a 401 or 403 of it means then.

A challenge is for the gateway alone: a caller that logged in by itself would get in past the operator, or not at all,
as its Authorization goes no further than here. Source: protocol, rule 4; MCP authorization.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from mcpwatch.gateway.headers import one
from mcpwatch.gateway.http_link.client import Response
from mcpwatch.gateway.link import Headers, LoginNeeded

AUTHORIZATION = b"authorization"
_CHALLENGE = b"www-authenticate"
_SECRET_LENGTH = 4

Ask = Callable[[], Awaitable[Response]]


class Credentials(Protocol):
    """The operator's login at one upstream, which may begin and end while the gateway runs."""

    @property
    def wanted(self) -> bool:
        """Whether the operator logs in here, also when that login is over just now."""
        ...

    def header(self) -> bytes:
        """The value of Authorization, b"" without a login. Asked for every request."""
        ...

    async def renew(self, refused: bytes) -> bool:
        """Get another value after the upstream refused this one; whether there is one. One at a time, for all callers.

        A caller that goes away meanwhile does not end it.
        """
        ...

    def refusal(self) -> tuple[str, str]:
        """What is wrong, and what the operator can do."""
        ...


class Entrance:
    """`own` are the configured headers; `credentials` are None where those say who the operator is."""

    def __init__(self, own: Headers, credentials: Credentials | None) -> None:
        self._own = own
        self._credentials = None if one(own, AUTHORIZATION) else credentials

    def header(self) -> Headers:
        """The header of the login."""
        value = b"" if self._credentials is None else self._credentials.header()
        return [(AUTHORIZATION, value)] if value else []

    async def again(self, sent: Headers, response: Response, ask: Ask) -> Response:
        """The answer after a 401: that of a second attempt when there are other credentials by now."""
        refused = one(sent, AUTHORIZATION).encode("latin-1")
        if response.status == 401 and self._credentials is not None and await self._credentials.renew(refused):
            response.end()
            return await ask()
        return response

    def fault(self, response: Response) -> LoginNeeded | None:
        """What the operator has to know about an answer; None when it asks for nothing that the operator could give."""
        asks = "bearer" in one(response.headers, _CHALLENGE).lower()
        if response.status != 401 or not (asks or self.is_operators):
            return None
        if self._credentials is not None and (self._credentials.wanted or not self._own):
            return LoginNeeded(*self._credentials.refusal())
        if self._own:
            return LoginNeeded(
                "refuses the configured headers (HTTP 401)", "Check its headers in the --mcp-config file."
            )
        return LoginNeeded("asks for a login (HTTP 401)")

    @property
    def is_operators(self) -> bool:
        """Whether the operator gets in here with credentials, so that no caller is asked for any."""
        return bool(self._own) or (self._credentials is not None and self._credentials.wanted)

    def without_challenge(self, headers: Headers) -> Headers:
        return [field for field in headers if field[0] != _CHALLENGE] if self.is_operators else headers

    def veiled(self, text: str) -> str:
        """`text` without the operator's credentials, whoever repeats them."""
        for name, value in self._own + self.header():
            whole = value.decode()
            for secret in (whole, whole.rpartition(" ")[2]):
                text = text.replace(secret, f"<{name.decode()}>") if len(secret) >= _SECRET_LENGTH else text
        return text
