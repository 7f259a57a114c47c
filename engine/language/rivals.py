"""Journeys that begin together and can together send more than a cap allows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple

from engine.core.durations import show_duration
from engine.core.gate import topic_of
from engine.core.worstcase import heaviest
from engine.language.journeys import ReadJourney
from engine.language.report import Place
from engine.language.ways import soonest
from engine.model.journey import AnyStep, Journey, Send, Wait
from engine.model.policy import Cap, Policy


class _Member(NamedTuple):
    """A journey, and by path how soon after its beginning each message that is capped goes."""

    read: ReadJourney
    journey: Journey
    times: dict[str, timedelta]


def check_rivals(read: Mapping[str, ReadJourney], policy: Policy) -> None:
    """Add J067 to the report of a journey that loses or wins by chance against another.

    What begins by different events may meet too, but then the cap does what it is for. Those whose
    conditions differ may be for different shoppers.
    """
    if not policy.caps:
        return
    told: set[tuple[str, ...]] = set()
    for members in _beginning_together(read.values(), policy):
        for cap in policy.caps:
            found = _worst(members, cap)
            if found is None or (names := tuple(each.journey.name for each in found[0])) in told:
                continue
            told.add(names)
            _warn(found[0], found[1], cap)


def _beginning_together(read: Iterable[ReadJourney], policy: Policy) -> Iterable[list[_Member]]:
    groups: dict[tuple[object, ...], dict[str | None, list[_Member]]] = {}
    for found in read:
        journey = found.journey
        if journey is None or not (times := _times(journey, policy)):
            continue
        condition = journey.trigger.condition
        same = groups.setdefault(_begins(journey), defaultdict(list))
        same[None if condition is None else condition.source].append(_Member(found, journey, times))
    for same in groups.values():
        always = same.pop(None, [])
        for some in same.values() or [[]]:
            if len(always) + len(some) > 1:
                yield sorted((*always, *some), key=lambda each: each.journey.name)


def _begins(journey: Journey) -> tuple[object, ...]:
    """The same for journeys that begin at the same moment."""
    calendar = journey.trigger.calendar
    if calendar is None:
        return (journey.trigger.event,)
    date = None if calendar.date is None else calendar.date.source
    return (date, calendar.yearly, calendar.shift, calendar.every, calendar.at, journey.timezone)


def _times(journey: Journey, policy: Policy) -> dict[str, timedelta]:
    before = Wait("", journey.start, timedelta(0))
    return {
        path: passed
        for path, passed in soonest(journey, before).items()
        if isinstance(step := journey.steps.get(path), Send)
        and topic_of(policy, step.topic).consent != "none"
    }


def _worst(members: list[_Member], cap: Cap) -> tuple[list[_Member], int] | None:
    """Those of equal priority who can exceed the cap, and the messages of all in that time."""
    starts = sorted({passed for each in members for passed in each.times.values()})
    for start in starts:
        sizes = [_within(each, cap, start) for each in members]
        total = sum(sizes)
        if total <= cap.messages:
            continue
        by_priority: dict[int, list[_Member]] = defaultdict(list)
        for each, size in zip(members, sizes, strict=True):
            if size:
                by_priority[each.journey.priority].append(each)
        for equal in by_priority.values():
            if len(equal) > 1 and any(_loses(each, cap) for each in equal):
                return equal, total
    return None


def _within(member: _Member, cap: Cap, start: timedelta) -> int:
    def weigh(step: AnyStep) -> int:
        passed = member.times.get(step.path)
        counted = passed is not None and start <= passed < start + cap.within
        return int(counted and isinstance(step, Send) and cap.covers(step.channel, step.topic))

    return heaviest(member.journey, weigh)


def _loses(member: _Member, cap: Cap) -> bool:
    """Whether a message is given up that finds no room, and does not wait for it."""
    sends = (member.journey.steps[path] for path in member.times)
    return any(
        step.when_capped == "skip" and cap.covers(step.channel, step.topic)
        for step in sends
        if isinstance(step, Send)
    )


def _warn(members: list[_Member], total: int, cap: Cap) -> None:
    first, *others = members
    named = ", ".join(f"'{each.journey.name}'" for each in others[:3])
    if len(others) > 3:
        named += f" and {len(others) - 3} more"
    what = "messages" if cap.channel == "*" else f"messages by {cap.channel}"
    what += "" if cap.topic == "*" else f" about {cap.topic}"
    message = (
        f"together with {named} this journey can send {total} {what} in "
        f"{show_duration(cap.within)}, and the cap allows {cap.messages}"
    )
    hint = "give the one that matters more a higher 'priority'"
    first.read.report.add("J067", _place(first.read), message, hint)


def _place(read: ReadJourney) -> Place:
    for path in ("trigger/event", "trigger/calendar"):
        if path in read.places:
            return read.places[path]
    return Place(1, 1)
