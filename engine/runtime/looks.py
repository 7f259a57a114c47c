"""What journeys and segments look at: the properties and traits that any expression in them
reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from engine.core.conditions import names_used
from engine.intake.excerpt import Looks
from engine.model.journey import Condition, Journey, Update
from engine.model.segment import Segment

#: Names that are read from an event, and whose own names never come from one.
_EVENT = ("event", "trigger")
_OTHER = ("key", "now", "history", "offer")
#: The traits by which a message is judged.
REACH = ("email", "phone", "timezone")


def looks_of(journeys: Iterable[Journey | Segment]) -> Looks:
    """What an event and a shopper must have for ``journeys`` and segments to decide as if they had
    all.

    Where an expression takes an event or a profile as a whole, or a name that is not known
    here, all is kept.
    """
    properties: set[str] | None = set()
    traits: set[str] | None = set()
    for journey in journeys:
        for condition in conditions_in(journey):
            for holder, name in names_used(condition):
                if holder in _OTHER:
                    continue
                if holder in _EVENT:
                    properties = _with(properties, name)
                elif holder == "profile":
                    traits = _with(traits, name)
                else:
                    properties = traits = None
    return Looks(
        None if properties is None else frozenset(properties),
        None if traits is None else frozenset(traits),
    )


def _with(names: set[str] | None, name: str) -> set[str] | None:
    return None if names is None or not name else names | {name}


def conditions_in(value: object) -> Iterator[Condition]:
    """Every condition anywhere in a journey or a rule, whatever kinds of steps there are."""
    if isinstance(value, Condition):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from conditions_in(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from conditions_in(each)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from conditions_in(getattr(value, field.name))


def changes_judgement(journeys: Iterable[Journey]) -> bool:
    """Whether a step of theirs may change what the gate knows of a shopper: where they are and how
    they are reached."""
    return any(
        name in REACH
        for journey in journeys
        for step in journey.steps.values()
        if isinstance(step, Update)
        for name, _ in step.changes
    )
