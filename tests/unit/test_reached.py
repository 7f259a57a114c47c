"""Which segments journeys hear of, read from what they are written in."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.conditions.asked import wanted
from engine.language import load_journey
from engine.model.segment import All, Segment
from engine.runtime.reached import reached

STEPS = "steps: [{exit: done}]"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("event.segment == 'keen'", "keen"),
        ("'keen' == event.segment", "keen"),
        ("event.segment == 'keen' and (profile.orders > 1 or key)", "keen"),
        ("profile.orders > 1 and (event.price > 2 and event.segment == 'keen')", "keen"),
        ("event['segment'] in ['keen']", "keen"),
        ("event.segment == 'keen' or profile.vip", None),
        ("(event.segment == 'keen' and profile.vip) or profile.orders", None),
        ("not event.segment == 'keen'", None),
        ("event.segment != 'keen'", None),
        ("event.segment == profile.favourite", None),
        ("trigger.segment == 'keen'", None),
        ("event.other == 'keen'", None),
        ("1 < 2 == event.segment", None),
    ],
)
def test_what_a_condition_demands_of_a_property(source: str, name: str | None) -> None:
    assert wanted(source, "event", "segment") == (None if name is None else {name})


SEGMENTS = {name: Segment(name, "1", All(())) for name in "abcyz"}


def heard(folder: Path, *texts: str) -> set[str]:
    journeys = []
    for number, text in enumerate(texts):
        path = folder / f"j{number}.yaml"
        path.write_text(f"journey: j{number}\n{text}\n")
        journey, findings = load_journey(path)
        assert journey is not None, findings
        journeys.append(journey)
    return set(reached(journeys, SEGMENTS))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"trigger: {{event: Product Viewed}}\n{STEPS}", frozenset()),
        (f"trigger: {{segment: {{left: a}}, if: profile.orders > 1}}\n{STEPS}", frozenset("a")),
        (
            "trigger: {segment: {entered: a}}\n"
            "stop: [{event: Segment Left, if: event.segment == 'b'}]\n"
            "steps: [{wait for: {event: Segment Entered, if: event.segment == 'c',"
            " at most: 1 day}}]",
            frozenset("abc"),
        ),
        (f"trigger: {{event: Segment Entered}}\n{STEPS}", None),
        (
            f"trigger: {{segment: {{entered: a}}}}\nstop: [{{event: Segment Left}}]\n{STEPS}",
            None,
        ),
        (
            "trigger:\n  event: Product Viewed\n"
            f"  if: did('Segment Left', within='2 days')\n{STEPS}",
            None,
        ),
    ],
    ids=["none", "trigger", "everywhere", "any", "any-stop", "past"],
)
def test_which_segments_journeys_are_told_of(
    tmp_path: Path, text: str, names: frozenset[str] | None
) -> None:
    expected = SEGMENTS.keys() if names is None else names
    assert heard(tmp_path, text) == expected
    assert heard(tmp_path, text, f"trigger: {{segment: {{left: z}}}}\n{STEPS}") == expected | {"z"}
