"""Whether the jumps between journeys lead somewhere, and not round in a circle."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engine.language.fields import did_you_mean
from engine.language.journeys import ReadJourney
from engine.model.journey import Journey, Jump


def check_jumps(read: Mapping[str, ReadJourney], known: Collection[str]) -> None:
    """Add to each journey's report what is wrong with its jumps. ``known`` are the names that
    there are, also of journeys with errors: their own findings say enough."""
    leads = {
        name: sorted({step.journey for step in _jumps(found.journey)})
        for name, found in read.items()
    }
    for name, found in read.items():
        for step in _jumps(found.journey):
            place = found.places[f"{step.path}/jump"]
            if step.journey not in known:
                hint = did_you_mean(
                    step.journey, known, otherwise=f"write journeys/{step.journey}.yaml"
                )
                message = f"there is no journey '{step.journey}'"
                found.report.add("J062", place, message, hint)
            elif way := _way(leads, step.journey, name):
                message = f"this jump comes back: {' → '.join((name, *way))}"
                hint = "end one of them with 'exit', or see that 'again' ends it"
                found.report.add("J063", place, message, hint)


def _jumps(journey: Journey | None) -> list[Jump]:
    steps = () if journey is None else journey.steps.values()
    return [step for step in steps if isinstance(step, Jump)]


def _way(leads: Mapping[str, list[str]], start: str, goal: str) -> tuple[str, ...]:
    """The shortest way over jumps, both ends included; () if there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for way in ways:
        if way[-1] == goal:
            return way
        for following in leads.get(way[-1], ()):
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return ()
