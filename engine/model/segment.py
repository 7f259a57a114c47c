"""A segment as the core decides it: a rule over one shopper, every condition ready to call.

The language room builds these from YAML. ``path`` of a rule is its place there
(``who/all/1/not``), so that an explanation and a diagnostic speak of the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from engine.model.journey import Condition


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers from ``low`` to ``high``; None: without end. Each end is included unless it is
    ``open``. ``text`` is how it was written."""

    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False
    text: str = ""

    def holds(self, value: Decimal | int | None) -> bool:
        """Whether the value lies in it. No value lies nowhere."""
        if value is None:
            return False
        if self.low is not None and (value < self.low or (self.low_open and value == self.low)):
            return False
        high = self.high
        return high is None or value < high or (not self.high_open and value == high)


@dataclass(frozen=True, slots=True)
class Window:
    """When an event counts, seen from a moment: at most ``within`` and at least ``ago`` before it
    (both ends included), from ``since`` on (UTC, included) and before ``before`` (not included)."""

    within: timedelta | None = None
    ago: timedelta = timedelta(0)
    since: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class All:
    """Every one of ``parts``."""

    parts: tuple[Rule, ...]
    path: str = ""


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of ``parts``."""

    parts: tuple[Rule, ...]
    path: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    part: Rule
    path: str = ""


#: What is counted or calculated of the events that match.
Measure = Literal["times", "sum", "average", "smallest", "largest"]


@dataclass(frozen=True, slots=True)
class Did:
    """Of the events called one of ``events`` in ``window`` for which ``condition`` holds, the
    ``measure`` lies in ``span``. ``value`` is what all measures but ``times`` are of; an event
    whose value is missing or no number counts for none of them. The sum of none is 0, every
    other measure of none lies nowhere."""

    events: tuple[str, ...]
    window: Window
    span: Span
    measure: Measure = "times"
    condition: Condition | None = None
    value: Condition | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Nth:
    """The first or last ``event`` of all lies in ``window``, and ``condition`` holds for it."""

    which: Literal["first", "last"]
    event: str
    window: Window
    condition: Condition | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class If:
    """``condition`` holds. It reads the profile and the history, no clock."""

    condition: Condition
    path: str = ""


@dataclass(frozen=True, slots=True)
class Dated:
    """The date that ``date`` gives lies ``ahead`` at most, or ``past`` at most (one is given). A
    day without a time is the whole day in the shopper's time zone."""

    date: Condition
    ahead: timedelta | None = None
    past: timedelta | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Journeyed:
    """The shopper is ``in`` a journey, ``was`` in it (began ``within`` that time), or reached its
    ``goal`` (``within`` that time)."""

    how: Literal["in", "was", "goal"]
    journey: str
    within: timedelta | None = None
    path: str = ""


#: What a shopper said: see ``engine.core.consent.Answer``. A STOP is a no.
Says = Literal["yes", "no", "pending", "nothing"]


@dataclass(frozen=True, slots=True)
class Consented:
    channel: str
    topic: str
    says: Says = "yes"
    path: str = ""


@dataclass(frozen=True, slots=True)
class Located:
    """Lives in one of ``countries`` (ISO 3166), ``states``, ``cities`` (in small letters); an empty
    one is not asked."""

    countries: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class InSegment:
    """``rule`` is that of the segment called ``name``."""

    name: str
    rule: Rule | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """RFM scores from 1 (worst fifth of all buyers) to 5 (best); None is not asked. Who never
    bought has none."""

    recency: Span | None = None
    frequency: Span | None = None
    monetary: Span | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One of the shopper's identifiers is on a static list."""

    name: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Bucketed:
    """The shopper falls into [``low``, ``high``) of a hundred, dealt out by ``salt``."""

    salt: str
    low: Decimal
    high: Decimal
    path: str = ""


Rule = (
    All
    | Either
    | Not
    | Did
    | Nth
    | If
    | Dated
    | Journeyed
    | Consented
    | Located
    | InSegment
    | Scored
    | Listed
    | Bucketed
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What of the shop's rules decides about membership: ``currency`` of ``lifetime_value``,
    ``timezone`` (IANA) for shoppers of whom we know no other, topics that are ``double`` opt-in."""

    currency: str = "USD"
    timezone: str = "UTC"
    double: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Segment:
    """``version`` is a hash of all that decides about membership: this rule and those of the
    segments it names, the lists, the shop's setting. ``source`` holds all of that as JSON, so
    that any process can compile it. ``lists`` are the static lists that it asks."""

    name: str
    version: str
    rule: Rule
    title: str = ""
    owner: str = ""
    setting: Setting = Setting()
    source: str = ""
    lists: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the fifths of all buyers begin, for RFM scores: four rising limits each. ``recency``
    in time since the last order, ``frequency`` in orders, ``monetary`` in the shop's currency."""

    recency: tuple[timedelta, ...] = ()
    frequency: tuple[Decimal, ...] = ()
    monetary: tuple[Decimal, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "recency": [limit / timedelta(microseconds=1) for limit in self.recency],
            "frequency": list(self.frequency),
            "monetary": list(self.monetary),
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Scale:
        return cls(
            tuple(timedelta(microseconds=int(limit)) for limit in value["recency"]),
            tuple(Decimal(limit) for limit in value["frequency"]),
            tuple(Decimal(limit) for limit in value["monetary"]),
        )
