"""All journeys in force, indexed by what wakes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from engine.core.conditions import names_used
from engine.model.journey import (
    Branch,
    Condition,
    Emit,
    Journey,
    Jump,
    Update,
    WaitFor,
    WaitUntil,
    Webhook,
)

#: Events whose history every journey may need: what a late trigger looks back for is added
#: per journey from its stops.
Needs = dict[str, timedelta | None]


@dataclass(slots=True)
class JourneyBook:
    """The journeys that take new shoppers (``current``, by name) and every version that still
    has shoppers in flight (``versions``, by name and version)."""

    current: dict[str, Journey] = field(default_factory=dict)
    versions: dict[tuple[str, str], Journey] = field(default_factory=dict)
    currency: str = "USD"
    #: the shop's time zone (IANA), for shoppers whose own nobody knows
    timezone: str = "UTC"
    triggers: dict[str, tuple[Journey, ...]] = field(default_factory=dict)
    #: event name -> what history a shopper needs loaded when it comes
    history: dict[str, Needs] = field(default_factory=dict)
    #: history that any step of any version looks at, for woken runs
    step_history: Needs = field(default_factory=dict)
    #: event names that stop or resume a run of any version
    stop_names: frozenset[str] = frozenset()
    wait_names: frozenset[str] = frozenset()
    #: journeys in force whose trigger condition looks at nothing but the event
    event_only: frozenset[str] = frozenset()
    #: event names that conditions count, or that stops and waits look back for: the history
    #: worth keeping
    remembered: frozenset[str] = frozenset()
    #: versions whose conditions look at the trigger event once the run is under way
    look_back: frozenset[tuple[str, str]] = frozenset()
    #: journeys in force that begin by the calendar, by name
    calendars: tuple[Journey, ...] = ()
    #: versions that jump -> the journeys they may lead to, over however many jumps
    reach: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    #: whether any journey goes before others
    ranked: bool = False

    def of(self, name: str, version: str) -> Journey | None:
        """The journey as it was when the run entered it; None when nobody has kept it."""
        return self.versions.get((name, version))


def open_book(
    journeys: Iterable[Journey],
    older: Mapping[tuple[str, str], Journey] | None = None,
    *,
    currency: str = "USD",
    timezone: str = "UTC",
) -> JourneyBook:
    """Index ``journeys`` (in force) and ``older`` versions (finish what they began)."""
    current = {journey.name: journey for journey in journeys}
    versions = dict(older or {})
    versions.update({(j.name, j.version): j for j in current.values()})
    book = JourneyBook(current=current, versions=versions, currency=currency, timezone=timezone)

    triggers: dict[str, list[Journey]] = {}
    for journey in current.values():
        triggers.setdefault(journey.trigger.event, []).append(journey)
    book.triggers = {name: tuple(found) for name, found in triggers.items()}

    book.event_only = frozenset(n for n, j in current.items() if _event_only(j.trigger.condition))

    book.stop_names = frozenset(s.event for j in versions.values() for s in j.stops)
    book.wait_names = frozenset(
        s.event for j in versions.values() for s in j.steps.values() if isinstance(s, WaitFor)
    )
    book.look_back = frozenset(k for k, j in versions.items() if _looks_back(j))
    counted = {n for j in versions.values() for c in _all_conditions(j) for n, _ in c.history}
    book.remembered = book.stop_names | book.wait_names | counted
    named = sorted(current.values(), key=lambda journey: journey.name)
    book.calendars = tuple(j for j in named if j.trigger.calendar is not None)
    book.reach = _reach(current, versions)
    book.ranked = any(j.priority for j in versions.values())
    for place, journey in versions.items():
        in_steps = _merge(c.history for c in step_conditions(journey))
        widen(book.step_history, in_steps)
        waking = [journey.trigger.event, *(s.event for s in journey.stops)]
        waking += [s.event for s in journey.steps.values() if isinstance(s, WaitFor)]
        # A jump may lead on at once to what another journey's steps look at.
        ways = [journey, *(current[name] for name in sorted(book.reach.get(place, ())))]
        needs = _merge(c.history for way in ways for c in _all_conditions(way))
        if needs:
            for name in waking:
                widen(book.history.setdefault(name, {}), needs)
    return book


def step_conditions(journey: Journey) -> Iterable[Condition]:
    """Every condition that a step of this journey evaluates."""
    for step in journey.steps.values():
        if isinstance(step, WaitFor) and step.condition:
            yield step.condition
        elif isinstance(step, WaitUntil) and step.date:
            yield step.date
        elif isinstance(step, Branch):
            yield from (arm.condition for arm in step.arms if arm.condition)
        elif isinstance(step, Update):
            yield from _conditions_in(step.changes)
        elif isinstance(step, Emit):
            yield from _conditions_in(step.properties)
        elif isinstance(step, Webhook):
            yield from _conditions_in(step.body)


def _conditions_in(value: Any) -> Iterable[Condition]:
    """The computed values in a value, however deep."""
    if isinstance(value, Condition):
        yield value
    elif isinstance(value, Mapping):
        yield from (found for each in value.values() for found in _conditions_in(each))
    elif isinstance(value, list | tuple):
        yield from (found for each in value for found in _conditions_in(each))


def _reach(
    current: Mapping[str, Journey], versions: Mapping[tuple[str, str], Journey]
) -> dict[tuple[str, str], frozenset[str]]:
    direct = {place: _jumps(journey) for place, journey in versions.items()}
    found: dict[tuple[str, str], frozenset[str]] = {}
    for place, targets in direct.items():
        reached: set[str] = set()
        ahead = set(targets)
        while ahead:
            name = ahead.pop()
            if name not in reached and name in current:
                reached.add(name)
                ahead |= direct[name, current[name].version]
        if targets:
            found[place] = frozenset(reached)
    return found


def _jumps(journey: Journey) -> set[str]:
    return {step.journey for step in journey.steps.values() if isinstance(step, Jump)}


def _all_conditions(journey: Journey) -> Iterable[Condition]:
    trigger = journey.trigger
    yield from (c for c in (trigger.condition, trigger.key) if c)
    yield from (s.condition for s in journey.stops if s.condition)
    yield from step_conditions(journey)


def _event_only(condition: Condition | None) -> bool:
    if condition is None or condition.history:
        return False
    return all(name in ("event", "trigger", "key", "now") for name, _ in names_used(condition))


def _looks_back(journey: Journey) -> bool:
    stops = any(s.condition and "trigger" in s.condition.source for s in journey.stops)
    # A jump takes the trigger event along, for conditions of the journey it leads to.
    return stops or bool(_jumps(journey)) or any(True for _ in step_conditions(journey))


def _merge(histories: Iterable[Iterable[tuple[str, timedelta | None]]]) -> Needs:
    needs: Needs = {}
    for history in histories:
        widen(needs, dict(history))
    return needs


def widen(needs: Needs, more: Mapping[str, timedelta | None]) -> None:
    """Add ``more`` to ``needs``; of two windows over the same event the longer stands."""
    for name, within in more.items():
        if name in needs:
            known = needs[name]
            needs[name] = None if known is None or within is None else max(known, within)
        else:
            needs[name] = within
