"""The segments of a scenario: what it says of them itself, and what is found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from engine.model.segment import All, Either, InSegment, Not, Rule
from engine.runtime.reached import TELLING
from engine.runtime.simulate_segments import Segments
from engine.testing.scenario.model import Scenario

#: The rule of a segment that everybody is in.
_ALWAYS = All(())


def as_told(scenario: Scenario, segments: Segments) -> Segments:
    """The segments that are found out under the scenario's clock. One of which it tells itself,
    with events or under ``segments``, is not."""
    events = (event for event in scenario.events if event.name in TELLING)
    told = {str(event.properties.get("segment")) for event in events}
    told |= set(scenario.segments)
    rules = {
        name: dataclasses.replace(segment, rule=_given(segment.rule, scenario.segments))
        for name, segment in segments.rules.items()
        if name not in told
    }
    return dataclasses.replace(segments, rules=rules)


def _given(rule: Rule, names: Collection[str]) -> Rule:
    """The rule where the shopper is in the segments ``names``, whatever these say."""
    match rule:
        case InSegment(name=name) if name in names:
            return dataclasses.replace(rule, rule=_ALWAYS)
        case InSegment(rule=inner) if inner is not None:
            return dataclasses.replace(rule, rule=_given(inner, names))
        case All(parts=parts) | Either(parts=parts):
            return dataclasses.replace(rule, parts=tuple(_given(part, names) for part in parts))
        case Not(part=part):
            return dataclasses.replace(rule, part=_given(part, names))
    return rule
