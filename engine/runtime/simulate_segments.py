"""A simulation with segments: who enters and leaves them as things happen and as time passes, and
the journeys that this starts.

Only the segments that the journeys hear of are kept. Where they hear of none it is the plain
simulation, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine.core.decision import Outcome
from engine.core.emitted import event_of, ours
from engine.core.react import on_event, on_timers
from engine.core.segment_story import Story, told_by
from engine.core.segments import Change, Held, Standing
from engine.language.segments import SegmentSet
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.model.profile import Profile
from engine.model.segment import Scale, Segment
from engine.runtime.members import Member, Members
from engine.runtime.observer import Observer
from engine.runtime.person import Person
from engine.runtime.reached import TELLING, reached
from engine.runtime.simulate import Simulation

_TICK = timedelta(microseconds=1)
_NOBODY = ("winback:",)


@dataclass(frozen=True, slots=True)
class Segments:
    """What a simulation must know of a shop's segments: their rules by name, the identifiers on its
    static ``lists``, and the ``scale`` for RFM scores (None: nobody has any)."""

    rules: Mapping[str, Segment]
    lists: Mapping[str, Collection[str]]
    scale: Scale | None = None

    @classmethod
    def of(cls, found: SegmentSet, scale: Scale | None = None) -> Segments:
        """Those of a project."""
        lists = {name: one.identifiers for name, one in found.lists.items()}
        return cls(found.segments, lists, scale)


@dataclass(slots=True)
class Crossings:
    """How many times a shopper entered a segment, and left it."""

    entered: int = 0
    left: int = 0


def simulation_of(
    journeys: Iterable[Journey],
    policy: Policy,
    segments: Segments | None = None,
    *,
    more: Collection[str] = (),
    **options: Any,
) -> Simulation:
    """A simulation of ``journeys``; ``more`` segments are kept whether journeys hear of them or
    not. ``options`` as for ``Simulation``."""
    chosen = list(journeys)
    kept = {} if segments is None else reached(chosen, segments.rules, more)
    if segments is None or not kept:
        return Simulation(chosen, policy, **options)
    held = [Held(segment, segments.scale) for segment in kept.values()]
    return SegmentSimulation(chosen, policy, Members(held, segments.lists), **options)


class SegmentSimulation(Simulation):
    """As ``Simulation``, with the segments of ``members``."""

    def __init__(
        self,
        journeys: Iterable[Journey],
        policy: Policy,
        members: Members,
        *,
        bare: bool = False,
        observer: Observer | None = None,
        written: bool = False,
    ) -> None:
        super().__init__(journeys, policy, bare=bare, observer=observer, written=written)
        self.members = members
        self.crossings = {name: Crossings() for name in sorted(members.book.every)}
        #: before it all was only learned; None: nothing was
        self._begun: datetime | None = None
        self._learning = False
        # Each change is told at its moment, so timers and looks are worked one after the other.
        self._go = self._fire_each

    def begin(self, at: datetime) -> None:
        """Take where everybody stands at ``at`` as given: nobody has entered by it."""
        for person in self._people.values():
            self.members.look(_member(person), at)

    def standings(self) -> Iterator[tuple[int, str, Standing]]:
        """Where everybody stands: profile, segment."""
        for id, person in self._people.items():
            for name, standing in _member(person).standings.items():
                yield id, name, standing

    def feed(self, event: Event) -> None:
        if self._said_here(event):
            return
        self._in_order(event)
        self.events += 1
        if self._learning:
            self._learning, self._begun = False, event.time
        if self.book.calendars and self._since is None:
            self._since = event.time
        person = self._person_of(event)
        self._pass_time(person, event.time - _TICK, self._go)
        self._happen(person, [event], named=self.members.note_names(_member(person)))
        self._work_emitted(person)
        self._settle(person, event.time)

    def learn(self, event: Event) -> None:
        if self._said_here(event):
            return
        self._in_order(event)
        person = _member(self._person_of(event))
        self._learn_by_time(person, event.time - _TICK)
        self._learn(person, [event], named=self.members.note_names(person))
        person.looked, self._since = event.time, None
        self._learning = True
        self._settle(person, event.time)

    def _said_here(self, event: Event) -> bool:
        """Whether a recording tells what the simulation finds out itself."""
        return (
            event.name in TELLING
            and ours(event.context)
            and event.properties.get("segment") in self.crossings
        )

    def _learn_by_time(self, person: Member, until: datetime) -> None:
        while (moment := person.look_at) is not None and moment <= until:
            story = Story(person.shopper.profile)
            self._learn(person, self._told(self.members.keep_up(person, story, moment, moment)))

    def _learn(self, person: Member, events: Sequence[Event], named: bool = False) -> None:
        """Learn events, and those that tell of what they change; they start no run."""
        while events:
            before, happened = person.shopper.profile, []
            for event in events:
                on_event(self.book, person.shopper, event, None, [])
                happened.append((event, person.shopper.profile, event.time))
            story, named = Story(before, list(happened), named=named), False
            events = self._told(self.members.keep_up(person, story, events[-1].time))

    def _happen(self, person: Person, events: Sequence[Event], named: bool = False) -> None:
        """Work events of one moment, and where they leave the shopper. ``named``: by what they tell
        of names they put them on another list."""
        shopper = person.shopper
        before = shopper.profile
        happened: list[tuple[Event | None, Profile, datetime]] = []
        for event in events:
            if self._observed:
                self.observer.happened(shopper, event)
            on_event(self.book, shopper, event, None)
            happened.append((event, shopper.profile, event.time))
        story = Story(before, happened, shopper.outcome.enrollments, named=named)
        self._keep_up(person, story, events[-1].time)

    def _keep_up(
        self, person: Person, story: Story, at: datetime, until: datetime | None = None
    ) -> None:
        """What changed goes the way of what steps emit, as it does through the inbox."""
        changes = self.members.keep_up(_member(person), story, at, until)
        if changes:
            told = (told_by(change) for change in changes)
            person.shopper.outcome.emitted += [one for one in told if one is not None]
            for change in changes:
                crossing = self.crossings[change.segment]
                crossing.entered += change.member
                crossing.left += not change.member

    @staticmethod
    def _told(changes: Iterable[Change]) -> list[Event]:
        told = (told_by(change) for change in changes)
        return [event_of(one, _NOBODY, one.time) for one in told if one is not None]

    def _pass_time(
        self, person: Person, until: datetime, fire: Callable[[Person, datetime], None]
    ) -> None:
        if self._begun is not None:
            self._learn_by_time(_member(person), min(until, self._begun - _TICK))
        super()._pass_time(person, until, fire)

    def _fire(self, person: Person, until: datetime) -> None:
        """At one moment: who enters or leaves by time alone comes before the timers, as all
        events do."""
        shopper, member = person.shopper, _member(person)
        while member.next_at is not None:
            if member.look_at is not None and member.look_at <= until:
                self._keep_up(person, Story(shopper.profile), until, until)
            else:
                before = shopper.profile
                on_timers(self.book, shopper, until + _TICK, None)
                runs = shopper.outcome.enrollments
                if runs or shopper.profile is not before:
                    happened: list[tuple[Event | None, Profile, datetime]] = [
                        (None, shopper.profile, until)
                    ]
                    self._keep_up(person, Story(before, happened, runs), until)
                if not shopper.outcome.emitted:
                    break
            self._work_emitted(person)
        self._settle(person, until)

    def _new_person(self, id: int) -> Person:
        plain = super()._new_person(id)
        return Member(plain.shopper, past=self.members.history())

    def _merge(self, gone_id: int, into_id: int, at: datetime) -> None:
        gone, into = _member(self._people[gone_id]), _member(self._people[into_id])
        super()._merge(gone_id, into_id, at)
        into.take(gone)

    def _take_in(self, person: Person, outcome: Outcome) -> None:
        self.members.note_runs(_member(person), outcome.enrollments)
        super()._take_in(person, outcome)


def _member(person: Person) -> Member:
    assert isinstance(person, Member)
    return person
