"""Which journeys an event may start, as far as the event itself can tell.

Worked out once an event, before its shopper is loaded: it names the runs whose past the shell
must look up, and most events end here without having cost a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from engine.core.book import JourneyBook
from engine.core.conditions import ConditionError
from engine.core.facts import event_facts
from engine.model.event import Event
from engine.model.journey import Condition, Journey


class Entry(NamedTuple):
    """``journey`` would start a run about ``key``; ``decided``: its condition has been found to
    hold already, for it looks at nothing but the event. ``fault``: what its key raised."""

    journey: Journey
    key: str
    decided: bool
    fault: Exception | None = None


def entries(book: JourneyBook, event: Event) -> list[Entry]:
    """The journeys that ``event`` may start. A key without a value starts none, nor does a journey
    outside its dates, nor another journey's calendar."""
    waiting = book.triggers.get(event.name)
    if not waiting:
        return []
    facts = _EventFacts(event)
    keys: dict[str, str | None] = {}
    found = []
    for journey in waiting:
        trigger = journey.trigger
        if (journey.starts or journey.ends) and not in_season(journey, event.time):
            continue
        if trigger.calendar is not None and event.properties.get("journey") != journey.name:
            continue
        key: str | None = ""
        if trigger.key is not None:
            source = trigger.key.source
            try:
                key = keys[source] if source in keys else _key(trigger.key, facts)
            except Exception as error:  # this journey's fault, and no other's (P10)
                found.append(Entry(journey, "", False, error))
                continue
            keys[source] = key
        if key is None:
            continue
        condition = trigger.condition
        decided = condition is None
        if condition is not None and journey.name in book.event_only:
            facts["key"] = key
            try:
                if not condition.test(facts):
                    continue
                decided = True
            except ConditionError:
                continue
            except Exception:
                decided = False  # it raises once more where that can be kept
        found.append(Entry(journey, key, decided, None))
    return found


def in_season(journey: Journey, at: datetime) -> bool:
    """Whether a run of ``journey`` may begin at ``at``, by its start and end dates."""
    if journey.starts is not None and at < journey.starts:
        return False
    return journey.ends is None or at < journey.ends


class _EventFacts(dict[str, Any]):
    """What can be known before the shopper is: the event, made into facts if one looks."""

    __slots__ = ("_event",)

    def __init__(self, event: Event) -> None:
        self["now"], self["key"] = event.time, ""
        self._event = event

    def __missing__(self, name: str) -> Any:
        if name not in ("event", "trigger"):
            raise KeyError(name)
        self["event"] = self["trigger"] = facts = event_facts(self._event)
        return facts


def _key(expression: Condition, facts: Mapping[str, Any]) -> str | None:
    try:
        value = expression.test(facts)
    except (ConditionError, KeyError):  # KeyError: it asks for more than the event
        return None
    return str(value) if value or value == 0 else None
