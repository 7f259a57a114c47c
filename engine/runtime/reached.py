"""Which segments journeys hear of: the only ones that a simulation must keep.

Journeys hear of a segment by the events that tell who entered and left. Where a condition says of
which segment, only that one is meant; where none does, it may be any.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from engine.core.conditions.asked import wanted
from engine.core.segments.touch import parts_of
from engine.model.journey import SEGMENT_ENTERED, SEGMENT_LEFT, Condition, Journey, WaitFor
from engine.model.segment import Did, If, Nth, Segment
from engine.runtime.looks import conditions_in

#: The events by which journeys hear of segments.
TELLING = frozenset({SEGMENT_ENTERED, SEGMENT_LEFT})


def reached(
    journeys: Iterable[Journey], segments: Mapping[str, Segment], more: Collection[str] = ()
) -> dict[str, Segment]:
    """Those of ``segments`` that ``journeys`` may hear of, those that these may hear of in turn,
    and ``more``."""
    names = _named((each for journey in journeys for each in _asked_by(journey)), segments)
    ahead = sorted(names | (segments.keys() & set(more)))
    found: dict[str, Segment] = {}
    while ahead:
        name = ahead.pop()
        if name not in found:
            found[name] = segments[name]
            ahead += sorted(_named(_asked_in(segments[name]), segments))
    return dict(sorted(found.items()))


def _named(asked: Iterable[Condition | None], segments: Mapping[str, Segment]) -> set[str]:
    found: set[str] = set()
    for condition in asked:
        names = None if condition is None else wanted(condition.source, "event", "segment")
        found |= segments.keys() if names is None else segments.keys() & names
    return found


def _asked_by(journey: Journey) -> Iterator[Condition | None]:
    """What is asked of each such event that a journey waits for; None: nothing."""
    if journey.trigger.event in TELLING:
        yield journey.trigger.condition
    yield from (stop.condition for stop in journey.stops if stop.event in TELLING)
    for step in journey.steps.values():
        if isinstance(step, WaitFor) and step.event in TELLING:
            yield step.condition
    for condition in conditions_in(journey):
        if any(name in TELLING for name, _ in condition.history):
            yield None


def _asked_in(segment: Segment) -> Iterator[Condition | None]:
    for part in parts_of(segment.rule):
        match part:
            case Did(events=events, condition=condition) if not TELLING.isdisjoint(events):
                yield condition
            case Nth(event=event) if event in TELLING:
                yield None  # of all that were told, one is the first
            case If(condition=condition) if any(n in TELLING for n, _ in condition.history):
                yield None
