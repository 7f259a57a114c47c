"""Keeping membership up to date as things happen to a shopper and as time passes.

What happens is judged at its own time, like all else (P6): a view of yesterday that comes in today
made its shopper a member yesterday. What time alone would have changed before is changed first, at
the moment when it did. So who entered and left, and when, follows from the events and not from
how they were cut into batches (P8).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from engine.core.consent import consents_of, stricter
from engine.core.facts import COUNTED
from engine.core.segments.judge import judge
from engine.core.segments.subject import Subject
from engine.core.segments.touch import Touch, touch_of
from engine.core.segments.windows import TICK
from engine.core.shopper import Past
from engine.model.event import Event
from engine.model.profile import Profile
from engine.model.segment import Scale, Segment


class Standing(NamedTuple):
    """One shopper and one segment. ``since``: the moment of the last change (UTC), None where there
    was none; ``look_at``: when time alone may change it next."""

    member: bool = False
    since: datetime | None = None
    look_at: datetime | None = None


class Change(NamedTuple):
    """The shopper entered or left at ``at``. ``cause`` is the id of the event that did it, "" where
    time alone did."""

    segment: str
    profile_id: int
    member: bool
    at: datetime
    cause: str = ""


class Step(NamedTuple):
    """Something happened at ``at``: ``profile`` from then on, the ``event`` that it was (None: a
    timer), and the names of the segments that it may have ``touched``."""

    at: datetime
    profile: Profile
    event: Event | None
    touched: frozenset[str]


@dataclass(slots=True)
class Held:
    """A segment in force. ``place`` None: everybody's standing is known; else a search has come as
    far as that profile, and those behind it are ``unknown`` as yet."""

    segment: Segment
    scale: Scale | None = None
    place: int | None = None
    touch: Touch = field(default_factory=Touch)

    def unknown(self, profile: int) -> bool:
        return self.place is not None and profile > self.place


class Book:
    """The segments in force, by what touches them."""

    def __init__(self, held: Iterable[Held]) -> None:
        self.held = {one.segment.name: one for one in held}
        self.every = frozenset(self.held)
        self.by_event: dict[str, frozenset[str]] = {}
        self.by_field: dict[str, frozenset[str]] = {}
        for name, one in self.held.items():
            one.touch = touch_of(one.segment.rule)
            for event in one.touch.events:
                self.by_event[event] = self.by_event.get(event, frozenset()) | {name}
            for watched in one.touch.fields or ():
                self.by_field[watched] = self.by_field.get(watched, frozenset()) | {name}
        self.of_any_field = self._those(lambda touch: touch.fields is None)
        self.of_consents = self._those(lambda touch: touch.consents)
        self.of_lists = self._those(lambda touch: bool(touch.lists))
        self.journeys = frozenset(j for one in self.held.values() for j in one.touch.journeys)

    def _those(self, test: Any) -> frozenset[str]:
        return frozenset(name for name, one in self.held.items() if test(one.touch))

    def of_journeys(self, journeys: Collection[str]) -> frozenset[str]:
        """Segments that ask about runs of one of ``journeys``."""
        return self._those(lambda touch: not touch.journeys.isdisjoint(journeys))

    def steps(
        self, before: Profile, happened: Iterable[tuple[Event | None, Profile, datetime]]
    ) -> Iterator[Step]:
        """What happened, each as (event, the profile after it, its time), with what it touches."""
        for event, after, at in happened:
            yield Step(at, after, event, self._touched(event, before, after))
            before = after

    def _touched(self, event: Event | None, before: Profile, after: Profile) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        if event is not None:
            found = self.by_event.get(event.name, found)
            if self.of_consents and any(True for _ in consents_of(event)):
                found |= self.of_consents
        if after is not before:
            for name, segments in self.by_field.items():
                if not segments <= found and _field(before, name) != _field(after, name):
                    found |= segments
            found |= self.of_any_field
        return found


def _field(profile: Profile, name: str) -> Any:
    return getattr(profile, name) if name in COUNTED else profile.traits.get(name)


def follow(
    book: Book,
    subject: Subject,
    standings: dict[str, Standing],
    steps: Sequence[Step],
    *,
    until: datetime | None = None,
    new: bool = False,
) -> list[Change]:
    """Work ``steps`` into ``standings`` (by segment), and let time pass to ``until``; gives who
    entered and left, in order.

    ``subject`` is the shopper before the first of them; their events are added to its history.
    ``standings`` hold at least what is touched and what falls due on the way. Where nobody has
    looked at the shopper yet (``Held.unknown``) the standing before the first step is worked out
    first and is no change; a ``new`` shopper was nowhere.
    """
    changes: list[Change] = []
    if steps and not new:
        _catch_up(book, subject, standings, steps)
    for step in steps:
        _pass_time(book, subject, standings, step.at - TICK, changes)
        subject.profile = step.profile
        event = step.event
        if event is not None:
            if event.name in book.by_event:
                subject.history.add(event.name, Past(event.time, event.id, event.properties))
            if book.of_consents:
                _take_in_consents(subject, event)
        cause = "" if event is None else event.id
        for name in sorted(step.touched):
            standing = standings.get(name, Standing())
            at = step.at if standing.since is None else max(step.at, standing.since)
            _look(book.held[name], subject, standings, at, cause, changes)
    if until is not None:
        _pass_time(book, subject, standings, until, changes)
    return changes


def look_now(
    book: Book, subject: Subject, standings: dict[str, Standing], names: Iterable[str], at: datetime
) -> list[Change]:
    """Decide anew at ``at`` whether the shopper is in these segments; gives what was otherwise."""
    changes: list[Change] = []
    for name in names:
        since = standings.get(name, Standing()).since
        moment = at if since is None else max(at, since)
        _look(book.held[name], subject, standings, moment, "", changes)
    return changes


def _catch_up(
    book: Book, subject: Subject, standings: dict[str, Standing], steps: Sequence[Step]
) -> None:
    touched = frozenset().union(*(step.touched for step in steps)) | standings.keys()
    for name in touched:
        one = book.held.get(name)
        if one is not None and one.unknown(subject.profile.id):
            at = steps[0].at - TICK
            since = standings.get(name, Standing()).since
            _look(one, subject, standings, at if since is None else max(at, since), "", [])


def _pass_time(
    book: Book,
    subject: Subject,
    standings: dict[str, Standing],
    until: datetime,
    changes: list[Change],
) -> None:
    passed: list[Change] = []
    for name, standing in list(standings.items()):
        one = book.held.get(name)
        if one is None:
            continue
        look_at = standing.look_at
        # By a definition that is new to them, nobody enters or leaves.
        told = [] if one.unknown(subject.profile.id) else passed
        while look_at is not None and look_at <= until:
            _look(one, subject, standings, look_at, "", told)
            look_at = standings[name].look_at
    changes += sorted(passed, key=lambda change: change.at)


def _look(
    one: Held,
    subject: Subject,
    standings: dict[str, Standing],
    at: datetime,
    cause: str,
    changes: list[Change],
) -> None:
    name = one.segment.name
    standing = standings.get(name, Standing())
    try:
        member, look_at = judge(one.segment.rule, subject, at, one.segment.setting, one.scale)
        if look_at is not None and look_at <= at:
            raise AssertionError(f"segment '{name}' would be looked at for ever")
    except Exception as error:
        # A fault of one segment hurts no other and no event (P10): they stay where they are.
        subject.faults.append((name, error))
        standings[name] = standing._replace(look_at=None)
        return
    if member == standing.member:
        standings[name] = Standing(member, standing.since, look_at)
        return
    standings[name] = Standing(member, at, look_at)
    changes.append(Change(name, subject.profile.id, member, at, cause))


def _take_in_consents(subject: Subject, event: Event) -> None:
    known = dict(subject.consents)
    for consent in consents_of(event):
        place = (consent.channel, consent.topic)
        known[place] = stricter(known[place], consent) if place in known else consent
    subject.consents = known
