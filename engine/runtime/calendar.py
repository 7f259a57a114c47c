"""Calendars: who reaches one, put into the inbox as the event "Calendar Reached".

The shoppers are searched in batches, each in a transaction of its own that also notes how far the
search has come: a worker that dies loses nothing, and a search of millions of shoppers goes on in
the next job. An event's id says what it is about, so whatever is found twice counts once (P2).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from engine.core.book import JourneyBook
from engine.core.calendar import event_of, may_be_reached, may_begin, means, reached, zone_for
from engine.core.conditions import names_used
from engine.core.facts import COUNTED
from engine.core.shopper import Past, Shopper
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.model.journey import Calendar, Journey
from engine.model.profile import Profile
from engine.runtime.shell import Shell
from engine.store import calendars as calendars_store
from engine.store import identities as identities_store
from engine.store import inbox as inbox_store
from engine.store import runs as runs_store
from engine.store.calendars import Look
from engine.store.database import Connection

log = logging.getLogger(__name__)

#: Shoppers in a batch. Each costs some 20 µs.
BATCH = 2000
_WRITER = "calendar"
_DAY = timedelta(days=1)


@dataclass(slots=True)
class Searched:
    """What one look did: events ``put`` into the inbox; whether everybody has been searched
    (``done``), or the time was up first."""

    put: int = 0
    done: bool = True


def to_do(shell: Shell) -> bool:
    """Whether there is a calendar that somebody may have reached, or one never looked at."""
    book = shell.book()
    if not book.calendars:
        return False
    now = shell.clock.now()
    with shell.database.connection() as connection:
        looks = calendars_store.looks(connection)
    return any(
        (look := looks.get(journey.name)) is None or _target(book, journey, look, now) is not None
        for journey in book.calendars
    )


def calendars_due(shell: Shell, seconds: float = 5.0, batch: int = BATCH) -> Searched:
    """Put into the inbox who has reached a calendar since the last look, for at most about
    ``seconds`` of real time."""
    found = Searched()
    deadline = time.monotonic() + seconds
    calendars = shell.book().calendars
    with shell.database.connection() as connection:
        calendars_store.forget_others(connection, [journey.name for journey in calendars])
    for journey in calendars:
        while (more := _search(shell, journey, batch, found)) and time.monotonic() < deadline:
            pass
        if more:
            found.done = False
            return found
    return found


def _target(book: JourneyBook, journey: Journey, look: Look, now: datetime) -> datetime | None:
    """Up to when to search; None while nobody can have reached the calendar since the last look."""
    if look.target is not None:
        return look.target
    calendar = journey.trigger.calendar
    assert calendar is not None
    zone = zone_for(book, journey, {})
    return now if may_be_reached(calendar, zone, look.since, now) else None


def _search(shell: Shell, journey: Journey, batch: int, found: Searched) -> bool:
    """Search one batch of shoppers; False when nothing is left to search."""
    calendar = journey.trigger.calendar
    assert calendar is not None
    book, now = shell.book(), shell.clock.now()
    with shell.database.connection() as connection:
        look = calendars_store.lock(connection, journey.name, now)
        if look is None:
            return False  # another worker is at it
        target = _target(book, journey, look, now)
        if target is None:
            return False
        trait, days = _narrowed(calendar, look.since, target)
        profiles, last = calendars_store.shoppers(connection, look.place, batch, trait, days)
        events = _events(connection, book, journey, profiles, look.since, target, now)
        if events:
            lines = [inbox_store.event_line(event, lane_of(event.sender)) for event in events]
            inbox_store.write(connection, lines, writer=_WRITER)
            found.put += len(events)
        if last is None:
            calendars_store.looked(connection, journey.name, target)
        else:
            calendars_store.go_on(connection, journey.name, target, last)
    return last is not None


def _narrowed(calendar: Calendar, since: datetime, until: datetime) -> tuple[str, list[str]]:
    """The trait that the calendar's date is, and the days of the year that it must be in for the
    time from ``since`` to ``until`` to matter; "" where the date is worked out from more."""
    date = calendar.date
    if date is None:
        return "", []
    names = names_used(date)
    if len(names) != 1:
        return "", []
    ((holder, trait),) = names
    if holder != "profile" or trait in COUNTED or date.source.strip() != f"profile.{trait}":
        return "", []
    day, last = since - calendar.shift - 2 * _DAY, until - calendar.shift + 2 * _DAY
    days = {"02-29"}  # which is the 28th in most years
    while day <= last and len(days) < 366:
        days.add(f"{day:%m-%d}")
        day += _DAY
    return trait, sorted(days)


def _events(
    connection: Connection,
    book: JourneyBook,
    journey: Journey,
    profiles: list[Profile],
    since: datetime,
    until: datetime,
    now: datetime,
) -> list[Event]:
    """The events of those who reached the calendar, as far as the trigger's condition holds for
    them: of a schedule for everybody only those who are meant come into the inbox."""
    due = []
    for profile in profiles:
        shopper = Shopper(profile)
        for occurrence in reached(book, journey, shopper, since, until):
            if may_begin(journey, profile, occurrence.moment):
                due.append((shopper, event_of(journey, profile.id, occurrence, ())))
    if not due:
        return []
    condition = journey.trigger.condition
    if condition is not None:
        if condition.history:
            earliest = min(event.time for _, event in due)
            some = [shopper for shopper, _ in due]
            load_history(connection, dict(condition.history), some, earliest)
        due = [(shopper, event) for shopper, event in due if means(book, journey, shopper, event)]
    names = identities_store.strongest(connection, {shopper.profile.id for shopper, _ in due})
    return [
        msgspec.structs.replace(event, identifiers=(names[shopper.profile.id],), received_at=now)
        for shopper, event in due
        if shopper.profile.id in names
    ]


def load_history(
    connection: Connection,
    needs: dict[str, timedelta | None],
    shoppers: Iterable[Shopper],
    earliest: datetime,
) -> None:
    """Load what ``needs`` names of the past of ``shoppers``, as seen at ``earliest`` or later."""
    by_id = {shopper.profile.id: shopper for shopper in shoppers}
    for profile, name, at, id, properties in runs_store.history(
        connection, list(by_id), needs, earliest
    ):
        by_id[profile].history.add(name, Past(at, id, properties))
