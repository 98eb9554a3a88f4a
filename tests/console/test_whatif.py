"""What a draft would have done to the calls that are known."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwatch.console.whatif import in_words, what_if
from mcpwatch.policy.values import PolicyError
from tests.console.hostile import ALL
from tests.console.policydesk import call, policy

LIMIT: dict[str, Any] = {"counter": "rate", "window": "hour", "max": 3}


def test_nothing_recorded_and_nothing_changed_are_said() -> None:
    text = policy({"t": {}})
    assert what_if(text, text, []).summary == "No recorded call to try it on yet."
    assert what_if(text, text, [call(1, "t")]).summary == "None of the last call would have been decided otherwise."
    two = what_if(text, text, [call(1, "t"), call(2, "t")])
    assert (two.summary, two.flips) == ("None of the last 2 calls would have been decided otherwise.", ())


def test_flips_are_counted_by_kind_most_first() -> None:
    rows = [*(call(seq, "a") for seq in range(1, 4)), call(4, "b"), call(5, "c", "deny", rule="(default deny)")]
    found = what_if(policy({"a": {}, "b": {}}), policy({"c": {}}), rows)
    assert found.summary == "5 of the last 5 calls flip: 4 allow → deny, 1 deny → allow."
    assert found.flips[0] == "3 × a  allow → deny  (default deny)"
    assert len(found.flips) == 3


def test_flips_that_the_present_policy_shows_on_the_same_records_are_left_out() -> None:
    """The counter was full before the first record; here it begins at zero, under either policy."""
    now = policy({"t": {"limits": [LIMIT]}, "u": {}})
    rule = "/tools/t/limits/rate"
    rows = [*(call(seq, "t", "deny", rule=rule) for seq in range(1, 3)), call(3, "u")]
    assert what_if(now, now, rows).summary.startswith("None of the last 3 calls")
    draft = policy({"t": {"limits": [LIMIT]}, "u": {"deny_if": [{"conditions": []}]}})
    found = what_if(now, draft, rows)
    assert found.summary == "1 of the last 3 calls flip: 1 allow → deny."


def test_a_lower_limit_flips_the_calls_above_it() -> None:
    rows = [call(seq, "t") for seq in range(1, 6)]
    found = what_if(policy({"t": {}}), policy({"t": {"limits": [LIMIT]}}), rows)
    assert found.flips == ("2 × t  allow → deny  /tools/t/limits/rate",)


def test_a_present_policy_that_is_broken_hides_nothing() -> None:
    assert what_if("{", policy({}), [call(1, "t")]).summary.startswith("1 of the last call")


@pytest.mark.parametrize("text", ["", "{", "\ud800", ALL])
def test_a_draft_that_cannot_be_in_force_is_refused_with_its_fault(text: str) -> None:
    with pytest.raises(PolicyError):
        what_if(policy({}), text, [])
    assert in_words(policy({}), text) == []
    assert in_words(text, policy({})) == []


def test_a_change_is_told_in_words() -> None:
    words = in_words(policy({"t": {}}), policy({"t": {"limits": [LIMIT]}}))
    assert any("3 an hour" in line for line in words)
    assert in_words(policy({"t": {}}), policy({"t": {}})) == []
