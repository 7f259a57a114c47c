"""How many messages one shopper can get at the very most, whatever they and the shop do.

Worked out over the steps, not sampled: every branch and arm is taken, what is waited for comes at
once or never, a time of day is now, and a run is followed by the next as soon as ``again`` lets
it. What it takes for granted: events come when they happen, Winback itself is not down, a yearly
date is not changed, and days have 24 hours. Windows are half open, as those of the caps: messages
just 7 days apart are not in the same 7 days.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from heapq import heappop, heappush
from typing import NamedTuple

from engine.model.journey import (
    AnyStep,
    Branch,
    Calendar,
    Exit,
    Journey,
    Jump,
    Send,
    Split,
    Wait,
    WaitFor,
    WaitUntil,
)

#: More than this is as good as no bound, and would take long to count.
MANY = 200

_DAY = 86_400
_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Counts = Callable[[Send], bool]


class _Way(NamedTuple):
    """A way on: the next path (None: the end), and the least and most seconds it takes."""

    to: str | None
    least: int
    most: int | None


class _Ahead(NamedTuple):
    """What lies ahead of a step. By the number of messages: the least seconds until the last of
    them is sent, and until the run ends with so many or more."""

    sent: list[int]
    ended: list[int]


def most(
    journey: Journey, within: timedelta, counts: Counts, *, by_jump: bool = False
) -> int | None:
    """The most messages that ``counts`` within any ``within`` of one shopper's runs, of those about
    one key where there are keys; None if there is no bound. ``by_jump``: other journeys lead here,
    so that a calendar is not all that starts a run."""
    window = _seconds(within)
    ahead = _ahead(journey, counts, window)
    if journey.start is None or not any(len(each.sent) > 1 for each in ahead.values()):
        return 0
    again = journey.trigger.again.rule != "never"
    gap = _gap(journey, by_jump)
    longest = _longest(journey)
    # The next run begins at a time after the window's first message: by that time, the messages
    # so far.
    begun: dict[int, int] = {}
    found = 0
    for path, since in longest.items():
        step = journey.steps[path]
        if not (isinstance(step, Send) and counts(step)):
            continue
        waited = 0 if since is None else max(gap - since, 0)
        for count, (sent, ended) in enumerate(_pairs(journey, ahead[path])):
            if count and sent < window:
                found = max(found, count)
                after = max(ended, waited)
                begun[after] = max(begun.get(after, 0), count)
    if not again:
        return None if found > MANY else found
    runs = [
        (count, sent, max(ended, gap))
        for count, (sent, ended) in enumerate(_pairs(journey, ahead[journey.start]))
        if count
    ]
    return _repeated(found, begun, runs, window)


def _repeated(
    found: int, begun: dict[int, int], runs: list[tuple[int, int, int]], window: int
) -> int | None:
    """The most over all sequences of runs; each of ``runs`` is a number of messages, when the last
    of them is sent, and when the next run may begin, in seconds."""
    if any(not ended for _, _, ended in runs):
        return None
    work = list(begun)
    work.sort()
    done: set[int] = set()
    while work:
        at = heappop(work)
        if at in done or at >= window:
            continue
        done.add(at)
        for count, sent, ended in runs:
            total = begun[at] + count
            if at + sent < window:
                found = max(found, total)
            if found > MANY:
                return None
            following = at + ended
            if following < window and total > begun.get(following, 0):
                begun[following] = total
                heappush(work, following)
    return found


def heaviest(journey: Journey, weigh: Callable[[AnyStep], int]) -> int:
    """The weight of the heaviest way through the journey."""
    weights: dict[str, int] = {}
    for path in _backwards(journey):
        step = journey.steps[path]
        further = (weights[way.to] for way in _ways(step) if way.to is not None)
        weights[path] = weigh(step) + max(further, default=0)
    return 0 if journey.start is None else weights[journey.start]


def _pairs(journey: Journey, ahead: _Ahead) -> Iterator[tuple[int, int]]:
    """When so many messages are sent and when the run may be over: a stop may end it at once."""
    return zip(ahead.sent, ahead.sent if journey.stops else ahead.ended, strict=True)


def _gap(journey: Journey, by_jump: bool) -> int:
    """The least seconds between the beginnings of two runs."""
    again, calendar = journey.trigger.again, journey.trigger.calendar
    after = _seconds(again.after) if again.rule == "after" else 0
    return after if calendar is None or by_jump else max(after, _between(calendar))


def _between(calendar: Calendar) -> int:
    """The least seconds between two dates of a calendar."""
    if calendar.date is not None:
        return 365 * _DAY if calendar.yearly else 0
    if calendar.every == ("month",):
        return 28 * _DAY
    days = [_WEEK.index(day) for day in calendar.every if day in _WEEK]
    if not days:
        return _DAY
    following = [*days[1:], days[0] + 7]
    return min(b - a for a, b in zip(days, following, strict=True)) * _DAY


def _ways(step: AnyStep) -> list[_Way]:
    match step:
        case Exit() | Jump():
            return [_Way(None, 0, 0)]
        case Wait(next=following, duration=duration):
            return [_Way(following, _seconds(duration), _seconds(duration))]
        case WaitUntil(next=following, date=None, weekdays=weekdays):
            return [_Way(following, 0, (7 if weekdays else 1) * _DAY)]
        case WaitUntil(next=following):
            return [_Way(following, 0, None)]
        case WaitFor(next=following, at_most=at_most, then=then, otherwise=otherwise):
            longest = _seconds(at_most)
            late = _Way(otherwise or following, longest, longest)
            return [_Way(then or following, 0, longest), late]
        case Branch(next=following, arms=arms):
            to = [arm.goto or following for arm in arms]
            if not (arms and arms[-1].condition is None):
                to.append(following)
            return [_Way(one, 0, 0) for one in to]
        case Split(next=following, arms=arms):
            return [_Way(arm.goto or following, 0, 0) for arm in arms]
    return [_Way(step.next, 0, 0)]


def _backwards(journey: Journey) -> list[str]:
    """The paths that can be reached, each after all that can follow it. Without recursion: a
    journey may have thousands of steps."""
    order: list[str] = []
    seen: set[str] = set()
    work = [] if journey.start is None else [(journey.start, False)]
    while work:
        path, left = work.pop()
        if left:
            order.append(path)
        elif path not in seen:
            seen.add(path)
            work.append((path, True))
            work += [(way.to, False) for way in _ways(journey.steps[path]) if way.to is not None]
    return order


def _ahead(journey: Journey, counts: Counts, window: int) -> dict[str, _Ahead]:
    """What lies ahead of each step, as far as it is within the window and no more than many."""
    found: dict[str, _Ahead] = {}
    for path in _backwards(journey):
        step = journey.steps[path]
        sent, ended = [0], list[int]()
        for way in _ways(step):
            further = _Ahead([0], [0]) if way.to is None else found[way.to]
            _least(sent, [0, *(seconds + way.least for seconds in further.sent[1:])])
            _least(ended, [seconds + way.least for seconds in further.ended])
        if isinstance(step, Send) and counts(step):
            sent, ended = [0, *sent], [ended[0], *ended]
        while len(sent) > 2 and (sent[-1] >= window or len(sent) > MANY + 2):
            sent.pop()
            ended.pop()
        found[path] = _Ahead(sent, ended)
    return found


def _least(known: list[int], other: Collection[int]) -> None:
    """Each of the numbers the lesser; ``known`` grows to the length of ``other``."""
    for index, seconds in enumerate(other):
        if index < len(known):
            known[index] = min(known[index], seconds)
        else:
            known.append(seconds)
    # Who sends more sends so many too, which may be over earlier.
    for index in range(len(known) - 2, -1, -1):
        known[index] = min(known[index], known[index + 1])


def _longest(journey: Journey) -> dict[str, int | None]:
    """By path the most seconds from the beginning of the run until there; None: no bound."""
    found: dict[str, int | None] = {}
    if journey.start is not None:
        found[journey.start] = 0
    for path in reversed(_backwards(journey)):
        here = found[path]
        for way in _ways(journey.steps[path]):
            if way.to is None:
                continue
            there = None if here is None or way.most is None else here + way.most
            if way.to in found:
                known = found[way.to]
                there = None if known is None or there is None else max(known, there)
            found[way.to] = there
    return found


def _seconds(duration: timedelta) -> int:
    return duration // timedelta(seconds=1)
