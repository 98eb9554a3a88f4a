"""Constructors of the values that every call makes, at half the price.

A frozen dataclass sets each field through `object.__setattr__`; together that costs more than evaluating the rules.
These set the same fields through their slots; the values are the same in every respect.
"""

from __future__ import annotations

from typing import Any, Final, cast

from mcpwatch.policy.values import Charge, CounterKey, CounterState, Decision, Step

_new: Final = object.__new__


def _setters(cls: type) -> list[Any]:
    return [cls.__dict__[name].__set__ for name in cast(Any, cls).__slots__]


_key, _amount, _at_ms = _setters(Charge)


def charge(key: CounterKey, amount: int | float, at_ms: int) -> Charge:
    made = _new(Charge)
    _key(made, key)
    _amount(made, amount)
    _at_ms(made, at_ms)
    return made


_name, _scope, _value, _used, _max, _window, _window_ms, _resets_at_ms, _rule = _setters(CounterState)


def counter_state(
    name: str,
    scope: str,
    value: str,
    used: int | float,
    most: int,
    window: str,
    window_ms: int,
    resets_at_ms: int,
    rule: str,
) -> CounterState:
    made = _new(CounterState)
    _name(made, name)
    _scope(made, scope)
    _value(made, value)
    _used(made, used)
    _max(made, most)
    _window(made, window)
    _window_ms(made, window_ms)
    _resets_at_ms(made, resets_at_ms)
    _rule(made, rule)
    return made


(
    _verdict,
    _decided_by,
    _reason,
    _message,
    _policy,
    _charges,
    _counters,
    _steps,
    _would_deny,
    _retry_after_s,
    _hold_timeout_ms,
) = _setters(Decision)


def allowed(
    policy: str,
    reason: str,
    charges: tuple[Charge, ...],
    counters: tuple[CounterState, ...],
    steps: tuple[Step, ...],
    would_deny: str,
) -> Decision:
    """The decision that lets a call pass."""
    made = _new(Decision)
    _verdict(made, "allow")
    _decided_by(made, "")
    _reason(made, reason)
    _message(made, "")
    _policy(made, policy)
    _charges(made, charges)
    _counters(made, counters)
    _steps(made, steps)
    _would_deny(made, would_deny)
    _retry_after_s(made, None)
    _hold_timeout_ms(made, None)
    return made
