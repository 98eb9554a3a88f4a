"""Limits whose counters live elsewhere: what is to be asked there, and the decision once the answer is here.

Whoever keeps the counters answers all demands of one call in one step: it looks, and charges all of them or none. What
it says then goes through the same page as counters in memory (`decide.limits`), so that both decide and word alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from mcpwatch.policy.amounts import Exact
from mcpwatch.policy.decide import Case, limits
from mcpwatch.policy.messages import COUNTERS, INTERNAL, denied_by
from mcpwatch.policy.values import Charge, CounterKey, Decision

_TRY_LATER: Final = (
    "The counters of this tool's limits cannot be reached, so the call is not let through. Try again later."
)


@dataclass(frozen=True, slots=True)
class Demand:
    """What one limit asks of its counter. `amount` is None when what the call counts is no amount."""

    key: CounterKey
    sliding: bool
    amount: Exact | None
    max: int
    observing: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What the counters said at `now_ms` of their own clock (ms since 1970), before anything was charged.

    `fits`: every limit that is enforced had room, and unless it was only asked, all counters were charged.
    `found`: by counter and algorithm what is used, and when the first of it expires. `free_at_ms`: when the first limit
    without room will have enough. `crowded`: there are too many live counters for one more; nothing was charged.
    """

    now_ms: int
    fits: bool
    found: Mapping[tuple[CounterKey, bool], tuple[Exact, int]]
    free_at_ms: int | None = None
    crowded: bool = False

    def look(self, key: CounterKey, sliding: bool, now_ms: int) -> tuple[Exact, int]:
        """See `decide.Uses`; the time is the answer's own."""
        return self.found[key, sliding]

    def free_at(self, key: CounterKey, sliding: bool, now_ms: int, surplus: Exact) -> int:
        """See `decide.Uses`; it is only asked of the limit that decides."""
        return self.found[key, sliding][1] if self.free_at_ms is None else self.free_at_ms


class SharedCounters(Protocol):
    """The counters of one upstream, kept where several gateways see them."""

    def watch(self, sliding: Iterable[tuple[str, int]]) -> None:
        """Say which counters (name, window in ms) must be kept to the millisecond from now on."""
        ...

    def refund(self, charges: Iterable[Charge]) -> None:
        """Take back the charges of a call that could not be sent at all. Does not wait, and may fail in silence."""
        ...

    async def ask(self, demands: tuple[Demand, ...], counted: tuple[Charge, ...] = ()) -> Answer:
        """Look at all demands and charge them, or none when one that is enforced has no room.

        `counted`: the call was charged this before. It is judged with that taken back, and charged nothing more.
        Raises CountersError when no answer came in time; then nothing is charged as far as anybody can tell.
        """
        ...


class Pending:
    """A call that everything but its limits has let pass. Concluded once."""

    __slots__ = ("_case", "demands")

    def __init__(self, case: Case) -> None:
        self._case = case
        self.demands = tuple(
            Demand(
                (limit.counter, limit.scope_of(case.call.caller, case.args), limit.window_ms),
                limit.sliding,
                limit.amount(case.args),
                limit.max,
                limit.observing,
            )
            for limit in case.plan.rules.limits
        )

    def conclude(self, answer: Answer) -> Decision:
        """The decision. Never raises: an answer that does not hang together denies with `/internal`."""
        try:
            if answer.crowded:
                raise OverflowError
            decision = limits(self._case, answer, answer.now_ms)
            if (decision.verdict == "allow") != answer.fits:
                raise ArithmeticError
        except Exception as error:
            return self._refuse(INTERNAL, f"the evaluation failed ({type(error).__name__})", denied_by(INTERNAL))
        return decision

    def unasked(self) -> Decision:
        """What stands until the counters have been asked, so that a call which nobody asks them for is refused."""
        return Decision("deny", COUNTERS, "the counters were not asked", _TRY_LATER, self._case.policy.digest)

    def unanswered(self, reason: str) -> Decision:
        """The decision without an answer: only limits that observe let the call pass, uncounted and with a note."""
        if any(not demand.observing for demand in self.demands):
            return self._refuse(COUNTERS, reason, _TRY_LATER)
        case = self._case
        case.note("limits", COUNTERS, reason)
        return Decision(
            "allow", "", f"observed only: {case.would_deny}", "", case.policy.digest,
            steps=tuple(case.steps), would_deny=case.would_deny,
        )  # fmt: skip

    def _refuse(self, rule: str, reason: str, message: str) -> Decision:
        return self._case.refuse("limits", rule, reason, message)
