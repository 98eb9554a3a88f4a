"""Exact amounts as decimal texts and back. Every amount was written in decimal, so that every one has such a text."""

from __future__ import annotations

from fractions import Fraction

from mcpwatch.policy.amounts import Exact


def decimal_text(amount: Exact) -> str:
    """`12`, `0.1`; all its digits. Raises ValueError for what has none that end, or more than Python writes."""
    if isinstance(amount, int):
        return str(amount)
    places = _places(amount.denominator)
    digits = str(amount.numerator * 10**places // amount.denominator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def from_decimal(text: str) -> Exact:
    """Raises ValueError for other texts."""
    if text.isascii() and text.isdigit():
        return int(text)
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return Fraction(text)
    raise ValueError("not an amount")


def _places(denominator: int) -> int:
    """How many digits behind the point are needed for 1/denominator."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        raise ValueError("not a decimal number")
    return max(twos, fives)
