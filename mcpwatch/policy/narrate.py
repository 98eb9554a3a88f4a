"""The steps of a decision in words. Values of arguments are named only when somebody explains a call of their own."""

from __future__ import annotations

from typing import Any

from mcpwatch.policy.amounts import Exact, plain
from mcpwatch.policy.compiled import CompiledLimit, CompiledRule
from mcpwatch.policy.conditions import MISSING, Args, compile_path
from mcpwatch.policy.messages import condition_text, number_words, value_text
from mcpwatch.policy.values import Step


def looked_at(rule: CompiledRule, args: Args) -> str:
    """The conditions with the values they met: `args.amount gt 100 (is 500)`."""
    return (
        " and ".join(f"{condition_text(each)} ({_met(compile_path(each.path)(args))})" for each in rule.rule.conditions)
        or "always"
    )


def _met(value: Any) -> str:
    return "is missing" if value is MISSING else f"is {value_text(value)}"


def counted(limit: CompiledLimit, whose: str, used: Exact, amount: Exact) -> Step:
    """The step of a limit that has room."""
    return Step("limits", limit.id, "pass", f"{_use(limit, whose, used)}, {_shown(used + amount)} with this call")


def spent(limit: CompiledLimit, whose: str, used: Exact, amount: Exact) -> str:
    """Why a limit has no room."""
    return f"{_use(limit, whose, used)}, this call asks for {_shown(amount)}"


def bad_amount(limit: CompiledLimit) -> str:
    """Why a call cannot be counted."""
    return f"{limit.counter}: the amount is not a number of 0 or more"


def _shown(amount: Exact) -> str:
    return number_words(plain(amount))


def _use(limit: CompiledLimit, whose: str, used: Exact) -> str:
    scope = f"{limit.limit.scope} {whose}" if whose else limit.limit.scope
    return f"{limit.counter}: {_shown(used)} of {limit.max} used per {limit.limit.window.text} for {scope}"
