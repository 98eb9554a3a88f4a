"""The operator's logins as the running gateway uses them: read when they change, renewed before they end."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Iterable

from mcpwatch.errors import ConfigError
from mcpwatch.service.log import log
from mcpwatch.upstreams.logins.record import Login
from mcpwatch.upstreams.logins.renewal import NotRenewed, Unsaved, renew
from mcpwatch.upstreams.logins.store import LoginStore, Stamp
from mcpwatch.upstreams.spec import UpstreamSpec

_LOOK_S = 1.0
_AGAIN_S = 5.0
_UNREAD: Stamp = (-1, -1, -1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class UpstreamLogin:
    """The login at one upstream: the `Credentials` of its link. `more` are the options that lead to this gateway."""

    def __init__(self, store: LoginStore, spec: UpstreamSpec, more: Iterable[str] = ()) -> None:
        self.name = spec.name
        self.wanted = False
        self._url = spec.url
        self._store = store
        self._command = shlex.join(("mcpwatch", "upstream", "login", spec.name, *more))
        self._stamp: Stamp | None = None
        self._login: Login | None = None
        self._fault = ""
        self._header = b""
        self._renewing: asyncio.Task[None] | None = None
        self._rest_until = 0.0
        self._unsaved = False
        self._news = False
        self._over = False

    def header(self) -> bytes:
        # No look at the file here: a new login is noticed within a second, and by the first call that is refused.
        return self._header

    def start(self) -> None:
        """Read what there is."""
        self.look()
        self._news = False

    def look(self) -> None:
        """Take a changed file into account."""
        stamp = self._store.stamp(self.name)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._unsaved = False
        try:
            login = self._store.read(self.name)
        except ConfigError as fault:
            self._take(None)
            self.wanted, self._fault, self._news = True, fault.message, True
            return
        # What we have renewed ourselves is no news.
        self._news = self._news or login != self._login
        self._take(login)

    async def renew(self, refused: bytes) -> bool:
        self.look()
        if self._header not in (b"", refused):
            return True
        if self._login is None or not self._login.renews or not self._header:
            return False
        if self._renewing is None:
            if asyncio.get_running_loop().time() < self._rest_until:
                return False
            self._renewing = asyncio.create_task(self._renew(), name=f"login of {self.name}")
        await asyncio.shield(self._renewing)
        return self._header not in (b"", refused)

    def refusal(self) -> tuple[str, str]:
        login, again = self._login, f"Run: {self._command}"
        if self._fault:
            return self._fault, again
        if login is None:
            return ("has no login any more" if self.wanted else "asks for a login (HTTP 401)"), again
        if not login.belongs_to(self._url):
            return "has another URL than its login was made for, so the login is not used", again
        if login.ended:
            return f"needs a new login: the old one cannot be renewed ({login.ended})", again
        if not login.renews:
            return "needs a new login: the old one is over", again
        return "refuses its login (HTTP 401)", again

    async def keep(self) -> bool:
        """What is to be done now and then; whether the upstream is worth a question.

        It is when somebody else has changed the login, and when that is over: else nobody would know until a call came.
        """
        self.look()
        over = self._login is not None and self._login.is_over(now_ms()) and not self._login.renews
        news, self._news = self._news or (over and not self._over), False
        self._over = over
        if self._login is not None and self._unsaved:
            self._unsaved = not await asyncio.to_thread(self._save, self._login)
        if self._login is not None and self._header and self._login.is_due(now_ms()):
            await self.renew(self._header)
        return news

    async def close(self) -> None:
        """Wait for a renewal under way: its refresh token would be lost with it."""
        if self._renewing is not None:
            await asyncio.wait([self._renewing])

    def _take(self, login: Login | None) -> None:
        self._login, self._fault = login, ""
        self.wanted = self.wanted or login is not None
        fits = login is not None and login.belongs_to(self._url)
        self._header = b"Bearer " + login.access_token.encode() if login is not None and fits else b""

    async def _renew(self) -> None:
        """Never raises: what went wrong is told to the operator, and to callers by `refusal`."""
        login = self._login
        assert login is not None
        try:
            # In a thread to its end, so that no caller's going away loses a refresh token between answer and disk.
            self._take(await asyncio.to_thread(renew, self._store, self.name, login.access_token, now_ms))
            self._tell_end()
            # The file may be newer already than what came back.
            self._stamp = _UNREAD
            self.look()
        except Unsaved as fault:
            self._take(fault.login)
            self._unsaved = True
            log.error("the renewed login of %s is only in memory: %s", self.name, fault)
        except (NotRenewed, ConfigError) as fault:
            self._rest_until = asyncio.get_running_loop().time() + _AGAIN_S
            text = f"could not renew its login: {fault}"
            if text != self._fault:
                self._fault = text
                log.warning("upstream %s %s", self.name, text)
        finally:
            self._renewing = None

    def _tell_end(self) -> None:
        if self._login is not None and self._login.ended:
            log.warning("the login of %s cannot be renewed (%s): %s", self.name, self._login.ended, self.refusal()[1])
        else:
            log.debug("the login of %s was renewed", self.name)

    def _save(self, login: Login) -> bool:
        """Whether what was only in memory is on disk, or not needed any more."""
        try:
            with self._store.locked(self.name):
                if self._store.stamp(self.name) == self._stamp:
                    self._store.write(self.name, login)
        except ConfigError:
            return False
        return True


class Logins:
    """The logins of all upstreams that are reached by URL. `changed` is told the name of one that has changed."""

    def __init__(self, store: LoginStore, more: Iterable[str], changed: Callable[[str], None]) -> None:
        self._store = store
        self._more = tuple(more)
        self._changed = changed
        self._logins: list[UpstreamLogin] = []

    def of(self, spec: UpstreamSpec) -> UpstreamLogin | None:
        """The credentials for an upstream; None for one that takes none, or has its own in its headers."""
        if spec.kind != "http" or any(name.lower() == "authorization" for name in spec.headers):
            return None
        login = UpstreamLogin(self._store, spec, self._more)
        login.start()
        self._logins.append(login)
        return login

    async def follow(self) -> None:
        """Until cancelled: notice new logins, and renew each before it ends."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for login in self._logins:
                if await login.keep():
                    self._changed(login.name)

    async def close(self) -> None:
        for login in self._logins:
            await login.close()
