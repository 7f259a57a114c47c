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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from engine.clock import ManualClock
from engine.core.book import open_book
from engine.core.calendar import next_reached
from engine.core.coupons import StandIns
from engine.core.shopper import Shopper
from engine.errors import WinbackError
from engine.model.event import Event
from engine.model.journey import Emit, Journey
from engine.model.message import Email, Message, Receipt, Rendered
from engine.model.policy import Policy
from engine.model.profile import Profile
from engine.runtime.deliver import Deliverer
from engine.runtime.drain import drain
from engine.runtime.looks import changes_judgement
from engine.runtime.shell import Shell
from engine.runtime.simulate import Tally
from engine.runtime.wake import wake
from engine.store import identities as identities_store
from engine.store import inbox as inbox_store
from engine.store import lanes as lanes_store
from engine.store import messages as messages_store
from engine.store import profiles as profiles_store
from engine.store import runs as runs_store
from engine.store import tally as tally_store
from engine.store.database import Database

#: Events in a stretch: the clock moves on by one at a time, and so does the progress bar.
STRETCH = 2000
#: Everything goes through one lane: there is one worker, and a lane keeps order.
LANE = 0
_WRITER = "web:replay"
_TICK = timedelta(microseconds=1)
#: More than a lane ever holds here: what is emitted at one moment is worked as one batch.
_ALL = 1_000_000

Item = TypeVar("Item")
Until = Mapping[int, datetime] | datetime


class NotEmpty(WinbackError):
    """The database holds a shop already."""


