"""Event-time replay: recorded events through the real inbox, drain, wake, gate and deliver, with
the recording's own clock.

Strictly, that is one event after another: fire what timers ran out before it, send what was due
before it, accept it, work it, send what it made due. But shoppers do not touch each other, so
only the order of each shopper's own events matters. Each round takes the next event of every
shopper in a stretch of the recording and does these steps for all of them at once, each at
their own time (``Shell.exact``). A few hundred rounds stand for 22,000 events.

A shopper here is all identifiers that any event of the recording ties together: what will be
merged some day is kept in one order from the start.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from engine.clock import ManualClock
from engine.core.book import open_book
from engine.core.coupons import StandIns
from engine.core.segments import touch_of
from engine.errors import WinbackError
from engine.language import SegmentSet
from engine.model.event import Event
from engine.model.journey import Emit, Journey, Update
from engine.model.message import Email, Message, Receipt, Rendered
from engine.model.policy import Policy
from engine.model.profile import Profile
from engine.runtime.looks import changes_judgement
from engine.runtime.passing import BATCH, TICK, Passing, slices
from engine.runtime.reached import reached
from engine.runtime.segments.files import put_into_force
from engine.runtime.segments.search import SCALE_AGE, measure, search
from engine.runtime.shell import Shell
from engine.runtime.simulate import Tally
from engine.store import identities as identities_store
from engine.store import tally as tally_store
from engine.store.database import Database

#: Events in a stretch: the clock moves on by one at a time, and so does the progress bar.
STRETCH = BATCH
#: Seconds of real time that a search goes on before it is asked again.
_PATIENCE = 10.0


class NotEmpty(WinbackError):
    """The database holds a shop already."""


class Replay:
    """One replay into an empty, migrated ``database``. Nothing is sent: a counter stands where
    the providers would.

    Of ``segments`` those are kept, from the first event on, that a journey is told of: who entered
    and who left. ``bare`` leaves out holdout, caps, quiet hours, consent and the need for an
    address.
    Raises ``NotEmpty`` where the database holds events already.
    """

    def __init__(
        self,
        database: Database,
        journeys: Iterable[Journey],
        policy: Policy,
        *,
        segments: SegmentSet | None = None,
        bare: bool = False,
    ) -> None:
        with database.connection() as connection:
            if not tally_store.empty(connection):
                raise NotEmpty(
                    "The database of DATABASE_URL holds a shop's events already, and the "
                    "recording's would be mixed with them: unset DATABASE_URL, then a temporary "
                    "database is made."
                )
        chosen = [dataclasses.replace(j, holdout=0) if bare else j for j in journeys]
        shop = policy.shop
        book = open_book(chosen, currency=shop.currency, timezone=shop.timezone)
        self._book = book
        self._segments = None if segments is None else _heard(chosen, segments)
        kept = {} if self._segments is None else self._segments.segments
        touches = [touch_of(segment.rule) for segment in kept.values()]
        self._scored = any(touch.scored for touch in touches)
        self.names = [journey.name for journey in chosen]
        self.database = database
        counter = _Counter()
        self._shell = Shell(
            database,
            ManualClock(datetime.min.replace(tzinfo=UTC)),
            lambda: book,
            lambda: policy,
            renderer=counter,
            channels=dict.fromkeys(("email", "sms", "whatsapp", "webhook"), counter),
            bare=bare,
            exact=True,
            codes=StandIns(),
        )
        updates = _has(chosen, Update)
        self._passing = Passing(
            self._shell,
            # What one timer emits comes before the next. What one makes of the profile, or of where
            # the shopper is, is not known to a message, a calendar or a segment that was before it.
            one_by_one=_has(chosen, Emit)
            or changes_judgement(chosen)
            or (updates and bool(book.calendars or touches))
            or any(touch.journeys for touch in touches),
            segmented=bool(touches),
        )

    @property
    def refused(self) -> int:
        """Events that the drain set aside, with its reason in the table ``rejected``."""
        return self._passing.refused

    def run(
        self,
        events: Iterable[Event],
        until: timedelta,
        progress: Callable[[int], None] = lambda worked: None,
    ) -> dict[str, Tally]:
        """Replay ``events``, in any order, then let the clock run on for ``until`` past the
        last. ``progress`` is told how many have been worked."""
        recorded = sorted(events, key=lambda event: event.order_key)
        if recorded:
            shoppers = _shoppers(recorded)
            first, end = recorded[0].time, recorded[-1].time + until
            self._shell.clock = clock = ManualClock(first)
            worked = 0
            try:
                self._begin()
                scales = self._scales(first, end)
                scale = next(scales, None)
                for stretch in self._stretches(recorded):
                    while scale is not None and scale <= stretch[0].time:
                        self._measure(scale)
                        scale = next(scales, None)
                    clock.move_to(stretch[-1].time)
                    for turn in _turns(stretch, shoppers):
                        self._work(turn)
                        worked += len(turn)
                        progress(worked)
                while scale is not None:
                    self._measure(scale)
                    scale = next(scales, None)
                clock.move_to(end)
                self._passing.run_on(end)
            finally:
                self._passing.close()
        with self.database.connection() as connection:
            found = tally_store.tallies(connection)
        return {name: Tally(*found.get(name, ())) for name in self.names}

    def _begin(self) -> None:
        """Put the segments into force, while there is nobody who could be in one."""
        if self._segments is not None:
            put_into_force(self.database, self._shell.clock, self._segments)
            self._search()

    def _scales(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """When the scale of RFM scores is measured anew. All shoppers go by the same, so that these
        moments are everybody's."""
        if self._scored:
            while (first := first + SCALE_AGE + TICK) <= end:
                yield first

    def _stretches(self, recorded: list[Event]) -> Iterator[Sequence[Event]]:
        """Some events at a time, with no new scale between them."""
        age = SCALE_AGE + TICK
        first = recorded[0].time
        for _, some in groupby(recorded, lambda e: (e.time - first) // age if self._scored else 0):
            yield from slices(list(some), STRETCH)

    def _measure(self, at: datetime) -> None:
        assert isinstance(self._shell.clock, ManualClock)
        self._shell.clock.move_to(at)
        self._passing.run_on(at - TICK)
        self._search()

    def _search(self) -> None:
        """Decide about everybody by a new definition or scale."""
        measure(self._shell)
        while (done := search(self._shell, seconds=_PATIENCE)).place is not None or done.emitted:
            if done.busy:
                time.sleep(0.01)  # a transaction elsewhere on the server is not over
            if done.emitted:
                self._passing.drain_emitted()

    def _work(self, turn: Sequence[Event]) -> None:
        """One event each of different shoppers."""
        with self.database.connection() as connection:
            known = identities_store.owners(connection, [n for e in turn for n in e.identifiers])
        before = {
            known[name]: event.time - TICK
            for event in turn
            for name in event.identifiers
            if name in known
        }
        if before:
            self._passing.run_on(before)
        due = self._passing.accept(turn)
        if due or self._book.calendars:
            with self.database.connection() as connection:
                known = identities_store.owners(connection, [e.sender for e in turn])
            now = {known[e.sender]: e.time for e in turn if e.sender in known}
            self._passing.almanac.meet(now)
            if due:
                # What an event makes due at once goes before anything else happens to its shopper.
                self._passing.send(now)


def _heard(journeys: list[Journey], segments: SegmentSet) -> SegmentSet | None:
    """Those of ``segments`` that journeys are told of; None where that is none."""
    kept = reached(journeys, segments.segments)
    return dataclasses.replace(segments, segments=kept) if kept else None


def _has(journeys: Iterable[Journey], kind: type[Emit] | type[Update]) -> bool:
    return any(isinstance(step, kind) for journey in journeys for step in journey.steps.values())


class _Counter:
    """Stands for renderer and provider: takes every message, shows it to nobody."""

    name = "replay"

    def render(
        self,
        message: Message,
        traits: Mapping[str, Any] | Profile,
        properties: Mapping[str, Any],
        key: str = "",
        address: str = "",
    ) -> Rendered:
        return Email(message.id, address, "", "", message.template, "", "")

    def send(self, rendered: Rendered) -> Receipt:
        return Receipt(self.name, rendered.message_id)


def _shoppers(events: Iterable[Event]) -> dict[str, str]:
    """Identifier -> one that stands for all that it is tied to (union-find)."""
    above: dict[str, str] = {}

    def find(name: str) -> str:
        while (parent := above.setdefault(name, name)) != name:
            above[name] = above[parent]
            name = above[name]
        return name

    for event in events:
        first = find(event.sender)
        for other in event.identifiers[1:]:
            above[find(other)] = first
    return {name: find(name) for name in list(above)}


def _turns(events: Iterable[Event], shoppers: Mapping[str, str]) -> list[list[Event]]:
    """Rounds in which no shopper comes twice, and each shopper's events stay in order."""
    taken: dict[str, int] = {}
    turns: list[list[Event]] = []
    for event in events:
        shopper = shoppers[event.sender]
        place = taken[shopper] = taken.get(shopper, -1) + 1
        if place == len(turns):
            turns.append([])
        turns[place].append(event)
    return turns
