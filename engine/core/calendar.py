"""When calendars are reached. Pure: whoever looks says since when and until when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from engine.core.book import JourneyBook
from engine.core.conditions import ConditionError, holds
from engine.core.emitted import OURS
from engine.core.entries import in_season
from engine.core.facts_view import Facts
from engine.core.moments import read_date, shifted
from engine.core.shopper import Shopper
from engine.core.zones import shopper_zone, zone_named
from engine.model.event import Event
from engine.model.journey import CALENDAR_REACHED, Calendar, Journey
from engine.model.profile import Profile

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_DAY = timedelta(days=1)
#: Every offset in use is a multiple of this, so a local time of day comes only so often.
_OFFSETS = timedelta(minutes=15)


class Occurrence(NamedTuple):
    """``moment`` (UTC) at which the calendar is reached; ``day`` is the date that it speaks of:
    the birthday, also where ``shift`` puts the moment three days before it."""

    moment: datetime
    day: date


def occurrences(
    calendar: Calendar,
    facts: Mapping[str, Any],
    zone: ZoneInfo,
    after: datetime,
    until: datetime,
) -> list[Occurrence]:
    """When ``calendar`` is reached in (``after``, ``until``], in order.

    ``facts`` are what its ``date`` looks at. ``zone`` is the shopper's for a date from the data,
    else the journey's. A date that is missing or cannot be read is never reached. The 29th of
    February is the 28th in other years.
    """
    if until <= after:
        return []
    found = (
        _scheduled(calendar, zone, after, until)
        if calendar.date is None
        else _from_data(calendar, facts, zone, after, until)
    )
    return [occurrence for occurrence in found if after < occurrence.moment <= until]


def _from_data(
    calendar: Calendar,
    facts: Mapping[str, Any],
    zone: ZoneInfo,
    after: datetime,
    until: datetime,
) -> Iterator[Occurrence]:
    assert calendar.date is not None
    try:
        found = read_date(calendar.date.test(facts))
    except ConditionError:
        return
    if found is None:
        return
    day = found.astimezone(zone).date() if isinstance(found, datetime) else found
    days = [day]
    if calendar.yearly:
        first = max(day.year, (after - calendar.shift).year - 1)
        days = [_in_year(day, year) for year in range(first, (until - calendar.shift).year + 2)]
    for one in days:
        moment = shifted(one, calendar.at, calendar.shift, zone)
        if moment is not None:
            yield Occurrence(moment, one)


def _in_year(day: date, year: int) -> date:
    leap = (day.month, day.day) == (2, 29) and not _is_leap(year)
    return date(year, 2, 28) if leap else day.replace(year=year)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _scheduled(
    calendar: Calendar, zone: ZoneInfo, after: datetime, until: datetime
) -> Iterator[Occurrence]:
    month = (after - calendar.shift - 2 * _DAY).date().replace(day=1)
    last = (until - calendar.shift + 2 * _DAY).date()
    while month <= last:
        yield from _in_month(calendar.every, calendar.at, calendar.shift, zone, month)
        month = (month + 32 * _DAY).replace(day=1)


@lru_cache(maxsize=1024)
def _in_month(
    every: tuple[str, ...], at: time, shift: timedelta, zone: ZoneInfo, month: date
) -> tuple[Occurrence, ...]:
    days = [month + number * _DAY for number in range(31)]
    found = []
    for day in days:
        wanted = "day" in every or WEEKDAYS[day.weekday()] in every
        wanted = wanted or ("month" in every and day.day == 1)
        if wanted and day.month == month.month:
            moment = shifted(day, at, shift, zone)
            assert moment is not None
            found.append(Occurrence(moment, day))
    return tuple(found)


def may_be_reached(calendar: Calendar, zone: ZoneInfo, after: datetime, until: datetime) -> bool:
    """Whether any shopper at all can reach ``calendar`` in (``after``, ``until``]. A date from the
    data is reached at its local time of day, and that comes somewhere every quarter of an hour
    at most, so that most minutes need no look at the shoppers."""
    if calendar.date is None:
        return bool(occurrences(calendar, {}, zone, after, until))
    midnight = after.replace(hour=0, minute=0, second=0, microsecond=0)
    at = datetime.combine(midnight.date(), calendar.at, midnight.tzinfo) - midnight
    phase = (at + calendar.shift) % _OFFSETS
    passed = (after - midnight - phase) // _OFFSETS
    return midnight + phase + (passed + 1) * _OFFSETS <= until


def zone_for(book: JourneyBook, journey: Journey, traits: Mapping[str, Any]) -> ZoneInfo:
    """By which clocks the calendar of ``journey`` goes: a date from the data by the shopper's,
    a schedule by the journey's."""
    calendar = journey.trigger.calendar
    theirs = journey.timezone or book.timezone
    if calendar is not None and calendar.date is not None:
        return shopper_zone(traits, theirs)
    return zone_named(theirs)


def next_reached(
    book: JourneyBook, shopper: Shopper, after: datetime, until: datetime, who: tuple[str, ...]
) -> list[Event]:
    """The events of the first moment in (``after``, ``until``] at which the shopper reaches a
    calendar, one for each journey that begins then; none where there is no such moment.
    ``who`` are the identifiers that the events name."""
    first: list[Event] = []
    for journey in book.calendars:
        found = reached(book, journey, shopper, after, until)
        if not found or (first and found[0].moment > first[0].time):
            continue
        if first and found[0].moment < first[0].time:
            first = []
        first.append(event_of(journey, shopper.profile.id, found[0], who))
    return sorted(first, key=lambda event: event.id)


def reached(
    book: JourneyBook, journey: Journey, shopper: Shopper, after: datetime, until: datetime
) -> list[Occurrence]:
    """When the shopper reaches the calendar of ``journey`` in (``after``, ``until``]."""
    calendar = journey.trigger.calendar
    assert calendar is not None
    zone = zone_for(book, journey, shopper.profile.traits)
    facts = Facts(shopper, book.currency, until, "", {}, {})
    return occurrences(calendar, facts, zone, after, until)


def event_of(journey: Journey, profile: int, occurrence: Occurrence, who: tuple[str, ...]) -> Event:
    """The event "Calendar Reached". Its id says what it is about, so that it counts once."""
    moment = occurrence.moment
    return Event(
        f"calendar:{journey.name}:{profile}:{moment.isoformat()}",
        "track",
        CALENDAR_REACHED,
        moment,
        moment,
        who,
        {"journey": journey.name, "date": occurrence.day.isoformat()},
        OURS,
    )


def may_begin(journey: Journey, profile: Profile, moment: datetime) -> bool:
    """Whether the calendar of ``journey`` counts at that moment for the shopper: who came later was
    not there to reach it."""
    seen = profile.first_seen
    return (seen is None or seen < moment) and in_season(journey, moment)


def means(book: JourneyBook, journey: Journey, shopper: Shopper, event: Event) -> bool:
    """Whether ``journey`` means the shopper who reaches its calendar by ``event``; what its
    condition looks back at has been loaded."""
    condition = journey.trigger.condition
    if condition is None:
        return True
    return holds(condition, Facts(shopper, book.currency, event.time, "", event, event))[0]
