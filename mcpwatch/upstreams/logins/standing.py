"""How a login stands, in words for people and as JSON for programs. Never shows a token."""

from __future__ import annotations

from datetime import UTC, datetime

from mcpwatch.upstreams.logins.record import Login


def standing(login: Login, now_ms: int) -> str:
    """Until when, and what happens then."""
    if login.ended:
        return f"login ended ({login.ended}): log in again"
    if not login.expires_at_ms:
        return "logged in"
    if login.is_over(now_ms):
        return "logged in, renewed at the next use" if login.renews else "login expired: log in again"
    until = f"logged in until {_moment(login.expires_at_ms):%Y-%m-%d %H:%M} UTC"
    return f"{until}, renews itself" if login.renews else until


def standing_json(login: Login, now_ms: int) -> dict[str, object]:
    """`state`: valid | expired | ended; `expires_at`: RFC 3339, null when the server did not say."""
    return {
        "url": login.url.partition("?")[0],
        "state": "ended" if login.ended else "expired" if login.is_over(now_ms) else "valid",
        "expires_at": f"{_moment(login.expires_at_ms):%Y-%m-%dT%H:%M:%S}.000Z" if login.expires_at_ms else None,
        "renews": login.renews,
    }


def _moment(at_ms: int) -> datetime:
    # A server may promise an age that no calendar has.
    return datetime.fromtimestamp(min(at_ms // 1000, 253_402_300_799), UTC)
