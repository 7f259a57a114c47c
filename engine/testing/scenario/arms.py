"""What is left to chance in a journey, settled for a scenario: holdout and splits."""

from __future__ import annotations

import dataclasses

from engine.model.journey import Arm, Journey, Split
from engine.testing.scenario.model import Scenario


def prepared(journey: Journey, scenario: Scenario) -> Journey:
    """The journey with nothing left to chance: holdout all or none, splits as the scenario says."""
    steps = dict(journey.steps)
    for place, wanted in scenario.arms.items():
        found = split_at(journey, place)
        if found is not None:
            arms = tuple(
                dataclasses.replace(arm, weight=100 if label(arm) == wanted else 0, name=label(arm))
                for arm in found.arms
            )
            steps[found.path] = dataclasses.replace(found, arms=arms)
    return dataclasses.replace(journey, holdout=100 if scenario.holdout else 0, steps=steps)


def split_at(journey: Journey, place: str) -> Split | None:
    """The split that ``place`` names: its path or name, the journey before it or not."""
    local = place.removeprefix(f"{journey.name}/")
    step = journey.steps.get(journey.names.get(local, local))
    return step if isinstance(step, Split) else None


def label(arm: Arm) -> str:
    """What an arm is called: its name, else its share."""
    return arm.name or f"{arm.weight}%"
