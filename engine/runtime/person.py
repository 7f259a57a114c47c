"""A shopper in a simulation: with what lies in other tables of the real store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from engine.core.book import JourneyBook
from engine.core.consent import merged_consents
from engine.core.profiles import merged_profiles
from engine.core.shopper import Run, Shopper
from engine.model.enrollment import Enrollment
from engine.model.message import Message, Sent
from engine.model.profile import Consent
from engine.runtime.keepsakes import Keepsakes

#: Shared by all who have nothing to put in.
_NONE: dict[Any, Any] = {}
_FEW_RUNS = 2


@dataclass(slots=True)
class Person:
    """A shopper with what in the real store lies in other tables."""

    shopper: Shopper
    #: these three are not changed but replaced: most people have none of a thing
    consents: dict[tuple[str, str], Consent] = field(default_factory=lambda: _NONE)
    waiting: tuple[Message, ...] = ()
    sent: tuple[Sent, ...] = ()
    #: the identifiers that lead here
    names: list[str] = field(default_factory=list)
    #: so many runs are remembered before old ones are forgotten
    runs_kept: int = _FEW_RUNS
    #: no timer and no message falls due before; None: none ever does
    next_at: datetime | None = None
    #: up to when calendars have been looked at; None: the shopper has only just come
    looked: datetime | None = None

    def pack(self, kept: Keepsakes, entered: Iterable[str]) -> None:
        """Keep of the trigger events of these runs no more than somebody looks at."""
        shopper = self.shopper
        for id in entered:
            if (run := shopper.live.get(id)) is not None:
                properties = shopper.triggers.get(run.event_id)
                if properties is not None:
                    shopper.triggers[run.event_id] = kept.of(properties)

    def note_sent(self, message: Message, longest: timedelta) -> None:
        """Note it for the caps, of which the longest looks so far back."""
        sent, due_at = self.sent, message.due_at
        if sent and sent[0].at <= (since := due_at - longest):
            sent = tuple(one for one in sent if one.at > since)
        self.sent = (*sent, Sent(message.channel, message.topic, due_at))

    def look_ahead(self) -> None:
        """Work out ``next_at``."""
        first: datetime | None = None
        for run in self.shopper.live.values():
            at = run.wake_at
            if at is not None and (first is None or at < first):
                first = at
        for message in self.waiting:
            if first is None or message.due_at < first:
                first = message.due_at
        self.next_at = first

    def release(self) -> None:
        """Let go of finished runs that have nothing left for a stop to reach, and of the trigger
        events of runs that are gone."""
        shopper = self.shopper
        live = shopper.live
        if live:
            over = [r.id for r in live.values() if r.status == "finished" and not r.on_audience]
            if over and self.waiting:
                busy = {message.enrollment_id for message in self.waiting}
                over = [id for id in over if id not in busy]
            if len(over) == len(live):
                shopper.live = live = {}  # a dict that was larger stays so
            else:
                for id in over:
                    del live[id]
        if shopper.triggers and not live and not self.waiting:
            shopper.triggers = {}

    def forget_run(self, run: Enrollment) -> None:
        """Forget that there was a run, which keeps no other out, unless there is one now."""
        runs = self.shopper.runs
        last = runs.get((run.journey, run.key))
        if last is not None and not last.active:
            del runs[run.journey, run.key]
            if not runs:
                self.shopper.runs = {}

    def forget_runs(self, book: JourneyBook, now: datetime) -> None:
        """Forget past runs that keep nobody from starting anew: else a shopper with many products
        is remembered for each of them."""
        runs = {}
        for place, run in self.shopper.runs.items():
            journey = book.current.get(place[0])
            again = None if journey is None else journey.trigger.again
            over = again is not None and (
                again.rule == "always"
                or (again.rule == "after" and now - run.started_at > again.after)
            )
            if run.active or not over:
                runs[place] = run
        self.shopper.runs = runs
        self.runs_kept = max(_FEW_RUNS, 2 * len(runs))

    def join(self, gone: Person) -> None:
        """Be one with another half of the same shopper."""
        self.names += gone.names
        one, other = self.shopper, gone.shopper
        one.profile = merged_profiles(one.profile, other.profile)
        one.history.take(other.history)
        one.triggers.update(other.triggers)
        for place, last in other.runs.items():
            mine = one.runs.get(place)
            if mine is None or last.started_at > mine.started_at:
                one.runs[place] = Run(last.started_at, last.active or bool(mine and mine.active))
        ended = _doubled(one, other)
        for run in other.live.values():
            if run.id not in ended:
                one.live[run.id] = msgspec.structs.replace(run, profile_id=one.profile.id)
        for run_id in ended:
            one.live.pop(run_id, None)
        both = self.waiting + gone.waiting
        self.waiting = tuple(m for m in both if m.enrollment_id not in ended)
        self.sent += gone.sent
        kept = merged_consents(self.consents.values(), gone.consents.values())
        self.consents = {(c.channel, c.topic): c for c in kept}


def _doubled(one: Shopper, other: Shopper) -> set[str]:
    """Of two active runs of the same journey and key, the one that began later."""
    mine = {(r.journey, r.key): r for r in one.live.values() if r.status == "active"}
    ended: set[str] = set()
    for run in other.live.values():
        twin = mine.get((run.journey, run.key))
        if run.status == "active" and twin is not None:
            later = max(run, twin, key=lambda r: (r.entered_at, r.event_id))
            ended.add(later.id)
    return ended
