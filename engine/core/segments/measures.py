"""Counts, sums, averages and extremes of events in columns, in whole numbers and so exact."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

from engine.core.conditions import ConditionError
from engine.core.conditions.values import number
from engine.core.facts_view import seen
from engine.core.segments.slide import Bools, Extremes, Ints, Test, runs_of
from engine.model.journey import Condition
from engine.model.segment import Measure, Span

#: Decimals that are kept, and how large a number may be: the product of a few thousand of the
#: largest and smallest still fits.
_DECIMALS = 6
_LARGE = 2**50
_HUGE = 2**62


def whole_numbers(
    value: Condition, span: Span, kinds: Sequence[dict[str, Any]], keep: Bools, odd: Bools
) -> tuple[Ints, int]:
    """What each kind of event is worth, as a multiple of a power of ten, and that power. Those
    worth nothing are taken out of ``keep``; what does not fit is ``odd``."""
    found: list[Decimal | int | None] = [None] * len(kinds)
    for place in np.flatnonzero(keep).tolist():
        try:
            found[place] = number(value.test({"event": seen(kinds[place])}))
        except ConditionError:
            pass
        except Exception:  # a fault: left to who reports faults
            odd[place] = True
    bounds = [end for end in (span.low, span.high) if end is not None]
    scale = max([0, *(_decimals(one) for one in [*found, *bounds] if one is not None)])
    scale = min(scale, _DECIMALS)
    numbers = np.zeros(len(kinds), np.int64)
    for place, one in enumerate(found):
        if one is None:
            keep[place] = False
            continue
        exact = Fraction(one) * 10**scale
        if exact.denominator != 1 or abs(exact) >= _LARGE:
            keep[place], odd[place] = False, True
        else:
            numbers[place] = int(exact)
    return numbers, scale


def _decimals(one: Decimal | int) -> int:
    if isinstance(one, int):
        return 0
    exponent = one.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def tester(measure: Measure, span: Span, values: Ints, scale: int, who: Ints) -> Test | None:
    """What a rule asks of the events in its window; None where whole numbers cannot tell."""
    if measure == "times":
        low, high = _ends(span, 0)
        return lambda first, end: (end - first >= low) & (end - first <= high)
    begins = runs_of(who)
    longest = int(np.diff(np.append(begins, len(who))).max())
    if int(np.abs(values).max()) * longest >= _HUGE:
        return None
    low, high = _ends(span, scale)
    if measure in ("smallest", "largest"):
        extremes = Extremes(values, longest, measure == "largest")

        def extreme(first: Ints, end: Ints) -> Bools:
            found = extremes.of(first, end)
            return (end > first) & (found >= low) & (found <= high)

        return extreme
    # May go round, but differences do not.
    sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(values)))
    if measure == "sum":

        def total(first: Ints, end: Ints) -> Bools:
            found = sums[end] - sums[first]
            return (found >= low) & (found <= high)

        return total
    return _average(span, sums, scale, longest)


def _average(span: Span, sums: Ints, scale: int, longest: int) -> Test | None:
    ends = [None if end is None else Fraction(end) * 10**scale for end in (span.low, span.high)]
    if any(end.denominator != 1 or abs(end) * longest >= _HUGE for end in ends if end is not None):
        return None
    low, high = [None if end is None else int(end) for end in ends]

    def average(first: Ints, end: Ints) -> Bools:
        count = end - first
        found = sums[end] - sums[first]
        holds: Bools = count > 0
        if low is not None:
            holds &= (found > low * count) if span.low_open else (found >= low * count)
        if high is not None:
            holds &= (found < high * count) if span.high_open else (found <= high * count)
        return holds

    return average


def _ends(span: Span, scale: int) -> tuple[int, int]:
    """The smallest and the largest whole number, in units of that power of ten, that lie in it."""
    low, high = -_HUGE, _HUGE
    if span.low is not None:
        exact = Fraction(span.low) * 10**scale
        low = ceil(exact) + (span.low_open and exact.denominator == 1)
    if span.high is not None:
        exact = Fraction(span.high) * 10**scale
        high = floor(exact) - (span.high_open and exact.denominator == 1)
    return max(-_HUGE, min(low, _HUGE)), max(-_HUGE, min(high, _HUGE))
