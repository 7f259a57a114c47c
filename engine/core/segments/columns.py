"""What segments look at, of many shoppers at once and in columns, and what of it rules ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from engine.core.conditions import names_used
from engine.core.segments.slide import NEVER, Ints, runs_of
from engine.core.segments.touch import parts_of, touch_of
from engine.model.journey import Condition
from engine.model.profile import Consent, Profile
from engine.model.segment import (
    Consented,
    Dated,
    Did,
    If,
    Journeyed,
    Listed,
    Located,
    Nth,
    Rule,
    Scored,
)

#: Moments are microseconds since then, as PostgreSQL counts them.
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
#: The last moment that a datetime can say.
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _TICK

T = TypeVar("T")
_DERIVED = {"product_ids": ("products", "product_id", "product_ids")}


def ticks(moment: datetime) -> int:
    return (moment - EPOCH) // _TICK


def length(span: timedelta) -> int:
    return span // _TICK


def moment_of(when: int) -> datetime | None:
    return None if when == NEVER else EPOCH + timedelta(microseconds=when)


class Stream(NamedTuple):
    """Events of one name, told apart by the properties that they are asked for."""

    name: str
    properties: tuple[str, ...] = ()


@dataclass(slots=True)
class Happened:
    """Events in order of shopper and time: ``who`` did it by place in ``Columns.ids``, and which of
    the ``kinds`` (properties as asked for) it is."""

    who: Ints
    times: Ints
    codes: Ints
    kinds: Sequence[dict[str, Any]]

    @classmethod
    def of(
        cls, ids: Ints, profiles: Ints, times: Ints, codes: Ints, kinds: Sequence[dict[str, Any]]
    ) -> Happened:
        """Events as they come. Those of somebody who is not among ``ids`` are left out."""
        rising = profiles[1:] > profiles[:-1]
        if not (rising | ((profiles[1:] == profiles[:-1]) & (times[1:] >= times[:-1]))).all():
            order = np.lexsort((times, profiles))
            profiles, times, codes = profiles[order], times[order], codes[order]
        begins = runs_of(profiles)
        known, place = places_of(ids, profiles[begins])
        numbers = np.diff(np.append(begins, len(profiles)))
        if not known.all():
            stay = np.repeat(known, numbers)
            times, codes = times[stay], codes[stay]
            place, numbers = place[known], numbers[known]
        return cls(np.repeat(place, numbers), times, codes, kinds)


@dataclass(slots=True)
class Stays:
    """Runs of a journey. ``ended`` is ``NEVER`` for those that go on."""

    who: Ints
    entered: Ints
    ended: Ints
    goal: np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(slots=True)
class Sorted(Generic[T]):
    """Shoppers told apart by what they have in common: which of the ``kinds`` each is."""

    kinds: Sequence[T]
    codes: Ints


@dataclass(slots=True)
class Columns:
    """Some shoppers, by id, rising. ``people`` are profiles with just the fields that are the key,
    ``consents`` what was said about (channel, topic), its times only good to be compared."""

    ids: Ints
    events: dict[Stream, Happened] = field(default_factory=dict)
    people: dict[tuple[str, ...], Sorted[Profile]] = field(default_factory=dict)
    consents: dict[tuple[str, str], Sorted[Sequence[Consent]]] = field(default_factory=dict)
    stays: dict[str, Stays] = field(default_factory=dict)
    lists: dict[str, Ints] = field(default_factory=dict)


@dataclass(slots=True)
class Wanted:
    """What columns rules ask for. ``events`` with how far back (None: all)."""

    events: dict[Stream, timedelta | None] = field(default_factory=dict)
    people: set[tuple[str, ...]] = field(default_factory=set)
    consents: set[tuple[str, str]] = field(default_factory=set)
    journeys: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)

    def add(self, rule: Rule) -> None:
        for part in parts_of(rule):
            match part:
                case Did(events=names, condition=condition, value=value, window=window):
                    for stream in streams_of(names, condition, value):
                        self._back(stream, window.within)
                case Nth(event=name, condition=condition):
                    self._back(streams_of((name,), condition)[0], None)
                case If(condition=condition):
                    for name, within in condition.history:
                        self._back(Stream(name), within)
                    self._person(part)
                case Dated() | Located() | Scored():
                    self._person(part)
                case Consented(channel=channel, topic=topic):
                    self.consents.add((channel, topic))
                case Journeyed(journey=journey):
                    self.journeys.add(journey)
                case Listed(name=name):
                    self.lists.add(name)

    def _back(self, stream: Stream, within: timedelta | None) -> None:
        known = self.events.get(stream, timedelta(0))
        wider = None if known is None or within is None else max(known, within)
        self.events[stream] = wider

    def _person(self, rule: Rule) -> None:
        fields = fields_of(rule)
        if fields is not None:
            self.people.add(fields)


def places_of(ids: Ints, some: Ints) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], Ints]:
    """Which of ``some`` are among ``ids`` (rising), and where."""
    place = np.searchsorted(ids, some)
    place[place == len(ids)] = 0
    return (ids[place] == some) if len(ids) else np.zeros(len(some), np.bool_), place


def read_by(*conditions: Condition | None) -> frozenset[str] | None:
    """The properties of its event that conditions read; None: they read more than that."""
    found: set[str] = set()
    for condition in conditions:
        if condition is None:
            continue
        if condition.history:
            return None
        for holder, name in names_used(condition):
            if holder != "event" or not name:
                return None
            found |= set(_DERIVED.get(name, (name,)))
    return frozenset(found)


def streams_of(names: Iterable[str], *conditions: Condition | None) -> list[Stream]:
    """The events that a rule looks at. Of those whose conditions read too much it is only known
    that they were."""
    reads = tuple(sorted(read_by(*conditions) or ()))
    return [Stream(name, reads) for name in names]


def fields_of(rule: Rule) -> tuple[str, ...] | None:
    """The fields of the profile that alone decide about a rule without history; None: any may."""
    fields = touch_of(rule).fields
    return None if fields is None else tuple(sorted(fields))
