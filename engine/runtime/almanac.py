"""Which calendars the shoppers of an event-time replay reach, and when.

The live pipeline asks at each moment which shoppers reach a calendar (``runtime.calendar``). A
replay asks of each shopper which calendars they reach before anything else happens to them: until
then nothing that a calendar looks at can change, so all these moments of all shoppers are decided
by one look at the store.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.core.book import JourneyBook, Needs, widen
from engine.core.calendar import (
    Occurrence,
    event_of,
    may_begin,
    means,
    occurrences,
    reached,
    zone_for,
)
from engine.core.shopper import Shopper
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.profile import Profile
from engine.runtime.calendar import load_history
from engine.store import identities as identities_store
from engine.store import profiles as profiles_store
from engine.store.database import Connection, Database

Until = Mapping[int, datetime] | datetime

#: How far the calendar is worked out beyond what is asked for, so as not to be asked again soon.
_AHEAD = timedelta(days=400)
#: Shoppers in memory at once.
_BATCH = 2000


class _Date(NamedTuple):
    """``journey`` reaches its calendar at ``at``."""

    at: datetime
    journey: Journey
    occurrence: Occurrence


class Almanac:
    """Call ``meet`` when something happened to shoppers, and ``reached`` before anything does."""

    def __init__(self, database: Database, book: JourneyBook) -> None:
        self._database = database
        self._book = book
        self._schedule = _Schedule(book, [j for j in book.calendars if not _dated(j)])
        self._dated = [j for j in book.calendars if _dated(j)]
        #: profile -> up to when its calendars have been looked at
        self._looked: dict[int, datetime] = {}
        #: profile -> up to when the dates in its data have been worked out, and which they are
        self._dates: dict[int, tuple[datetime, list[_Date]]] = {}

    def meet(self, moments: Mapping[int, datetime]) -> None:
        """Something happened to shoppers. Who is new reaches what comes after that moment."""
        for profile, at in moments.items():
            self._looked.setdefault(profile, at)
        self.changed(moments)

    def changed(self, profiles: Iterable[int]) -> None:
        """The dates in the data of these shoppers may be others."""
        for profile in profiles:
            self._dates.pop(profile, None)

    def reached(self, until: Until, *before: Mapping[int, datetime]) -> dict[int, list[Event]]:
        """Of each shopper the events of the first moment at which they reach a calendar that means
        them: by ``until`` (each by their own where there is one for each), and not after what else
        is to happen to them. The moments so far are done with."""
        if not self._book.calendars:
            return {}
        ends = self._ends(until, before)
        self._work_out(ends)
        some = [p for p, end in ends.items() if p in self._looked and self._next(p, end)]
        found: dict[int, list[Event]] = {}
        for first in range(0, len(some), _BATCH):
            with self._database.connection() as connection:
                found |= self._first(connection, some[first : first + _BATCH], ends)
        for profile, end in ends.items():
            if profile in self._looked:
                done = found[profile][0].time if profile in found else end
                self._looked[profile] = max(self._looked[profile], done)
        return found

    def _ends(self, until: Until, before: Iterable[Mapping[int, datetime]]) -> dict[int, datetime]:
        if isinstance(until, datetime):
            ends = dict.fromkeys(self._looked, until)
        else:
            ends = {p: end for p, end in until.items() if p in self._looked}
        for moments in before:
            for profile in moments.keys() & ends.keys():
                ends[profile] = min(ends[profile], moments[profile])
        return ends

    def _work_out(self, ends: Mapping[int, datetime]) -> None:
        """Work out the dates in the data of those of whom they are not known up to their end."""
        if not self._dated:
            return
        unknown = [p for p, end in ends.items() if p not in self._dates or self._dates[p][0] < end]
        for first in range(0, len(unknown), _BATCH):
            some = unknown[first : first + _BATCH]
            with self._database.connection() as connection:
                profiles, _ = profiles_store.lock(connection, some)
            for profile in some:
                if profile in profiles:
                    end = ends[profile] + _AHEAD
                    self._dates[profile] = end, self._dates_of(profiles[profile], end)
                else:
                    del self._looked[profile]  # it has become part of another

    def _dates_of(self, profile: Profile, end: datetime) -> list[_Date]:
        shopper = Shopper(profile)
        return [
            _Date(one.moment, journey, one)
            for journey in self._dated
            for one in reached(self._book, journey, shopper, self._looked[profile.id], end)
        ]

    def _next(self, profile: int, end: datetime) -> list[_Date]:
        """Which calendars come up to ``end``, whether they mean the shopper or not."""
        after = self._looked[profile]
        dates = self._schedule.between(after, end)
        if profile in self._dates:
            dates += [date for date in self._dates[profile][1] if after < date.at <= end]
        return dates

    def _first(
        self, connection: Connection, some: list[int], ends: Mapping[int, datetime]
    ) -> dict[int, list[Event]]:
        profiles, _ = profiles_store.lock(connection, some)
        names = identities_store.strongest(connection, profiles)
        for id in some:
            if id not in profiles:
                del self._looked[id]
        due = {
            id: (Shopper(profile), sorted(self._next(id, ends[id]), key=lambda date: date.at))
            for id, profile in profiles.items()
        }
        self._load(connection, due.values())
        found: dict[int, list[Event]] = {}
        for id, (shopper, dates) in due.items():
            for at, journey, occurrence in dates:
                if id in found and found[id][0].time < at:
                    break
                if may_begin(journey, shopper.profile, at):
                    event = event_of(journey, id, occurrence, (names[id],))
                    if means(self._book, journey, shopper, event):
                        found.setdefault(id, []).append(event)
        return {id: sorted(events, key=lambda event: event.id) for id, events in found.items()}

    def _load(self, connection: Connection, due: Collection[tuple[Shopper, list[_Date]]]) -> None:
        needs: Needs = {}
        for journey in {d.journey.name: d.journey for _, dates in due for d in dates}.values():
            if journey.trigger.condition is not None:
                widen(needs, dict(journey.trigger.condition.history))
        if needs:
            earliest = min(dates[0].at for _, dates in due if dates)
            load_history(connection, needs, [shopper for shopper, _ in due], earliest)


class _Schedule:
    """The moments of those calendars that are the same for everybody, worked out once."""

    def __init__(self, book: JourneyBook, journeys: list[Journey]) -> None:
        self._book = book
        self._journeys = journeys
        self._span: tuple[datetime, datetime] | None = None
        self._dates: list[_Date] = []
        self._moments: list[datetime] = []

    def between(self, after: datetime, end: datetime) -> list[_Date]:
        """In (``after``, ``end``], in order of time."""
        if not self._journeys:
            return []
        if self._span is None or after < self._span[0] or end > self._span[1]:
            self._work_out(after if self._span is None else min(after, self._span[0]), end + _AHEAD)
        first = bisect_right(self._moments, after)
        return self._dates[first : bisect_right(self._moments, end)]

    def _work_out(self, after: datetime, end: datetime) -> None:
        self._span = after, end
        self._dates = []
        for journey in self._journeys:
            assert journey.trigger.calendar is not None
            zone = zone_for(self._book, journey, {})
            found = occurrences(journey.trigger.calendar, {}, zone, after, end)
            self._dates += [_Date(one.moment, journey, one) for one in found]
        self._dates.sort(key=lambda date: date.at)
        self._moments = [date.at for date in self._dates]


def _dated(journey: Journey) -> bool:
    """Whether its calendar is a date in the shopper's data."""
    return journey.trigger.calendar is not None and journey.trigger.calendar.date is not None
