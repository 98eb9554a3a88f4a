"""Constructors of the values that every call makes, at a quarter of the price.

A frozen dataclass sets each field through `object.__setattr__`; together that costs more than evaluating the rules.
These fill an object of a plain class with the same slots and then make it one of the frozen class; the values are the
same in every respect.
"""

from __future__ import annotations

from typing import Any, Final, cast

from mcpwatch.policy.values import Charge, CounterKey, CounterState, Decision, Step


def writable(cls: type) -> Any:
    """A class with the slots of `cls` and nothing else. Its objects may become objects of `cls`."""
    return type("_" + cls.__name__, (), {"__slots__": cast(Any, cls).__slots__})


_Charge: Final = writable(Charge)
_CounterState: Final = writable(CounterState)
_Decision: Final = writable(Decision)


def charge(key: CounterKey, amount: int | float, at_ms: int) -> Charge:
    made = _Charge()
    made.key = key
    made.amount = amount
    made.at_ms = at_ms
    made.__class__ = Charge
    return made


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
    made = _CounterState()
    made.name = name
    made.scope = scope
    made.value = value
    made.used = used
    made.max = most
    made.window = window
    made.window_ms = window_ms
    made.resets_at_ms = resets_at_ms
    made.rule = rule
    made.__class__ = CounterState
    return made


def allowed(
    policy: str,
    reason: str,
    charges: tuple[Charge, ...],
    counters: tuple[CounterState, ...],
    steps: tuple[Step, ...],
    would_deny: str,
) -> Decision:
    """The decision that lets a call pass."""
    made = _Decision()
    made.verdict = "allow"
    made.rule = ""
    made.reason = reason
    made.message = ""
    made.policy = policy
    made.charges = charges
    made.counters = counters
    made.steps = steps
    made.would_deny = would_deny
    made.retry_after_s = None
    made.hold_timeout_ms = None
    made.__class__ = Decision
    return made
