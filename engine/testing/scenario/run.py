"""Runs a scenario: the real core and the real gate in memory, under a virtual clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from engine.core.entries import entries, in_season
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import Again, Journey
from engine.model.policy import Policy
from engine.runtime.simulate import Simulation
from engine.runtime.simulate_segments import Segments, SegmentSimulation, simulation_of
from engine.testing.scenario.arms import prepared
from engine.testing.scenario.match import compare
from engine.testing.scenario.model import Failure, Result, Scenario
from engine.testing.scenario.observe import Recorder
from engine.testing.scenario.segments import as_told

#: How far the clock runs past the last event where the scenario does not say.
AHEAD = timedelta(days=366)
_TICK = timedelta(microseconds=1)


def run(
    scenario: Scenario,
    journeys: Mapping[str, Journey],
    policy: Policy,
    segments: Segments | None = None,
) -> tuple[Result, Recorder]:
    """What comes of ``scenario``, and all that was seen on the way. Reads and writes nothing."""
    started = time.perf_counter()
    chosen = {
        name: prepared(journey, scenario)
        for name, journey in journeys.items()
        if not scenario.journeys or name in scenario.journeys
    }
    recorder = Recorder(chosen, scenario.zone)
    asked = {str(wanted.fields.get(wanted.kind)) for wanted in scenario.expect}
    known = None if segments is None else as_told(scenario, segments)
    made = simulation_of(chosen.values(), policy, known, more=asked, observer=recorder)
    shopper = made.introduce(scenario.given)
    shopper.profile = msgspec.structs.replace(shopper.profile, **scenario.counted)
    if isinstance(made, SegmentSimulation):
        made.begin(scenario.given.time)
    for event in scenario.events:
        made.advance(event.time)
        made.feed(event)
    made.advance(ends(scenario, chosen) + _TICK)
    for event, before in recorder.events:
        _refusals(made, recorder, event, before)
    result = Result(scenario, compare(scenario, recorder.seen, chosen))
    result.failures += [Failure(scenario.place, str(fault)) for fault in made.failures]
    result.timeline = sorted(recorder.timeline, key=lambda line: line.at)
    result.milliseconds = (time.perf_counter() - started) * 1000
    return result, recorder


def ends(scenario: Scenario, journeys: Mapping[str, Journey]) -> datetime:
    """When the scenario's clock stops: where it says; else a year after the last event, by when
    nothing is left. Calendars never end: with them, a day after the last thing expected."""
    if scenario.until is not None:
        return scenario.until
    last = scenario.events[-1].time if scenario.events else scenario.given.time
    expected = [wanted.at for wanted in scenario.expect if wanted.at is not None]
    if expected and any(journey.trigger.calendar for journey in journeys.values()):
        return max(last, *expected) + timedelta(days=1)
    return last + AHEAD


def _refusals(
    simulation: Simulation, recorder: Recorder, event: Event, before: Mapping[str, Enrollment]
) -> None:
    """Note the journeys that ``event`` could have started and did not."""
    waiting = simulation.book.triggers.get(event.name, ())
    if not waiting:
        return
    entered = {run.journey for run in recorder.runs.values() if run.event_id == event.id}
    keys = {entry.journey.name: entry.key for entry in entries(simulation.book, event)}
    for journey in waiting:
        trigger = journey.trigger
        other = trigger.calendar and event.properties.get("journey") != journey.name
        other = other or bool(
            trigger.segment and event.properties.get("segment") != trigger.segment
        )
        if journey.name in entered or other:
            continue
        key = keys.get(journey.name)
        earlier = [r for r in before.values() if (r.journey, r.key) == (journey.name, key)]
        if not in_season(journey, event.time):
            recorder.refused(event, journey.name, "starts", "outside its dates")
        elif any(_again(trigger.again, run, event.time) for run in earlier):
            recorder.refused(event, journey.name, "trigger/again", "they had this run before")
        elif trigger.condition is not None:
            why = f"does not hold: {trigger.condition.source}"
            recorder.refused(event, journey.name, "trigger/if", why)
        elif trigger.key is not None and key is None:
            recorder.refused(event, journey.name, "trigger/key", "no value")


def _again(again: Again, run: Enrollment, at: datetime) -> bool:
    """Whether an earlier run of the same key is what keeps another from starting."""
    if again.rule == "never" or run.status == "active":
        return True
    return again.rule == "after" and at - run.entered_at <= again.after
