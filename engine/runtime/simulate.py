"""Journeys run on recorded events in memory: the same core, the same gate, no store.

Shoppers do not touch each other, so each has their own time: their timers are fired and their
messages judged when their next event comes, and at the end for all that is left. Memory grows
with the shoppers and with the history that conditions look at, not with the events.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from engine.core.book import JourneyBook, open_book
from engine.core.decision import Outcome
from engine.core.gate import judge
from engine.core.identity import resolve
from engine.core.profiles import merged_consents, merged_profiles, stricter
from engine.core.react import after_merge, on_event, on_timers
from engine.core.shopper import Run, Shopper
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.policy import Policy
from engine.model.profile import Consent, Profile

_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class Tally:
    """What one journey did. ``enrolled`` counts every run, ``held_out`` those of them that got
    nothing on purpose; ``messages`` what passed the gate; ``stopped`` runs a stop event ended,
    ``goals`` those of them that reached the goal."""

    enrolled: int = 0
    held_out: int = 0
    messages: int = 0
    stopped: int = 0
    goals: int = 0


@dataclass(slots=True)
class _Person:
    """A shopper with what in the real store lies in other tables."""

    shopper: Shopper
    consents: dict[tuple[str, str], Consent] = field(default_factory=dict)
    waiting: list[Message] = field(default_factory=list)
    sent: list[tuple[str, datetime]] = field(default_factory=list)


class Simulation:
    """Feed events in order of their own time, then ``finish``.

    ``bare`` leaves out holdout, caps, quiet hours, consent and the need for an address.
    """

    def __init__(self, journeys: Iterable[Journey], policy: Policy, *, bare: bool = False) -> None:
        chosen = [dataclasses.replace(j, holdout=0) if bare else j for j in journeys]
        self.book: JourneyBook = open_book(chosen, currency=policy.shop.currency)
        self.policy = policy
        self.bare = bare
        self.tallies = {journey.name: Tally() for journey in chosen}
        self.events = 0
        self._who: dict[str, int] = {}
        self._people: dict[int, _Person] = {}
        self._accounts: dict[int, set[str]] = {}
        self._last: datetime | None = None

    def feed(self, event: Event) -> None:
        """Work one event. Raises ``ValueError`` when it is older than the one before."""
        if self._last is not None and event.time < self._last:
            raise ValueError(f"event {event.id} of {event.time} comes after one of {self._last}")
        self._last = event.time
        self.events += 1
        person = self._person_of(event)
        shopper = person.shopper
        if shopper.live or person.waiting:
            on_timers(self.book, shopper, event.time, None)
            self._settle(person, event.time - _TICK)
        on_event(self.book, shopper, event, None)
        self._settle(person, event.time)

    def finish(self, until: timedelta) -> dict[str, Tally]:
        """Let the clock run on for ``until`` past the last event; gives the tallies."""
        if self._last is not None:
            end = self._last + until
            for person in self._people.values():
                self._run_on(person, end)
        return self.tallies

    def _run_on(self, person: _Person, end: datetime) -> None:
        """A message that waits may be judged between two timers: go from one to the next."""
        while True:
            times = [r.wake_at for r in person.shopper.live.values() if r.wake_at]
            times += [message.due_at for message in person.waiting]
            if not times or min(times) > end:
                return
            moment = min(times)
            on_timers(self.book, person.shopper, moment + _TICK, None)
            self._settle(person, moment)

    def _person_of(self, event: Event) -> _Person:
        ids = {self._who.get(name) for name in event.identifiers}
        if len(ids) == 1 and None not in ids:
            found = self._people.get(next(iter(ids)) or 0)
            if found is not None:
                return found
        known = {name: self._who[name] for name in event.identifiers if name in self._who}
        accounts = {id: self._accounts[id] for id in known.values() if id in self._accounts}
        resolution = resolve([event], known, accounts)
        self._who.update(resolution.assigned)
        id = resolution.profiles[0]
        for name in event.identifiers:
            if name.startswith("user:"):
                self._accounts.setdefault(id, set()).add(name)
        person = self._people.get(id)
        if person is None:
            person = self._people[id] = _Person(Shopper(Profile(id)))
        for gone in resolution.merged:
            self._merge(gone, id, event.time)
        return person

    def _merge(self, gone_id: int, into_id: int, at: datetime) -> None:
        gone, into = self._people.pop(gone_id), self._people[into_id]
        for person in (gone, into):  # each up to date by itself, before they are one
            on_timers(self.book, person.shopper, at, None)
            self._settle(person, at - _TICK)
        self._accounts.setdefault(into_id, set()).update(self._accounts.pop(gone_id, ()))
        for name, owner in self._who.items():
            if owner == gone_id:
                self._who[name] = into_id
        one, other = into.shopper, gone.shopper
        one.profile = merged_profiles(one.profile, other.profile)
        one.history.take(other.history)
        one.triggers.update(other.triggers)
        for place, last in other.runs.items():
            mine = one.runs.get(place)
            if mine is None or last.started_at > mine.started_at:
                one.runs[place] = Run(last.started_at, last.active or bool(mine and mine.active))
        ended = self._doubled(one, other)
        for run in other.live.values():
            if run.id not in ended:
                one.live[run.id] = msgspec.structs.replace(run, profile_id=into_id)
        for run_id in ended:
            one.live.pop(run_id, None)
        into.waiting = [m for m in into.waiting + gone.waiting if m.enrollment_id not in ended]
        into.sent += gone.sent
        kept = merged_consents(into.consents.values(), gone.consents.values())
        into.consents = {(c.channel, c.topic): c for c in kept}
        after_merge(self.book, one)
        self._settle(into, at - _TICK)

    @staticmethod
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

    def _settle(self, person: _Person, now: datetime) -> None:
        """Take in what the core decided, and put what is due by ``now`` through the gate."""
        shopper = person.shopper
        outcome = shopper.outcome
        if outcome.enrollments or outcome.messages or outcome.consents:
            self._take_in(person, outcome)
            shopper.outcome = Outcome()
        elif outcome.traces:
            shopper.outcome = Outcome()
        if person.waiting:
            self._deliver(person, now)

    def _take_in(self, person: _Person, outcome: Outcome) -> None:
        for id, run in outcome.enrollments.items():
            tally = self.tallies[run.journey]
            if id in outcome.entered:
                tally.enrolled += 1
                tally.held_out += run.held_out
            if id in outcome.stopped:
                tally.stopped += 1
                tally.goals += run.goal
        for consent in outcome.consents:
            place = (consent.channel, consent.topic)
            known = person.consents.get(place)
            person.consents[place] = consent if known is None else stricter(known, consent)
        if outcome.stopped:
            person.waiting = [m for m in person.waiting if m.enrollment_id not in outcome.stopped]
        person.waiting += [m for m in outcome.messages if m.enrollment_id not in outcome.stopped]
        if not person.waiting:
            self._release(person)

    def _deliver(self, person: _Person, now: datetime) -> None:
        profile = person.shopper.profile
        while due := [m for m in person.waiting if m.due_at <= now]:
            message = due[0] if len(due) == 1 else min(due, key=lambda m: (m.due_at, m.id))
            person.waiting.remove(message)
            kind = "email" if message.channel == "email" else "phone"
            if not self.bare and not profile.traits.get(kind):
                continue
            verdict = judge(
                message,
                self.policy,
                profile.traits,
                person.consents.values(),
                "",
                person.sent,
                message.due_at,
                bare=self.bare,
            )
            if verdict.action == "wait" and verdict.until is not None:
                person.waiting.append(msgspec.structs.replace(message, due_at=verdict.until))
            elif verdict.action == "send":
                self.tallies[message.journey].messages += 1
                topic = self.policy.topics.get(message.topic)
                if self.policy.caps and (topic is None or topic.consent != "none"):
                    person.sent.append((message.channel, message.due_at))
        self._release(person)

    @staticmethod
    def _release(person: _Person) -> None:
        """Let go of finished runs that have nothing left for a stop to reach."""
        live = person.shopper.live
        busy = {message.enrollment_id for message in person.waiting}
        for run in list(live.values()):
            if run.status == "finished" and not run.on_audience and run.id not in busy:
                del live[run.id]
