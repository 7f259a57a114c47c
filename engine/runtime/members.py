"""Where the shoppers of a simulation stand in its segments: what in the real store lies in tables.

The same core decides as in the pipeline (``engine.runtime.segments.keep``). What no rule can look
back at any more is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from engine.core.conditions import names_used
from engine.core.profiles import ORDER
from engine.core.segment_story import Story, steps_of
from engine.core.segments import Book, Change, Held, Standing, Stay, Subject, follow, look_now
from engine.core.segments import stays_of as shown
from engine.core.segments.touch import parts_of
from engine.core.segments.windows import TICK
from engine.core.shopper import Past, ShopperHistory
from engine.model.enrollment import Enrollment
from engine.model.segment import Journeyed
from engine.runtime.looks import conditions_in
from engine.runtime.person import Person

#: A history is looked through for what is too old each time it has grown by so many events.
_GROWN = 8
#: Where ``product_ids`` come from.
_PRODUCTS = frozenset({"product_id", "products"})
_NOTHING: dict[str, Any] = {}
_NOWHERE = Standing()


@dataclass(slots=True)
class Member(Person):
    """A shopper with where they stand, by segment; a standing that says nothing is left out."""

    standings: dict[str, Standing] = field(default_factory=dict)
    past: ShopperHistory = field(default_factory=ShopperHistory)
    #: runs of the journeys that segments ask about, by id
    stays: dict[str, Stay] = field(default_factory=dict)
    #: the static lists that they are on, by the names that events have told so far
    lists: frozenset[str] = frozenset()
    #: nobody has looked at them yet; ``anew``: they took somebody in since
    new: bool = True
    anew: bool = False
    #: before it time alone changes nothing about where they stand
    look_at: datetime | None = None

    def look_ahead(self) -> None:
        Person.look_ahead(self)
        looks = (one.look_at for one in self.standings.values() if one.look_at is not None)
        self.look_at = min(looks, default=None)
        if self.look_at is not None and (self.next_at is None or self.look_at < self.next_at):
            self.next_at = self.look_at

    def take(self, gone: Member) -> None:
        """Take in where another identity of the same shopper stood."""
        for name, other in gone.standings.items():
            mine = self.standings.get(name)
            self.standings[name] = other if mine is None else _both(mine, other)
        self.past.take(gone.past)
        # Of two runs of which the merge ended one, that one is nowhere any more.
        self.stays = {
            id: stay
            for id, stay in {**gone.stays, **self.stays}.items()
            if stay.ended_at is not None or id in self.shopper.live
        }
        self.new, self.anew = False, True


def _both(one: Standing, other: Standing) -> Standing:
    """In where either was in, since the first of those that say so; looked at when the first was
    to be."""
    if one.member == other.member:
        since = min((s for s in (one.since, other.since) if s is not None), default=None)
    else:
        since = one.since if one.member else other.since
    looks = (look for look in (one.look_at, other.look_at) if look is not None)
    return Standing(one.member or other.member, since, min(looks, default=None))


class Members:
    """Keeps the shoppers of one simulation up to date in the segments that are ``held``. ``lists``:
    the identifiers on each static list."""

    def __init__(self, held: Iterable[Held], lists: Mapping[str, Iterable[str]]) -> None:
        self.book = Book(held)
        self.faults: list[tuple[str, Exception]] = []
        asked = frozenset(name for one in self.book.held.values() for name in one.touch.lists)
        self._lists_of: dict[str, frozenset[str]] = {}
        for name in asked:
            for identifier in lists.get(name, ()):
                known = self._lists_of.get(identifier, frozenset())
                self._lists_of[identifier] = known | {name}
        self._kept = _Kept(self.book)
        self._looks_back = _looks_back(self.book)

    def history(self) -> ShopperHistory:
        """That of somebody who is new."""
        return _Remembered(self._kept)

    def look(self, member: Member, at: datetime) -> None:
        """Find out where they stand at ``at``, as if it had always been so."""
        self.note_names(member)
        subject = self._subject(member, Story(member.shopper.profile), at)
        look_now(self.book, subject, member.standings, sorted(self.book.every), at)
        self._done(member, subject)

    def keep_up(
        self, member: Member, story: Story, at: datetime, until: datetime | None = None
    ) -> list[Change]:
        """Work what happened to a shopper by ``at``, and with ``until`` the time that has passed,
        into where they stand; gives who entered and left, in order. ``story.runs`` are those that
        changed."""
        self.note_runs(member, story.runs)
        story.new = member.new
        story.anew = member.new or member.anew
        steps = steps_of(self.book, story, at)
        latest = max((step.at for step in steps), default=at)
        due = member.look_at is not None and member.look_at <= (until or latest)
        if not due and not any(step.touched for step in steps):
            return []
        subject = self._subject(member, story, at)
        changes = follow(self.book, subject, member.standings, steps, until=until, new=story.new)
        self._done(member, subject)
        return changes

    def note_runs(self, member: Member, runs: Mapping[str, Enrollment]) -> None:
        """Note those of ``runs`` that segments ask about, as they now are."""
        for id, run in runs.items():
            if run.journey in self.book.journeys and (stay := shown((run,))):
                member.stays[id] = stay[0]

    def _subject(self, member: Member, story: Story, at: datetime) -> Subject:
        self._forget_stays(member, at)
        return Subject(
            story.before,
            member.past,
            list(member.stays.values()),
            member.consents,
            member.lists,
        )

    def note_names(self, member: Member) -> bool:
        """Note by which names they go now; gives whether that puts them on another list. Before
        what told of a name, nobody knew it."""
        if not self._lists_of:
            return False
        found: frozenset[str] = frozenset()
        for name in member.names:
            found |= self._lists_of.get(name, frozenset())
        was, member.lists = member.lists, found
        return found != was

    def _done(self, member: Member, subject: Subject) -> None:
        member.new = member.anew = False
        for name in [name for name, one in member.standings.items() if one == _NOWHERE]:
            del member.standings[name]
        self.faults += subject.faults
        member.look_ahead()

    def _forget_stays(self, member: Member, at: datetime) -> None:
        """Forget runs that are over and that no rule looks back at any more."""
        kept: set[tuple[str, bool]] = set()
        for id, stay in list(member.stays.items()):
            within, endless = self._looks_back[stay.journey]
            if stay.ended_at is None or stay.ended_at + within + TICK >= at:
                continue
            if endless and (stay.journey, stay.goal) not in kept:
                kept.add((stay.journey, stay.goal))  # one says as much as all of them
            else:
                del member.stays[id]


def _looks_back(book: Book) -> dict[str, tuple[timedelta, bool]]:
    """How long after its end a run of each journey counts at most, and whether for some rule it
    does so for ever."""
    found = dict.fromkeys(book.journeys, (timedelta(0), False))
    for one in book.held.values():
        for part in parts_of(one.segment.rule):
            if isinstance(part, Journeyed) and part.how != "in":
                within, endless = found[part.journey]
                longer = max(within, part.within or within)
                found[part.journey] = (longer, endless or part.within is None)
    return found


class _Kept:
    """What the segments of a book look at in events past: by name how far back (None: for ever) and
    which properties (None: all)."""

    def __init__(self, book: Book) -> None:
        self.windows: dict[str, timedelta | None] = {}
        self.properties: dict[str, frozenset[str] | None] = {}
        for one in book.held.values():
            for name, within in one.touch.events.items():
                known = self.windows.get(name, timedelta(0))
                endless = known is None or within is None
                self.windows[name] = None if endless else max(known, within)  # type: ignore[type-var]
            names = _read(one)
            for name in one.touch.judged:
                before = self.properties.get(name, frozenset())
                self.properties[name] = None if names is None or before is None else before | names

    def of(self, name: str, properties: dict[str, Any]) -> dict[str, Any]:
        names = self.properties.get(name, frozenset())
        if names is None:
            return properties
        return {key: properties[key] for key in names if key in properties} or _NOTHING


def _read(held: Held) -> frozenset[str] | None:
    """The properties of events that a segment's conditions read."""
    found: set[str] = set()
    for condition in conditions_in(held.segment.rule):
        if any(name == ORDER for name, _ in condition.history):
            found |= _PRODUCTS  # ``bought`` does not name them
        for holder, name in names_used(condition):
            if holder == "event" and not name:
                return None
            if holder == "event":
                found |= _PRODUCTS if name == "product_ids" else {name}
    return frozenset(found)


class _Remembered(ShopperHistory):
    """A history that keeps no more than that."""

    __slots__ = ("_kept",)

    def __init__(self, kept: _Kept) -> None:
        super().__init__()
        self._kept = kept

    def add(self, name: str, past: Past) -> None:
        time, id, properties = past
        super().add(name, Past(time, id, self._kept.of(name, properties)))
        within = self._kept.windows.get(name)
        events = self._by_name[name]
        if within is not None and not len(events) % _GROWN:
            self.trim(name, events[-1].time - within)
