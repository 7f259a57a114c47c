"""A shopper as one batch sees them: the working set that the shell loads and the core changes.

The core changes a Shopper in place while it works through a batch: a batch is thousands of
stimuli, and a fresh copy for each would cost more than the decisions. What changed is also
in the Outcome; the shell writes that and throws the Shopper away.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from engine.core.decision import Outcome
from engine.model.enrollment import Enrollment
from engine.model.profile import Profile


class Past(NamedTuple):
    """One event of the history. Ordered by (time, id): by its own time, not by arrival."""

    time: datetime
    id: str
    properties: dict[str, Any]

    def named(self, name: str) -> dict[str, Any]:
        """The properties as a condition sees those of an event called ``name``."""
        return {"event_name": name, **self.properties}


class ShopperHistory:
    """Events of one shopper by name, in order of their own time."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, list[Past]] = {}

    def add(self, name: str, past: Past) -> None:
        events = self._by_name.setdefault(name, [])
        if not events or events[-1].time < past.time or events[-1][:2] < past[:2]:
            events.append(past)
            return
        place = bisect_left(events, past[:2], key=lambda p: p[:2])
        if place == len(events) or events[place][:2] != past[:2]:
            insort(events, past, key=lambda p: p[:2])

    def times(self, name: str, since: datetime | None) -> Iterator[Past]:
        """Events of this name at or after ``since`` (None: all), oldest first."""
        events = self._by_name.get(name, ())
        start = 0 if since is None else bisect_left(events, since, key=lambda p: p.time)
        return iter(events[start:])

    def named(self, name: str) -> Sequence[Past]:
        """All events of this name, oldest first. Not to be changed."""
        return self._by_name.get(name, ())

    def after(self, name: str, order_key: tuple[datetime, str]) -> Iterator[Past]:
        """Events of this name strictly after ``order_key``, oldest first."""
        for past in self.times(name, order_key[0]):
            if past[:2] > order_key:
                yield past

    def take(self, other: ShopperHistory) -> None:
        """Take in the events of another identity of the same shopper."""
        for name, events in other._by_name.items():
            for past in events:
                self.add(name, past)

    def trim(self, name: str, before: datetime) -> None:
        """Forget events of this name from before that: bounds the memory of a simulation."""
        events = self._by_name.get(name)
        if events:
            del events[: bisect_left(events, before, key=lambda p: p.time)]


@dataclass(slots=True)
class Run:
    """The runs of a (journey, key), as ``again`` looks at them: when the last of them began, and
    whether one is active."""

    started_at: datetime
    active: bool


@dataclass(slots=True)
class Shopper:
    """One profile with its runs and as much history as the journeys at hand look at."""

    profile: Profile
    live: dict[str, Enrollment] = field(default_factory=dict)
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    history: ShopperHistory = field(default_factory=ShopperHistory)
    #: properties of the trigger events of the live runs, by event id
    triggers: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    #: what is known of claims of coupon codes: by claim the code, or None where none was left
    codes: Mapping[str, str | None] = field(default_factory=dict)
    #: pools that have none left for anybody
    dry: Collection[str] = ()
    #: an event older than one already worked came in: look back for stops
    profile_changed: bool = False
