"""Time that passes in an event-time replay: what happens of itself, each thing at its own moment.

Shoppers do not touch each other, so each has a clock of their own here, and a round does the next
moment of all of them at once. What comes first at one moment is as in the live pipeline: what
happened goes before the timers of that moment, and of what happened a calendar goes before what
time does to a segment, which looks at the shopper after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from engine.errors import WinbackError
from engine.model.event import Event
from engine.runtime.almanac import Almanac, Until
from engine.runtime.deliver import Deliverer
from engine.runtime.drain import drain
from engine.runtime.segments.look import look
from engine.runtime.shell import Shell
from engine.runtime.wake import wake
from engine.store import inbox as inbox_store
from engine.store import lanes as lanes_store
from engine.store import messages as messages_store
from engine.store import runs as runs_store
from engine.store import segments as segments_store

TICK = timedelta(microseconds=1)
#: Shoppers in a batch.
BATCH = 2000
#: Everything recorded goes through one lane: there is one worker, and a lane keeps order.
LANE = 0
_WRITER = "web:replay"
#: More than a lane ever holds here: what is emitted at one moment is worked as one batch.
_ALL = 1_000_000

Item = TypeVar("Item")
Moments = dict[int, datetime]


class Passing:
    """``one_by_one``: timers are fired one after another, for what one of them does may come before
    the next. ``segmented``: segments are kept."""

    def __init__(self, shell: Shell, *, one_by_one: bool, segmented: bool) -> None:
        self._shell = shell
        self._deliverer = Deliverer(shell)
        self._one_by_one = one_by_one
        self._segmented = segmented
        self.almanac = Almanac(shell.database, shell.book())
        #: events that the drain set aside, with its reason in the table ``rejected``
        self.refused = 0

    def close(self) -> None:
        self._deliverer.close()

    def accept(self, events: Sequence[Event]) -> int:
        """Put events of different shoppers, or of one moment, through the inbox, and then what
        they lead to that is an event itself; gives how many messages that made due."""
        lines = [
            inbox_store.event_line(msgspec.structs.replace(e, received_at=e.time), LANE)
            for e in events
        ]
        with self._shell.database.connection() as connection:
            inbox_store.write(connection, lines, writer=_WRITER)
        done = drain(self._shell, LANE, len(events))
        if done.taken != len(events):
            raise WinbackError(
                f"{len(events)} events were put into the inbox, {done.taken} came out: another "
                "worker is at work on this database."
            )
        self.refused += done.refused
        return done.due + (self.drain_emitted() if done.emitted else 0)

    def drain_emitted(self) -> int:
        """Work what was emitted until nothing is left; gives how many messages that made due."""
        due = 0
        while True:
            with self._shell.database.connection() as connection:
                lanes = lanes_store.with_work(connection)
            if not lanes:
                return due
            for lane in lanes:
                done = drain(self._shell, lane, _ALL)
                self.refused += done.refused
                due += done.due

    def run_on(self, until: Until) -> None:
        """Let all happen by ``until`` that happens of itself: calendars, looks of segments, timers
        and messages."""
        while self._next(until):
            pass
        if not self._one_by_one:
            self._fire(until)
        self.send(until)

    def _next(self, until: Until) -> bool:
        """Do the next moment of every shopper; False where nobody has one. Unless they go one by
        one, timers are no moments but are fired up to the next."""
        looks: Moments = {}
        timers: Moments = {}
        if self._segmented or self._one_by_one:
            with self._shell.database.connection() as connection:
                if self._segmented:
                    looks = segments_store.first_looks(connection, until)
                if self._one_by_one:
                    timers = runs_store.first_timers(connection, until)
        reached = self.almanac.reached(until, looks, timers)
        looks = {
            id: at for id, at in looks.items() if id not in reached and at <= timers.get(id, at)
        }
        timers = {id: at for id, at in timers.items() if id not in reached and id not in looks}
        moments = {id: events[0].time for id, events in reached.items()} | looks | timers
        if not moments:
            return False
        before = {id: at - TICK for id, at in moments.items()}
        if not self._one_by_one:
            self._fire(before)
        self.send(before)
        if reached:
            self._reach(reached)
        if looks:
            self._look(looks)
        for some in slices(list(timers), BATCH):
            if wake(self._shell, until={id: timers[id] for id in some}).emitted:
                self.drain_emitted()
        self.almanac.changed(moments)
        return True

    def _reach(self, reached: Mapping[int, Sequence[Event]]) -> None:
        due = 0
        for some in slices(list(reached), BATCH):
            due += self.accept([event for id in some for event in reached[id]])
        if due:
            self.send({id: events[0].time for id, events in reached.items()})

    def _look(self, looks: Moments) -> None:
        due = 0
        for some in slices(list(looks), BATCH):
            done = look(self._shell, until={id: looks[id] for id in some})
            if done.looked < len(some):
                raise WinbackError(
                    f"{len(some) - done.looked} shoppers could not be looked at: another worker is "
                    "at work on this database."
                )
            due += self.drain_emitted() if done.emitted else 0
        if due:
            self.send(looks)

    def _fire(self, until: Until) -> None:
        """Fire the timers that run out by ``until``."""
        with self._shell.database.connection() as connection:
            profiles = runs_store.due_by(connection, until)
        for some in slices(profiles, BATCH):
            wake(
                self._shell,
                until={id: until if isinstance(until, datetime) else until[id] for id in some},
            )

    def send(self, until: Until) -> None:
        """Hand over what is due by ``until``, of each shopper in order of time: what quiet hours
        hold back is due again later, and may come after what was behind it."""
        last: dict[str, datetime] = {}
        while True:
            with self._shell.database.connection() as connection:
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


def slices(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """``items``, so many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
