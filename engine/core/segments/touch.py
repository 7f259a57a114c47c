"""What can change who is in a segment, beside time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from engine.core.book import Needs, widen
from engine.core.conditions import names_used
from engine.core.segments.whereabouts import TRAITS
from engine.model.journey import Condition
from engine.model.segment import (
    All,
    Consented,
    Dated,
    Did,
    Either,
    If,
    InSegment,
    Journeyed,
    Listed,
    Located,
    Not,
    Nth,
    Rule,
    Scored,
    Window,
)

#: Traits that tell by whose clocks a day begins.
_CLOCKS = TRAITS | {"timezone"}
_RFM = frozenset({"orders", "last_order_at", "lifetime_value"})


@dataclass(slots=True)
class Touch:
    """``events`` by name, with how far back each must be known (None: all); ``fields`` of the
    profile, as conditions name them (None: any); ``journeys`` whose runs count; whether
    ``consents`` do; ``lists`` that the shopper may be on; whether it is ``scored`` by RFM.
    ``judged`` are events of which more than the time is looked at."""

    events: Needs = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)
    fields: frozenset[str] | None = frozenset()
    journeys: frozenset[str] = frozenset()
    consents: bool = False
    lists: frozenset[str] = frozenset()
    scored: bool = False


def touch_of(rule: Rule) -> Touch:
    """What touches ``rule``."""
    touch = Touch()
    for part in parts_of(rule):
        match part:
            case Did():
                for name in part.events:
                    widen(touch.events, {name: _look_back(part.window)})
                    if part.condition is not None or part.value is not None:
                        touch.judged.add(name)
                _read(touch, part.condition, part.value)
            case Nth(event=name):
                widen(touch.events, {name: None})
                if part.condition is not None:
                    touch.judged.add(name)
                _read(touch, part.condition)
            case If(condition=condition):
                widen(touch.events, dict(condition.history))
                touch.judged |= {name for name, _ in condition.history}
                _read(touch, condition)
            case Dated(date=date):
                _read(touch, date)
                _add(touch, _CLOCKS)
            case Journeyed(journey=journey):
                touch.journeys |= {journey}
            case Consented():
                touch.consents = True
            case Located():
                _add(touch, TRAITS)
            case Scored():
                touch.scored = True
                _add(touch, _RFM)
            case Listed(name=name):
                touch.lists |= {name}
    return touch


def parts_of(rule: Rule | None) -> Iterator[Rule]:
    """The rule and all rules in it, those of other segments too."""
    match rule:
        case None:
            return
        case All(parts=parts) | Either(parts=parts):
            for part in parts:
                yield from parts_of(part)
        case Not(part=part):
            yield from parts_of(part)
        case InSegment(rule=inner):
            yield from parts_of(inner)
    yield rule


def _look_back(window: Window) -> timedelta | None:
    return None if window.within is None else window.within


def _read(touch: Touch, *conditions: Condition | None) -> None:
    for condition in conditions:
        for holder, name in names_used(condition) if condition is not None else ():
            if holder == "profile":
                if name:
                    _add(touch, frozenset({name}))
                else:
                    touch.fields = None


def _add(touch: Touch, names: frozenset[str]) -> None:
    if touch.fields is not None:
        touch.fields |= names
