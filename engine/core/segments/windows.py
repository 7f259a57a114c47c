"""What lies in a window that slides along with time, and when that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from engine.core.shopper import Past
from engine.model.segment import Span, Window

#: A window holds both its ends, so an event leaves it a tick after its last moment.
TICK = timedelta(microseconds=1)


def in_dates(window: Window, time: datetime) -> bool:
    """Whether the time lies between the fixed dates of the window."""
    if window.since is not None and time < window.since:
        return False
    return window.before is None or time < window.before


def enters(window: Window, time: datetime) -> datetime:
    """From when on an event of that time is in the window."""
    return time + window.ago


def leaves(window: Window, time: datetime) -> datetime | None:
    """From when on it no longer is; None: it stays."""
    return None if window.within is None else time + window.within + TICK


def walk(
    events: Sequence[Past],
    window: Window,
    at: datetime,
    test: Callable[[int, int], bool],
) -> tuple[bool, datetime | None]:
    """What ``test`` says at ``at``, and from when on it says otherwise if nothing happens (None:
    never). ``test`` is asked about ``events[first:end]``, those in the window; ``events`` are in
    order of time and lie between its dates. Events later than ``at`` are known already, and come
    into it in their time."""
    first = end = 0
    number = len(events)
    while end < number and enters(window, events[end].time) <= at:
        end += 1
    while first < end and (gone := leaves(window, events[first].time)) and gone <= at:
        first += 1
    value = test(first, end)
    while True:
        moments = []
        if end < number:
            moments.append(enters(window, events[end].time))
        if first < end and (gone := leaves(window, events[first].time)):
            moments.append(gone)
        if not moments:
            return value, None
        moment = min(moments)
        while end < number and enters(window, events[end].time) <= moment:
            end += 1
        while first < end and (gone := leaves(window, events[first].time)) and gone <= moment:
            first += 1
        if test(first, end) != value:
            return value, moment


def counted(
    window: Window, span: Span, events: Sequence[Past], at: datetime
) -> tuple[bool, datetime | None] | None:
    """The same for the plain question how many there are, which most rules ask: from now on the
    oldest leave, one after the other. None where more must be looked at."""
    if window.ago or window.since or window.before or (events and events[-1].time > at):
        return None
    number = len(events)
    within = window.within
    if within is None:
        return span.holds(number), None
    first = number
    begin = at - within
    while first and events[first - 1].time >= begin:
        first -= 1
    value = span.holds(number - first)
    for gone in range(first, number):
        if span.holds(number - gone - 1) != value:
            return value, events[gone].time + within + TICK
    return value, None
