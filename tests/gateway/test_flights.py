"""Requests under way: each ends early for the first reason there was, and is told the right one."""

from __future__ import annotations

import asyncio

import pytest

from mcpwatch.gateway import flights
from mcpwatch.gateway.flights import Flight, Flights, GivenUp

WITHIN_S = 5.0


class Caller:
    """The connection of a caller who stays until `left`."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def gone(self) -> None:
        await self.left.wait()


async def why(flight: Flight) -> str:
    """Wait for an answer that never comes."""
    try:
        with flight:
            await asyncio.wait_for(asyncio.Event().wait(), WITHIN_S)
    except GivenUp as given_up:
        return given_up.why
    finally:
        flight.close()
    raise AssertionError


@pytest.mark.parametrize("quick_s", [0.0, 0.02], ids=["taken back late", "taken back at once"])
async def test_a_request_that_was_taken_back_ends_as_cancelled(monkeypatch: pytest.MonkeyPatch, quick_s: float) -> None:
    monkeypatch.setattr(flights, "_QUICK_S", quick_s)
    monkeypatch.setattr(flights, "_CANCEL_GRACE_S", 0.05)
    flight = Flights().open(Caller(), grant="g", timeout_s=60)
    asyncio.get_running_loop().call_later(0.01, flight.cancel)
    assert await why(flight) == "cancelled"


async def test_what_still_comes_does_not_keep_a_request_that_was_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "_CANCEL_GRACE_S", 0.02)
    flight = Flights().open(Caller(), grant="g", timeout_s=60)
    flight.cancel()
    flight.touch()
    assert await why(flight) == "cancelled"


async def test_a_request_that_takes_too_long_ends_as_late_and_an_event_gives_it_new_time() -> None:
    loop, began_s = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    flight = Flights().open(Caller(), grant="g", timeout_s=0.2)
    loop.call_later(0.1, flight.touch)
    assert await why(flight) == "timeout"
    assert loop.time() >= began_s + 0.3


async def test_a_request_whose_caller_leaves_ends_for_that() -> None:
    caller = Caller()
    flight = Flights().open(caller, grant="g", timeout_s=60)
    caller.left.set()
    assert await why(flight) == "client_gone"
