"""Numbers as a policy sees them: exact, whatever their size, and never a bool.

Floats stand for the decimal text they were written as (0.1 is one tenth), so that sums of amounts do not drift.
"""

from __future__ import annotations

import math
from fractions import Fraction

Exact = int | Fraction


def exact(number: int | float) -> Exact:
    """The number as written, without rounding. The caller has made sure that it is finite."""
    if type(number) is int:
        return number
    return int(number) if number == math.floor(number) else Fraction(repr(number))


def plain(number: Exact) -> int | float:
    """The number as JSON writes it: an int when it is whole, else the nearest float."""
    if type(number) is int:
        return number
    if number.denominator == 1:
        return number.numerator
    try:
        return float(number)
    except OverflowError:
        return int(number)


def number_text(number: int | float) -> str:
    """The text form that `eq` compares with texts: 100 and 100.0 are `100`, 2.5 is `2.5`."""
    if type(number) is float and number.is_integer():
        return str(int(number))
    return str(number)


def amount_of(value: object) -> Exact | None:
    """`value` as an amount to count: a finite number, 0 or more; None when it is anything else."""
    if type(value) is int:
        return value if value >= 0 else None
    if type(value) is float and value >= 0 and value != math.inf:
        return exact(value)
    return None
