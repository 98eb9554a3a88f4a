"""Where counters are: what is accepted, and what is never shown. And numbers as texts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwatch.counters.decimals import decimal_text, from_decimal
from mcpwatch.counters.place import client_options, redis_place
from mcpwatch.errors import ConfigError
from mcpwatch.policy.amounts import exact


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://kim:hunter2@h:7000/3", "redis://h:7000/3"),
        ("rediss://:hunter2@[::1]:1/0?ssl_ca_certs=/ca.pem", "rediss://[::1]:1/0"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_user_password_and_options(url: str, shown: str) -> None:
    place = redis_place(url, {})
    assert place.shown == shown
    assert "hunter2" not in repr(place)
    assert place.hide("AUTH hunter2 refused") == ("AUTH *** refused" if "hunter2" in url else "AUTH hunter2 refused")


def test_the_password_may_come_from_the_environment() -> None:
    environ = {"MCPWATCH_REDIS_PASSWORD": "from outside"}
    assert client_options(redis_place("redis://h", environ))["password"] == "from outside"
    assert client_options(redis_place("redis://:own@h", environ))["password"] == "own"
    assert client_options(redis_place("redis://h", {}))["password"] is None


@pytest.mark.parametrize(
    "url",
    [
        "redis:", "redis://", "http://h:hunter2", "redis://h:hunter2", "redis://h:99999", "redis://h/hunter2", "unix://x/y",
        "unix:relative", "hunter2", "redis://h?decode_responses=1", "redis://:hunter2@h?socket_timeout=9", "MEMORY:",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        redis_place(url, {})
    assert caught.value.remedy
    assert "hunter2" not in caught.value.message + caught.value.remedy


@given(st.one_of(st.integers(min_value=0), st.floats(min_value=0, allow_nan=False, allow_infinity=False)))
def test_every_amount_has_a_decimal_text_that_means_the_same(number: int | float) -> None:
    amount = exact(number)
    assert from_decimal(decimal_text(amount)) == amount


@given(st.lists(st.floats(min_value=0, max_value=1e20), min_size=2, max_size=4))
def test_sums_have_one_too(numbers: list[float]) -> None:
    total = sum(map(exact, numbers))
    assert from_decimal(decimal_text(total)) == total


@pytest.mark.parametrize("text", ["", "-1", "1e5", "½", "1.2.3", "0x1", " 1", "nan", "."])
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_decimal(text)


def test_what_does_not_end_has_no_text() -> None:
    with pytest.raises(ValueError):
        decimal_text(Fraction(1, 3))
