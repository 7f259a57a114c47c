"""Journeys run on recorded events in memory: the same core, the same gate, no store.

Shoppers do not touch each other, so each has their own time: their timers are fired and their
messages judged when their next event comes, and at the end for all that is left. Memory grows
with the shoppers and with the history that conditions look at, not with the events.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from engine.core.book import JourneyBook, open_book
from engine.core.calendar import may_begin, means, next_reached
from engine.core.consent import consents_of, stricter
from engine.core.coupons import StandIns
from engine.core.decision import Outcome
from engine.core.emitted import event_of
from engine.core.gate import Verdict, judge, uncapped
from engine.core.identity import resolve
from engine.core.ids import profile_id
from engine.core.profiles import ORDER, absorb
from engine.core.react import after_merge, on_event, on_timers
from engine.core.refusals import MEANINGS, NO_ADDRESS
from engine.core.shopper import Shopper
from engine.model.event import Event
from engine.model.journey import WITHOUT, Journey
from engine.model.message import Message
from engine.model.policy import Policy
from engine.model.profile import Profile
from engine.runtime.keepsakes import Keepsakes, Remembered
from engine.runtime.looks import changes_judgement
from engine.runtime.observer import Fault, Observer, Reused, Tally, Untraced, undisturbed
from engine.runtime.person import Person

__all__ = ["Observer", "Simulation", "Tally", "undisturbed"]

_TICK = timedelta(microseconds=1)
_UNREACHABLE = Verdict("skip", MEANINGS[NO_ADDRESS], code=NO_ADDRESS)
#: Whom events name that no shopper caused: they are fed to whom they are about.
_NOBODY = ("winback:",)
#: No traits, no money yet: shared by all who have none.
_NOTHING: dict[str, Any] = {}
#: A simulation never takes the shop's codes, and has enough of them.
_CODES = StandIns()


class Simulation:
    """Feed events in order of their own time, then ``finish``.

    ``bare`` leaves out holdout, caps, quiet hours, consent and the need for an address. With an
    ``observer`` traces are kept, and every shopper's orders are in the history; ``written``: it
    writes the messages, and needs the whole of their events.
    """

    def __init__(
        self,
        journeys: Iterable[Journey],
        policy: Policy,
        *,
        bare: bool = False,
        observer: Observer | None = None,
        written: bool = False,
    ) -> None:
        chosen = [dataclasses.replace(j, holdout=0) if bare else j for j in journeys]
        shop = policy.shop
        self.book: JourneyBook = open_book(chosen, currency=shop.currency, timezone=shop.timezone)
        self.policy = policy
        self.bare = bare
        self.observer = observer or Observer()
        self._observed = observer is not None
        if self._observed:
            self.book.remembered |= {ORDER}
        self.tallies = {journey.name: Tally() for journey in chosen}
        #: what journeys raised (P10), and how often
        self.failures: Counter[Fault] = Counter()
        #: journeys that a shopper is in only once the trigger's ``without`` has passed
        self._wait_first = frozenset(j.name for j in chosen if j.start == WITHOUT)
        #: journeys that a finished run keeps nobody out of
        self._always = frozenset(j.name for j in chosen if j.trigger.again.rule == "always")
        self.events = 0
        self._who: dict[str, int] = {}
        self._people: dict[int, Person] = {}
        #: what the core decides goes in here. Empty between two stimuli, so all shoppers share it.
        self._outcome = Reused() if self._observed else Untraced()
        self._last: datetime | None = None
        self._uncapped = frozenset(uncapped(policy))
        #: What a timer makes of the profile is not known to a message that was due before it.
        self._go = self._fire_each if changes_judgement(chosen) else self._fire
        caps = () if bare else policy.caps
        self._longest_cap = max((cap.within for cap in caps), default=None)
        self._keepsakes = Keepsakes(chosen, self.book, watched=self._observed, written=written)
        #: before it only ``learn`` was called: calendars of then began nothing
        self._since: datetime | None = None

    def introduce(self, event: Event) -> Shopper:
        """Take in what an Identify says of its shopper without waking any journey; gives the
        shopper, as known from then on."""
        person = self._person_of(event)
        person.shopper.profile = absorb(person.shopper.profile, event)
        person.shopper.outcome.consents.extend(consents_of(event))
        person.looked = event.time
        self._settle(person, event.time)
        return person.shopper

    def advance(self, before: datetime) -> None:
        """Let the clock run to just before that time, from one timer to the next."""
        for person in self._people.values():
            self._run_on(person, before - _TICK)

    def feed(self, event: Event) -> None:
        """Work one event. Raises ``ValueError`` when it is older than the one before."""
        self._in_order(event)
        self.events += 1
        person = self._person_of(event)
        shopper = person.shopper
        if self.book.calendars:
            if self._since is None:
                self._since = event.time
            self._pass_time(person, event.time - _TICK, self._go)
        elif person.next_at is not None and person.next_at < event.time:
            self._go(person, event.time - _TICK)
        if self._observed:
            self.observer.happened(shopper, event)
        on_event(self.book, shopper, event, None)
        if shopper.outcome.emitted:
            self._work_emitted(person)
        self._settle(person, event.time)

    def learn(self, event: Event) -> None:
        """Take in an event from before the time that is simulated: who the shopper is, what they
        bought and allow. It starts no run. Raises ``ValueError`` as ``feed`` does."""
        self._in_order(event)
        person = self._person_of(event)
        on_event(self.book, person.shopper, event, None, [])
        person.looked, self._since = event.time, None
        self._settle(person, event.time)

    def run(self, events: Iterable[Event], until: timedelta) -> dict[str, Tally]:
        """``feed`` all of ``events``, then ``finish``."""
        with undisturbed():
            feed = self.feed
            for event in events:
                feed(event)
            return self.finish(until)

    def finish(self, until: timedelta) -> dict[str, Tally]:
        """Let the clock run on for ``until`` past the last event; gives the tallies."""
        if self._last is not None:
            end = self._last + until
            for person in self._people.values():
                if person.next_at is not None or self.book.calendars:
                    self._run_on(person, end)
        return self.tallies

    def called(self, profile: int) -> str:
        """What a shopper is called where they may be named: by a user id before a cart or a
        cookie, never by an address or a number."""
        names = self._people[profile].names
        for kind in ("user:", "cart:", "anonymous:"):
            if found := sorted(name for name in names if name.startswith(kind)):
                return found[0]
        return f"profile:{profile}"

    def _run_on(self, person: Person, end: datetime) -> None:
        self._pass_time(person, end, self._fire_each)

    def _pass_time(
        self, person: Person, until: datetime, fire: Callable[[Person, datetime], None]
    ) -> None:
        """Let all happen that happens to a shopper of itself by ``until``. ``fire`` does so for
        timers and messages."""
        if self.book.calendars:
            # Who comes at a moment was not there to reach it.
            after = until + _TICK if person.looked is None else person.looked
            if self._since is not None:
                after = max(after, self._since)
            shopper = person.shopper
            while reached := next_reached(self.book, shopper, after, until, _NOBODY):
                after = reached[0].time
                fire(person, after - _TICK)
                if meant := [one for one in reached if self._means(shopper, one)]:
                    self._happen(person, meant)
                self._work_emitted(person)
                self._settle(person, after)
            person.looked = max(until, after)
        fire(person, until)

    def _fire(self, person: Person, until: datetime) -> None:
        """Fire all timers, then judge all messages."""
        if person.next_at is None:
            return
        shopper = person.shopper
        on_timers(self.book, shopper, until + _TICK, None)
        while shopper.outcome.emitted:
            self._work_emitted(person)
            on_timers(self.book, shopper, until + _TICK, None)
        self._settle(person, until)

    def _fire_each(self, person: Person, until: datetime) -> None:
        """A message that waits may be judged between two timers: go from one to the next."""
        while (moment := person.next_at) is not None and moment <= until:
            self._fire(person, moment)

    def _work_emitted(self, person: Person) -> None:
        """What steps emitted is worked before anything else happens to the shopper, as where it
        lies in the inbox and holds them."""
        shopper = person.shopper
        while emitted := sorted(shopper.outcome.emitted, key=lambda one: (one.time, one.id)):
            shopper.outcome.emitted = []
            self._settle(person, emitted[0].time - _TICK)
            self._happen(person, [event_of(one, _NOBODY, one.time) for one in emitted])

    def _means(self, shopper: Shopper, reached: Event) -> bool:
        """Whether the journey of a calendar means the shopper: else nothing happens to them."""
        journey = self.book.current[reached.properties["journey"]]
        if not may_begin(journey, shopper.profile, reached.time):
            return False
        try:
            meant = means(self.book, journey, shopper, reached)
        except Exception:  # the journey's fault, which the event shows when it is worked (P10)
            return True
        if not meant and self._observed:
            self.observer.happened(shopper, reached)
        return meant

    def _happen(self, person: Person, events: Sequence[Event]) -> None:
        """Work events that nothing comes between."""
        for event in events:
            if self._observed:
                self.observer.happened(person.shopper, event)
            on_event(self.book, person.shopper, event, None)

    def _in_order(self, event: Event) -> None:
        if self._last is not None and event.time < self._last:
            raise ValueError(f"event {event.id} of {event.time} comes after one of {self._last}")
        self._last = event.time

    def _person_of(self, event: Event) -> Person:
        who, names = self._who, event.identifiers
        id = who.get(names[0])
        if id is not None:
            for name in names[1:]:
                if who.get(name) != id:
                    break
            else:
                return self._people[id]
        known = {name: who[name] for name in names if name in who}
        if not known:  # somebody new: there is nothing to resolve
            id = profile_id(names[0])
            person = self._people[id] = self._new_person(id)
            for name in names:
                who[name] = id
                person.names.append(name)
            return person
        accounts = {
            id: {n for n in self._people[id].names if n.startswith("user:")}
            for id in set(known.values())
        }
        resolution = resolve([event], known, accounts)
        id = resolution.profiles[0]
        person = self._people.get(id) or self._people.setdefault(id, self._new_person(id))
        for name in resolution.assigned:
            before = who.get(name)
            # What a merge moves, moves with the profile that is gone.
            if before is None or before not in resolution.merged:
                if before is not None:
                    self._people[before].names.remove(name)
                who[name] = id
                person.names.append(name)
        for gone in resolution.merged:
            self._merge(gone, id, event.time)
        if resolution.merged:  # all of them first: of runs that are doubled one is left to stop
            after_merge(self.book, person.shopper)
            self._settle(person, event.time - _TICK)
        return person

    def _new_person(self, id: int) -> Person:
        profile = Profile(id, _NOTHING, 0, _NOTHING)
        history = Remembered(self._keepsakes)
        return Person(Shopper(profile, history=history, outcome=self._outcome, codes=_CODES))

    def _merge(self, gone_id: int, into_id: int, at: datetime) -> None:
        gone, into = self._people.pop(gone_id), self._people[into_id]
        for person in (gone, into):  # each up to date by itself, before they are one
            self._pass_time(person, at - _TICK, self._go)
        if self._observed:
            self.observer.merged(gone_id, into_id)
        for name in gone.names:
            self._who[name] = into_id
        into.join(gone)

    def _settle(self, person: Person, now: datetime) -> None:
        """Take in what the core decided, and put what is due by ``now`` through the gate."""
        shopper = person.shopper
        outcome = shopper.outcome
        changed = bool(outcome.enrollments or outcome.messages or outcome.consents)
        entered: tuple[str, ...] = ()
        if self._observed:
            self.observer.about(shopper)
            if changed or outcome.traces:
                self.observer.decided(shopper, outcome)
        if changed:
            self._take_in(person, outcome)
            entered = tuple(outcome.entered)
        if outcome.failures:
            self.failures.update(map(Fault.of, outcome.failures))
        if changed or outcome.traces or outcome.failures:
            self._outcome.forget()
        if person.waiting:
            self._deliver(person, now)
        elif changed:
            person.release()
        if entered and shopper.live:
            person.pack(self._keepsakes, entered)
        if len(shopper.runs) > person.runs_kept:
            person.forget_runs(self.book, now)
        person.look_ahead()

    def _take_in(self, person: Person, outcome: Outcome) -> None:
        entered, qualified, stopped = outcome.entered, outcome.qualified, outcome.stopped
        for id, run in outcome.enrollments.items():
            journey = run.journey
            if id in qualified or (id in entered and journey not in self._wait_first):
                tally = self.tallies[journey]
                tally.enrolled += 1
                tally.held_out += run.held_out
            if id in stopped and run.qualified:
                tally = self.tallies[journey]
                tally.stopped += 1
                tally.goals += run.goal
            if run.status != "active" and journey in self._always:
                person.forget_run(run)
        for consent in outcome.consents:
            place = (consent.channel, consent.topic)
            known = person.consents.get(place)
            stands = consent if known is None else stricter(known, consent)
            person.consents = {**person.consents, place: stands}
        waiting = person.waiting
        if outcome.messages:
            waiting = (*waiting, *outcome.messages)
        if waiting and stopped:
            waiting = tuple(m for m in waiting if m.enrollment_id not in stopped)
        person.waiting = waiting

    def _deliver(self, person: Person, now: datetime) -> None:
        while waiting := person.waiting:
            if len(waiting) == 1:
                message = waiting[0]
                if message.due_at > now:
                    break
                person.waiting = ()
            else:
                due = [m for m in waiting if m.due_at <= now]
                if not due:
                    break
                message = min(due, key=lambda m: (m.due_at, -m.priority, m.id))
                person.waiting = tuple(m for m in waiting if m is not message)
            verdict = self._judge(person, message)
            if self._observed:
                self.observer.judged(message, verdict)
            if verdict.action == "wait" and verdict.until is not None:
                ends = verdict.expires or message.expires_at
                person.waiting += (
                    msgspec.structs.replace(message, due_at=verdict.until, expires_at=ends),
                )
            elif verdict.action == "send" and message.channel != "webhook":
                self.tallies[message.journey].messages += 1
                if self._longest_cap is not None and message.topic not in self._uncapped:
                    person.note_sent(message, self._longest_cap)
        person.release()

    def _judge(self, person: Person, message: Message) -> Verdict:
        traits = person.shopper.profile.traits
        kind = "email" if message.channel == "email" else "phone"
        if not self.bare and message.channel != "webhook" and not traits.get(kind):
            return _UNREACHABLE
        consents = person.consents.values()
        at = message.due_at
        return judge(message, self.policy, traits, consents, "", person.sent, at, bare=self.bare)
