"""What a scenario says, and what was seen when it ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from engine.language.report import Place
from engine.model.event import Event

#: The kinds of things that a scenario can expect, by the key that says so.
Kind = Literal[
    "send",
    "skip",
    "exit",
    "enter",
    "wait",
    "audience",
    "profile",
    "offer",
    "emit",
    "webhook",
    "enter segment",
    "leave segment",
]
#: What reaches a shopper or another system for good: all of it must be expected. Of the other
#: kinds a scenario names all that happens or none.
STRICT: tuple[Kind, ...] = ("send", "webhook")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of ``expect``. ``at`` is UTC, None for any time; ``within`` how far off it may be.
    ``fields``: what must be so, by name; ``text`` as the scenario says it."""

    place: Place
    kind: Kind
    fields: Mapping[str, Any]
    text: str
    at: datetime | None = None
    within: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, its times worked out (UTC).

    ``journeys``  the only ones that run; empty: all. ``arms``: arm by the split's path or name,
                  with or without the journey before it.
    ``given``     the Identify that tells the profile; ``counted`` what of the profile is counted
                  and not told (orders, money), by name.
    ``nothing``   no run may begin, and nothing happen but entering and leaving segments.
    ``segments``  those that the shopper is in all the time, whatever their rules say.
    """

    file: str
    place: Place
    name: str
    zone: ZoneInfo
    given: Event
    events: tuple[Event, ...]
    places: tuple[Place, ...]
    expect: tuple[Expectation, ...]
    journeys: tuple[str, ...] = ()
    counted: Mapping[str, Any] = field(default_factory=dict)
    until: datetime | None = None
    holdout: bool = False
    arms: Mapping[str, str] = field(default_factory=dict)
    nothing: bool = False
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that happened and could be expected: the same names in ``fields``. ``journey`` is
    "" of what is no journey's doing. ``passing``: it did not last, so a scenario may leave it
    out."""

    at: datetime
    kind: Kind
    journey: str
    fields: Mapping[str, Any]
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline. ``journey`` and ``path`` (with the step's name, if it has one) are
    "" where an event came."""

    at: datetime
    journey: str
    path: str
    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not as the scenario says. ``hint``: what nearly fits."""

    place: Place
    message: str
    hint: str = ""


@dataclass(slots=True)
class Result:
    """What came of one scenario. ``milliseconds`` is the only thing in it that differs from one
    run to the next."""

    scenario: Scenario
    failures: list[Failure] = field(default_factory=list)
    timeline: list[Line] = field(default_factory=list)
    milliseconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.failures