class Replay:
    """One replay into an empty, migrated ``database``. Nothing is sent: a counter stands where
    the providers would.

    ``bare`` leaves out holdout, caps, quiet hours, consent and the need for an address.
    Raises ``NotEmpty`` where the database holds events already.
    """

    def __init__(
        self,
        database: Database,
        journeys: Iterable[Journey],
        policy: Policy,
        *,
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
        #: whether timers must be fired one after another: what one emits comes before the next, and
        #: what it makes of the profile is not known to a message that was due before it
        self._one_by_one = any(
            isinstance(s, Emit) for j in chosen for s in j.steps.values()
        ) or changes_judgement(chosen)
        #: profile -> up to when its calendars have been looked at
        self._looked: dict[int, datetime] = {}
        self.names = [journey.name for journey in chosen]
        self.database = database
        #: events that the drain set aside, with its reason in the table ``rejected``
        self.refused = 0
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
        self._deliverer = Deliverer(self._shell)

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
            self._shell.clock = clock = ManualClock(recorded[0].time)
            worked = 0
            try:
                for stretch in _slices(recorded, STRETCH):
                    clock.move_to(stretch[-1].time)
                    for turn in _turns(stretch, shoppers):
                        self._work(turn)
                        worked += len(turn)
                        progress(worked)
                end = recorded[-1].time + until
                clock.move_to(end)
                self._run_on(end)
            finally:
                self._deliverer.close()
        with self.database.connection() as connection:
            found = tally_store.tallies(connection)
        return {name: Tally(*found.get(name, ())) for name in self.names}

    def _work(self, turn: Sequence[Event]) -> None:
        """One event each of different shoppers."""
        with self.database.connection() as connection:
            known = identities_store.owners(connection, [n for e in turn for n in e.identifiers])
        before = {
            known[name]: event.time - _TICK
            for event in turn
            for name in event.identifiers
            if name in known
        }
        if before:
            self._run_on(before)
        due = self._accept(turn)
        if due or self._book.calendars:
            with self.database.connection() as connection:
                known = identities_store.owners(connection, [e.sender for e in turn])
            now = {known[e.sender]: e.time for e in turn if e.sender in known}
            for profile, at in now.items():
                self._looked.setdefault(profile, at)
            if due:
                # What an event makes due at once goes before anything else happens to its shopper.
                self._send(now)

    def _accept(self, events: Sequence[Event]) -> int:
        """Put events of different shoppers, or of one moment, through the inbox, and then what
        the steps emit that they lead to; gives how many messages that made due."""
        lines = [
            inbox_store.event_line(msgspec.structs.replace(e, received_at=e.time), LANE)
            for e in events
        ]
        with self.database.connection() as connection:
            inbox_store.write(connection, lines, writer=_WRITER)
        done = drain(self._shell, LANE, len(events))
        if done.taken != len(events):
            raise WinbackError(
                f"{len(events)} events were put into the inbox, {done.taken} came out: another "
                "worker is at work on this database."
            )
        self.refused += done.refused
        return done.due + (self._drain_emitted() if done.emitted else 0)

    def _drain_emitted(self) -> int:
        """Work what steps emitted until nothing is left; gives how many messages that made due."""
        due = 0
        while True:
            with self.database.connection() as connection:
                lanes = lanes_store.with_work(connection)
            if not lanes:
                return due
            for lane in lanes:
                done = drain(self._shell, lane, _ALL)
                self.refused += done.refused
                due += done.due

    def _run_on(self, until: Until) -> None:
        """Let all happen by ``until`` that happens of itself: timers, calendars, messages."""
        if self._book.calendars:
            self._reach_calendars(until)
        if self._one_by_one:
            self._fire_each(until)
        else:
            self._fire(until)
        self._send(until)

    def _fire(self, until: Until) -> None:
        """Fire the timers that run out by ``until``."""
        with self.database.connection() as connection:
            profiles = runs_store.due_by(connection, until)
        for some in _slices(profiles, STRETCH):
            wake(
                self._shell,
                until={id: until if isinstance(until, datetime) else until[id] for id in some},
            )

    def _fire_each(self, until: Until) -> None:
        """Fire the timers one after another: first goes what fell due before a timer, and what
        one emits is worked before the next."""
        while True:
            with self.database.connection() as connection:
                first = runs_store.first_timers(connection, until)
            if not first:
                return
            self._send({profile: at - _TICK for profile, at in first.items()})
            for some in _slices(list(first), STRETCH):
                if wake(self._shell, until={id: first[id] for id in some}).emitted:
                    self._drain_emitted()

    def _reach_calendars(self, until: Until) -> None:
        """Work the calendars that shoppers reach by ``until``, each in order of time."""
        profiles = [p for p in self._looked if isinstance(until, datetime) or p in until]
        ends = {p: until if isinstance(until, datetime) else until[p] for p in profiles}
        searched = profiles
        while searched:
            reached = self._next_reached(searched, ends)
            searched = list(reached)
            for some in _slices(searched, STRETCH):
                moments = {profile: reached[profile][0].time for profile in some}
                before = {profile: at - _TICK for profile, at in moments.items()}
                (self._fire_each if self._one_by_one else self._fire)(before)
                self._send(before)
                self._accept([event for profile in some for event in reached[profile]])
                self._send(moments)
                self._looked.update(moments)
        # Of two events at one moment the second does not take the clock back before the first.
        self._looked.update((p, max(self._looked[p], end)) for p, end in ends.items())

    def _next_reached(
        self, profiles: Sequence[int], ends: Mapping[int, datetime]
    ) -> dict[int, list[Event]]:
        with self.database.connection() as connection:
            known, _ = profiles_store.lock(connection, profiles)
            names = identities_store.strongest(connection, known)
        found = {}
        for id, profile in known.items():
            after, end = self._looked[id], ends[id]
            events = next_reached(self._book, Shopper(profile), after, end, (names[id],))
            if events:
                found[id] = events
        return found

    def _send(self, until: Until) -> None:
        """Hand over what is due by ``until``, of each shopper in order of time: what quiet hours
        hold back is due again later, and may come after what was behind it."""
        last: dict[str, datetime] = {}
        while True:
            with self.database.connection() as connection:
                candidates = messages_store.first_due(connection, until)
            if not candidates:
                return
            now = {c.message.id: c.message.due_at for c in candidates}
            if now == last:
                raise WinbackError(
                    f"{len(now)} messages stay due whatever is done: another worker is at work "
                    "on this database."
                )
            last = now
            self._deliverer.hand_over(candidates)


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


def _slices(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
