"""A window that slides along with time, for many shoppers at once: ``windows.walk`` in columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Microseconds that stand for "never".
NEVER = int(np.iinfo(np.int64).max)

#: Asked about the events ``[first, end)`` of each of some shoppers, by place in the columns.
Test = Callable[[Ints, Ints], Bools]


def runs_of(sorted_values: NDArray[Any]) -> Ints:
    """Where each run of equal values begins."""
    if not len(sorted_values):
        return np.zeros(0, np.int64)
    begins = np.flatnonzero(sorted_values[1:] != sorted_values[:-1]) + 1
    return np.concatenate(([0], begins)).astype(np.int64, copy=False)


def slide(
    who: Ints, times: Ints, within: int | None, ago: int, at: int, test: Test
) -> tuple[Ints, Bools, Ints]:
    """For each shopper with events: who it is, what ``test`` says at ``at``, and from when on it
    says otherwise. ``who`` and ``times`` are in order, all in microseconds; events that have left
    the window by ``at`` are not among them."""
    begins = runs_of(who)
    ends = np.append(begins[1:], len(who))
    entered = (times + ago) <= at
    # Counted by shopper: those who have come are before those who have not.
    come = np.add.reduceat(entered, begins, dtype=np.int64) if len(begins) else begins
    value = test(begins, begins + come)
    until = np.full(len(begins), NEVER, np.int64)
    group = np.repeat(np.arange(len(begins)), ends - begins)
    waiting = come < ends - begins
    if within is not None and not waiting.all():
        _leaving(group, times, within, waiting, ends, value, until, test)
    if waiting.any():
        _coming(group, times, within, ago, at, waiting, (begins, come), value, until, test)
    return who[begins], value, until


def _leaving(
    group: Ints,
    times: Ints,
    within: int,
    waiting: Bools,
    ends: Ints,
    value: Bools,
    until: Ints,
    test: Test,
) -> None:
    """All have come: one after the other leaves, and the rest of them is asked about."""
    places = np.arange(len(times), dtype=np.int64)
    last = _last_of_ties(group, times)  # all that leave at one moment leave together
    if waiting.any():
        last &= ~waiting[group]
    places, group = places[last], group[last]
    differs = test(places + 1, ends[group]) != value[group]
    _first(group[differs], times[places[differs]] + (within + 1), until)


def _coming(
    group: Ints,
    times: Ints,
    within: int | None,
    ago: int,
    at: int,
    waiting: Bools,
    now: tuple[Ints, Ints],
    value: Bools,
    until: Ints,
    test: Test,
) -> None:
    """Some are known already and come in their time, while others leave."""
    asked = waiting[group]
    group, times = group[asked], times[asked]
    comes = times + ago > at
    groups, moments = [group[comes]], [times[comes] + ago]
    if within is not None:
        groups.append(group)
        moments.append(times + (within + 1))
    who, when = np.concatenate(groups), np.concatenate(moments)
    entering = np.arange(len(who)) < len(groups[0])
    order = np.lexsort((when, who))
    who, when, entering = who[order], when[order], entering[order]
    starts = runs_of(who)
    first_of = np.repeat(starts, np.diff(np.append(starts, len(who))))
    ins = np.cumsum(entering, dtype=np.int64)
    ins = ins - ins[first_of] + entering[first_of]
    outs = np.arange(len(who)) + 1 - first_of - ins
    last = _last_of_ties(who, when)
    who, when = who[last], when[last]
    begin, come = now
    end = begin[who] + come[who] + ins[last]
    first = np.minimum(begin[who] + outs[last], end)
    differs = test(first, end) != value[who]
    _first(who[differs], when[differs], until)


def _last_of_ties(group: Ints, times: Ints) -> Bools:
    last = np.ones(len(times), np.bool_)
    last[:-1] = (group[1:] != group[:-1]) | (times[1:] != times[:-1])
    return last


def _first(group: Ints, moments: Ints, until: Ints) -> None:
    begins = runs_of(group)
    until[group[begins]] = moments[begins]


class Extremes:
    """The smallest or largest of any run of values, by the values of all runs of 1, 2, 4, 8, …"""

    def __init__(self, values: Ints, longest: int, largest: bool) -> None:
        self._better = np.maximum if largest else np.minimum
        self._levels = [values]
        width = 1
        while 2 * width <= longest:
            before = self._levels[-1]
            self._levels.append(self._better(before[:-width], before[width:]))
            width *= 2

    def of(self, first: Ints, end: Ints) -> Ints:
        """Of values [first, end); 0 where that is none."""
        length = end - first
        found = np.zeros(len(first), np.int64)
        for level, values in enumerate(self._levels):
            width = 1 << level
            mine = np.flatnonzero((length >= width) & (length < 2 * width))
            if len(mine):
                found[mine] = self._better(values[first[mine]], values[end[mine] - width])
        return found
