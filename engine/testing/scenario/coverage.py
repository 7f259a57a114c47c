"""Which steps and branches of the journeys the scenarios have gone through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.core.decision import Mark
from engine.model.journey import Branch, Journey, Split, WaitFor

#: Verdicts that say that a step did not do what it is there for.
_NOT_DONE = frozenset(
    {"cannot say", "withheld", "skips", "does not start", "does not emit", "arrives"}
)
_DONE = "done"


class Point(NamedTuple):
    """Something that can happen in a journey: at ``path``, ``what``."""

    path: str
    what: str

    def __str__(self) -> str:
        return self.path if self.what == _DONE else f"{self.path}: {self.what}"


@dataclass(slots=True)
class Coverage:
    """The points of one journey, and those that some scenario has come to."""

    journey: str
    points: tuple[Point, ...]
    reached: set[Point] = field(default_factory=set)

    @property
    def missing(self) -> list[Point]:
        return [point for point in self.points if point not in self.reached]

    @property
    def percent(self) -> float:
        """0 to 100; a journey always has a point, its trigger."""
        return 100 * (1 - len(self.missing) / len(self.points))


def points(journey: Journey) -> Iterator[Point]:
    """All that can happen, in the order of the YAML: the trigger starting and refusing, every
    stop, every step done, both ends of a wait for, every arm."""
    trigger = journey.trigger
    yield Point("trigger", "starts")
    if trigger.refuses:
        yield Point("trigger/if", "refuses")
    if trigger.again.rule != "always":
        yield Point("trigger/again", "refuses")
    for stop in journey.stops:
        yield Point(stop.path, "stops")
    for step in journey.steps.values():
        if isinstance(step, WaitFor):
            yield Point(step.path, "came")
            yield Point(step.path, "time ran out")
        elif isinstance(step, Branch):
            for number, arm in enumerate(step.arms):
                if arm.condition is not None:
                    yield Point(f"{step.path}/branch/{number}", "taken")
                else:
                    yield Point(step.path, "else")
            if all(arm.condition for arm in step.arms):
                yield Point(step.path, "none holds")
        elif isinstance(step, Split):
            yield from (Point(step.path, arm.name or f"{arm.weight}%") for arm in step.arms)
        else:
            yield Point(step.path, _DONE)


def measure(journeys: Mapping[str, Journey], marks: Iterable[tuple[str, Mark]]) -> list[Coverage]:
    """How far ``marks`` (journey and mark) cover these journeys, by name."""
    found = {name: Coverage(name, tuple(points(each))) for name, each in journeys.items()}
    for name, mark in marks:
        if name in found and (point := _point(journeys[name], mark)) is not None:
            found[name].reached.add(point)
    return [found[name] for name in sorted(found)]


def _point(journey: Journey, mark: Mark) -> Point | None:
    path, verdict = mark.path, mark.verdict
    if verdict in _NOT_DONE:
        return None
    if verdict == "enters":
        return Point(path, "starts")
    if verdict == "refused":
        return Point(path, "refuses")
    if verdict in ("goal", "stops"):
        return Point(path, "stops")
    if verdict == "branches" and path not in journey.steps:
        place, _, number = path.rpartition("/")
        return Point(f"{place.removesuffix('/branch')}/branch/{number}", "taken")
    if verdict in ("branches", "splits"):
        return Point(path, mark.why)
    if verdict in ("came", "time ran out"):
        return Point(path, verdict)
    return Point(path, _DONE)
