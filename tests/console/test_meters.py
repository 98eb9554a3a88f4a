"""Figures over time, without a clock."""

from __future__ import annotations

from mcpwatch.console.meters import Latencies, Meter, Meters, Series

AT = 1_000_000_000_000


def meter(**changes: object) -> Meter:
    made = Meter("eks", "rate", "grant", "a", "minute", 60_000, 10)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_a_series_forgets_what_is_older_than_its_length() -> None:
    series = Series(10)
    series.add(AT)
    series.add(AT + 3000, 2)
    assert series.last(AT + 3000, 4) == [1, 0, 0, 2]
    series.add(AT + 12_000)
    assert sum(series.last(AT + 12_000, 10)) == 3
    assert series.last(AT + 60_000, 10) == [0] * 10


def test_what_comes_late_is_put_where_it_belongs() -> None:
    series = Series(10)
    series.add(AT + 5000)
    series.add(AT)
    series.add(AT - 60_000)
    assert series.last(AT + 5000, 6) == [1, 0, 0, 0, 0, 1]


def test_bars_sum_whole_spans_and_the_newest_ends_now() -> None:
    series = Series(60)
    for second in range(10):
        series.add(AT + second * 1000)
    assert series.bars(AT + 9000, 2, 5) == [5, 5]


def test_the_rate_is_over_complete_seconds() -> None:
    series = Series(60)
    for _ in range(10):
        series.add(AT)
    assert series.rate(AT, 5) == 0
    assert series.rate(AT + 1000, 5) == 2


def test_percentiles_are_of_the_last_minute_only() -> None:
    times = Latencies()
    assert times.percentile(AT, 0.5) is None
    times.add(AT - 61_000, 9000)
    for value in range(1, 101):
        times.add(AT, value)
    assert times.percentile(AT, 0.5) == 51
    assert times.percentile(AT, 0.95) == 96


def test_a_limit_in_use_says_when_it_will_be_full() -> None:
    used = meter(resets_at_ms=AT + 120_000)
    for second in range(4):
        used.observe(second + 1, AT + second * 1000, AT + 120_000, "a")
    assert used.exhausted_in_ms(AT + 4000) == 30_000


def test_a_limit_that_resets_first_or_is_hardly_used_makes_no_prediction() -> None:
    slow = meter()
    slow.observe(1, AT, AT + 60_000, "a")
    assert slow.exhausted_in_ms(AT + 2000) is None
    soon = meter()
    for count in range(1, 5):
        soon.observe(count, AT, AT + 3000, "a")
    assert soon.exhausted_in_ms(AT + 1000) is None


def test_a_full_limit_is_exhausted_now_and_empty_when_its_window_ends() -> None:
    full = meter(refused=3)
    full.observe(10, AT, AT + 5000, "a")
    assert (full.full, full.share, full.exhausted_in_ms(AT)) == (True, 1.0, 0)
    full.expire(AT + 5000)
    assert (full.used, full.refused, full.who, full.full) == (0, 0, [], False)


def test_a_new_window_starts_from_nothing() -> None:
    used = meter()
    used.observe(9, AT, AT + 60_000, "a")
    used.observe(2, AT + 60_000, AT + 120_000, "b")
    assert (used.used, used.who) == (2, [("b", 2)])


def test_a_limit_of_zero_is_always_full() -> None:
    never = meter(max=0)
    assert (never.full, never.share) == (True, 1.0)


def test_the_tool_of_a_limit_is_read_from_its_rule() -> None:
    assert meter(rule="/tools/a~1b~0c/limits/rate").tool == "a/b~c"
    assert meter(rule="/all_tools/limits/rate").tool == ""


def test_an_unused_limit_of_the_policy_gives_way_to_the_counter_in_use() -> None:
    meters = Meters()
    meters.declare("eks", [meter(value="")])
    assert [(m.live, m.used) for m in meters.nearest(AT)] == [(False, 0)]
    counter = {"name": "rate", "scope": "grant", "value": "a", "used": 1, "max": 10, "window": "minute"}
    meters.observe(counter | {"resets_at_ms": AT + 60_000}, "eks", AT, "a")
    assert [(m.live, m.used) for m in meters.nearest(AT)] == [(True, 1)]
    meters.declare("eks", [])
    assert len(meters) == 1
