"""Counters: exact sums, windows, memory that stays bounded, clocks that jump."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from mcpwatch.policy.amounts import plain
from mcpwatch.policy.counters import KEPT_ENTRIES, MOST_ENTRIES, Counter, Counters, Ledger, entries
from mcpwatch.policy.values import Charge
from tests.policy.build import DAY_MS, HOUR_MS, MINUTE_MS, NOON_MS

KEY = ("r", "grant:ann", MINUTE_MS)


def test_a_ledger_sums_what_was_added_from_a_moment_on() -> None:
    random = Random(7)
    ledger, added = Ledger(), list[tuple[int, int]]()
    for _ in range(500):
        at_ms, amount = random.randrange(100), random.randrange(5)
        ledger.add(at_ms, amount)
        added.append((at_ms, amount))
        if random.random() < 0.2:
            gone = added.pop(random.randrange(len(added)))
            ledger.take_back(*gone)
        since = random.randrange(-5, 110)
        assert ledger.since(since) == sum(amount for at_ms, amount in added if at_ms >= since)


def test_dropping_what_expired_changes_no_sum_that_is_still_asked_for() -> None:
    ledger = Ledger()
    for at_ms in range(100):
        ledger.add(at_ms, 1)
    ledger.drop_expired(90, keep=5)
    assert ledger.times == list(range(90, 100))
    assert [ledger.since(at_ms) for at_ms in (80, 90, 95, 100)] == [10, 10, 5, 0]
    ledger.drop_expired(90, keep=5)
    assert len(ledger.times) == 10
    ledger.drop_expired(1_000, keep=5)
    assert ledger.times == [95, 96, 97, 98, 99]
    ledger.add(50, 2)
    assert ledger.since(0) == 7


def test_joined_entries_count_as_late_as_the_latest_of_them() -> None:
    ledger = Ledger()
    for at_ms in range(10):
        ledger.add(at_ms, 1)
    ledger.join_oldest(4)
    assert list(entries(ledger)) == [(6, 7), (7, 1), (8, 1), (9, 1)]
    ledger.join_oldest(4)
    assert ledger.since(6) == 10


def test_taking_back_what_is_gone_changes_nothing() -> None:
    ledger = Ledger()
    ledger.add(5, 2)
    ledger.take_back(4, 2)
    ledger.take_back(6, 2)
    assert ledger.since(0) == 2
    ledger.take_back(5, 9)
    assert ledger.since(0) == 0


def test_amounts_are_never_rounded() -> None:
    counters = Counters()
    for amount in (Fraction(1, 10), 10**400, Fraction(1, 10), Fraction(1, 10)):
        counters.charge(KEY, amount, NOON_MS)
    assert counters.look(KEY, False, NOON_MS)[0] == 10**400 + Fraction(3, 10)


def test_an_amount_is_written_as_an_integer_when_it_is_whole_or_beyond_any_float() -> None:
    assert [plain(amount) for amount in (3, Fraction(6, 2), Fraction(5, 2))] == [3, 3, 2.5]
    assert plain(10**400 + Fraction(1, 2)) == 10**400


@pytest.mark.parametrize("window_ms", [1_000, 7_000, MINUTE_MS, HOUR_MS, DAY_MS])
def test_a_fixed_window_begins_at_whole_multiples_of_its_length(window_ms: int) -> None:
    counters, key = Counters(), ("r", "global", window_ms)
    start = NOON_MS - NOON_MS % window_ms
    counters.charge(key, 1, start + window_ms - 1)
    assert counters.look(key, False, start) == (1, start + window_ms)
    assert counters.look(key, False, start + window_ms) == (0, start + 2 * window_ms)
    assert counters.look(("s", "global", window_ms), False, start + 5) == (0, start + window_ms)


def test_a_sliding_window_counts_less_than_one_length_to_the_millisecond() -> None:
    counters = Counters()
    counters.watch([("r", MINUTE_MS)])
    counters.charge(KEY, 1, NOON_MS)
    assert counters.look(KEY, True, NOON_MS + MINUTE_MS - 1) == (1, NOON_MS + MINUTE_MS)
    assert counters.look(KEY, True, NOON_MS + MINUTE_MS) == (0, NOON_MS + 2 * MINUTE_MS)
    assert counters.look(("s", "global", MINUTE_MS), True, NOON_MS) == (0, NOON_MS + MINUTE_MS)


def test_when_enough_expires_is_told() -> None:
    counters = Counters()
    counters.watch([("r", MINUTE_MS)])
    for second in (0, 10, 20):
        counters.charge(KEY, 2, NOON_MS + second * 1_000)
    now_ms = NOON_MS + 30_000
    assert [counters.free_at(KEY, True, now_ms, surplus) - NOON_MS for surplus in (1, 2, 3, 6)] == [
        60_000,
        60_000,
        70_000,
        80_000,
    ]
    assert counters.free_at(KEY, True, now_ms, 7) == now_ms + MINUTE_MS
    assert counters.free_at(KEY, False, now_ms, 1) == NOON_MS + MINUTE_MS
    assert counters.free_at(("s", "global", MINUTE_MS), True, now_ms, 1) == now_ms + MINUTE_MS


def test_a_log_that_is_not_watched_is_dropped_and_made_again_on_the_safe_side() -> None:
    counters = Counters()
    counters.restore([Charge(KEY, 2, NOON_MS + 10_000)])
    counters.watch([])
    counters.charge(KEY, 1, NOON_MS + 20_000)
    assert counters.look(KEY, True, NOON_MS + 119_998)[0] == 3
    assert counters.look(KEY, True, NOON_MS + 119_999)[0] == 0


def test_restored_charges_are_exact_before_any_policy_is_known() -> None:
    counters = Counters()
    counters.restore([Charge(KEY, 2, NOON_MS + 10_000), Charge(KEY, 0.5, NOON_MS + 20_000)])
    counters.watch([("r", MINUTE_MS)])
    assert counters.look(KEY, True, NOON_MS + 69_999)[0] == Fraction(5, 2)
    assert counters.look(KEY, True, NOON_MS + 70_000)[0] == Fraction(1, 2)


def test_a_sliding_window_begins_to_empty_with_its_first_charge_however_small() -> None:
    counters = Counters()
    counters.charge(KEY, Fraction(1, 2), NOON_MS)
    counters.charge(KEY, 1, NOON_MS + 500)
    assert counters.look(KEY, True, NOON_MS + 900) == (Fraction(3, 2), NOON_MS + MINUTE_MS)
    assert counters.look(KEY, True, NOON_MS + MINUTE_MS) == (1, NOON_MS + 500 + MINUTE_MS)


def test_a_sliding_window_counts_to_the_millisecond_while_old_charges_are_forgotten() -> None:
    window_ms, key = 66, ("r", "global", 66)
    counters = Counters()
    counters.watch([("r", window_ms)])
    for ms in range(400):
        counters.charge(key, 1, NOON_MS + ms)
        assert counters.look(key, True, NOON_MS + ms)[0] == min(ms + 1, window_ms)


def test_a_ledger_without_entries_holds_nothing() -> None:
    assert Ledger().since(0) == 0
    assert Ledger().freed_at(0, 0) is None


def test_refunds_reach_windows_and_logs_and_ignore_what_is_unknown() -> None:
    counters = Counters()
    counters.watch([("r", MINUTE_MS)])
    charge = Charge(KEY, 2, NOON_MS)
    counters.charge(KEY, 2, NOON_MS)
    counters.refund([charge, Charge(("s", "global", MINUTE_MS), 1, NOON_MS)])
    assert counters.look(KEY, True, NOON_MS)[0] == counters.look(KEY, False, NOON_MS)[0] == 0


def test_a_counter_stays_small_however_long_it_is_used() -> None:
    counter = Counter(1_000)
    counter.log = Ledger()
    for second in range(10_000):
        counter.add(1, NOON_MS + second * 1_000)
    assert len(counter.windows.times) <= 2 * KEPT_ENTRIES + 1
    assert len(counter.log.times) <= 2 * KEPT_ENTRIES + 1


def test_a_sliding_log_stays_bounded_within_its_window() -> None:
    counter = Counter(DAY_MS)
    log = counter.log = Ledger()
    for ms in range(2 * MOST_ENTRIES):
        counter.add(1, NOON_MS + ms)
    assert log.since(NOON_MS + 5) == 2 * MOST_ENTRIES - 5
    for ms in range(10):
        counter.add(1, NOON_MS + 2 * MOST_ENTRIES + ms)
    assert len(log.times) <= 2 * MOST_ENTRIES
    assert log.since(NOON_MS) == 2 * MOST_ENTRIES + 10


def test_counters_that_are_over_are_dropped_when_there_are_many() -> None:
    counters = Counters()
    for number in range(20_000):
        counters.charge(("r", f"args:{number}", 1_000), 1, NOON_MS + number * 10)
    assert len(counters) < 10_000
    assert counters.look(("r", "args:19999", 1_000), False, NOON_MS + 199_990)[0] == 1


def test_too_many_live_counters_are_refused_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcpwatch.policy.counters.MOST_COUNTERS", 10)
    monkeypatch.setattr("mcpwatch.policy.counters.FIRST_SWEEP", 10)
    counters = Counters()
    for number in range(10):
        counters.charge(("r", f"args:{number}", MINUTE_MS), 1, NOON_MS)
    for _ in range(2):
        with pytest.raises(OverflowError, match="more than 10 live counters"):
            counters.charge(("r", "args:x", MINUTE_MS), 1, NOON_MS)
    counters.charge(("r", "args:0", MINUTE_MS), 1, NOON_MS)
    counters.charge(("r", "args:x", MINUTE_MS), 1, NOON_MS + 2 * MINUTE_MS)
    assert counters.newest(5) == [("r", "args:x", MINUTE_MS)]


def test_of_many_counters_the_newest_are_listed() -> None:
    counters = Counters()
    for number in range(10):
        counters.charge(("r", f"args:{number}", MINUTE_MS), 1, NOON_MS)
    assert [key[1] for key in counters.newest(3)] == ["args:7", "args:8", "args:9"]
