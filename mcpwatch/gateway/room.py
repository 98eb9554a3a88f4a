"""Memory that requests under way may hold together, so that no caller's large messages take it from the others."""

from __future__ import annotations

_SHARES = 4


class Room:
    """`most` bytes for all, a quarter of it for each grant. What is taken must be given back."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._by_grant: dict[str, int] = {}

    @property
    def taken(self) -> int:
        return self._taken

    def take(self, grant: str, size: int) -> bool:
        """Whether there was room for `size` more bytes of this grant; then they are taken."""
        own = self._by_grant.get(grant, 0) + size
        if self._taken + size > self._most or own > self._most // _SHARES:
            return False
        self._taken += size
        self._by_grant[grant] = own
        return True

    def give(self, grant: str, size: int) -> None:
        """Give back what was taken."""
        self._taken -= size
        own = self._by_grant.get(grant, 0) - size
        if own:
            self._by_grant[grant] = own
        else:
            self._by_grant.pop(grant, None)
