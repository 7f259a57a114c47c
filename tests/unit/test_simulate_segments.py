"""Segments in a backtest: which are kept, what is counted, what is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.core.ids import profile_id
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.segment import Scale
from engine.runtime.backtest import Backtest
from engine.runtime.members import Member
from engine.runtime.reached import reached
from engine.runtime.simulate import Simulation
from engine.runtime.simulate_segments import (
    Crossings,
    Segments,
    SegmentSimulation,
    simulation_of,
)
from tests.property.segment_strategies import compiled
from tests.scenario_kit import POLICY
from tests.scenario_kit import journey as written
from tests.unit.core.build import T0, at, event, order, view

DAY = timedelta(days=1)
LOOKS = {"did": "Product Viewed", "within": "2 days"}
ENTERED = "journey: a\ntrigger: {segment: {entered: it}, again: always}\nsteps: [{exit: yes}]\n"


def segments(scale: Scale | None = None, **rules: Any) -> Segments:
    found = {name: compiled(rule, name) for name, rule in rules.items()}
    return Segments(found, {"vip": frozenset({"user:1"})}, scale)


def played(events: Iterable[Event], known: Segments, *journeys: Journey) -> SegmentSimulation:
    made = simulation_of(journeys, POLICY, known, bare=True)
    assert isinstance(made, SegmentSimulation)
    made.run(events, 9 * DAY)
    return made


HEARD = [
    ("trigger: {segment: {left: it}}", {"it"}),
    ("trigger: {event: Segment Entered, if: \"event.segment in ['it', 'keen']\"}", {"it", "keen"}),
    ("trigger: {event: Segment Entered}", {"it", "keen", "told"}),
    ("trigger: {event: Segment Entered, if: event.segment == 'it' or key}", {"it", "keen", "told"}),
    (
        "trigger: {event: Page}\nstop: {event: Segment Left, if: key and event.segment == 'keen'}",
        {"keen"},
    ),
    ("trigger: {event: Page, if: did('Segment Left')}", {"it", "keen", "told"}),
    ("trigger: {segment: {entered: told}}", {"told", "keen"}),
    ("trigger: {segment: {entered: others}}", set()),
    ("trigger: {event: Page}", set()),
]


@pytest.mark.parametrize(("head", "expected"), HEARD, ids=[str(n) for n in range(len(HEARD))])
def test_only_what_the_journeys_hear_of_is_kept(head: str, expected: set[str]) -> None:
    told = {"did": "Segment Entered", "if": "event.segment == 'keen'"}
    known = segments(it=LOOKS, keen=LOOKS, told=told)
    journey = written(f"journey: a\n{head}\nsteps: [{{exit: yes}}]\n")
    assert set(reached([journey], known.rules)) == expected
    made = simulation_of([journey], POLICY, known)
    assert type(made) is (SegmentSimulation if expected else Simulation)


def test_who_came_and_went_is_counted() -> None:
    events = [view(T0), view(at(days=4)), view(at(days=5), who=["user:2"])]
    made = played(events, segments(it=LOOKS), written(ENTERED))
    assert made.crossings == {"it": Crossings(3, 3)}
    assert made.tallies["a"].enrolled == 3


def test_what_a_recording_tells_of_kept_segments_is_not_counted_twice() -> None:
    ours = event("Segment Entered", T0, segment="it", context={"made_by": "winback"})
    shops = event("Segment Entered", at(days=1), segment="it")
    made = played([view(T0), ours, shops], segments(it=LOOKS), written(ENTERED))
    assert (made.crossings["it"].entered, made.tallies["a"].enrolled, made.events) == (1, 2, 2)


def test_what_was_learned_starts_nothing() -> None:
    known = segments(it=LOOKS, lost={"last": "Product Viewed", "longer ago than": "2 days"})
    lost = ENTERED.replace("entered: it", "entered: lost").replace("journey: a", "journey: b")
    made = simulation_of([written(ENTERED), written(lost)], POLICY, known, bare=True)
    made.learn(view(T0))
    made.learn(view(at(days=3), who=["user:2"]))
    made.feed(view(at(days=4), who=["user:2"]))
    tallies = made.finish(9 * DAY)
    assert (tallies["a"].enrolled, tallies["b"].enrolled) == (0, 1)
    assert isinstance(made, SegmentSimulation)
    assert made.crossings == {"it": Crossings(0, 1), "lost": Crossings(1, 0)}


def test_both_sides_of_a_backtest_keep_their_own() -> None:
    longer = {"did": "Product Viewed", "within": "9 days"}
    journey = written(ENTERED)
    backtest = Backtest(
        [journey],
        POLICY,
        against=[journey],
        segments=segments(it=LOOKS),
        others=segments(it=longer),
    )
    new, old = backtest.run([view(T0), view(at(days=4))], 5 * DAY)
    assert new.segments == {"it": Crossings(2, 2)} and old.segments == {"it": Crossings(1, 0)}
    assert (new.tallies["a"].enrolled, old.tallies["a"].enrolled) == (2, 1)


def test_scores_go_by_the_scale_that_is_handed_in() -> None:
    scale = Scale((DAY,) * 4, (1,) * 4, (1,) * 4)  # type: ignore[arg-type]
    for chosen, entered in ((None, 0), (scale, 1)):
        known = segments(chosen, it={"rfm": {"recency": 5}})
        made = played([order(T0)], known, written(ENTERED))
        assert made.crossings["it"].entered == entered


def test_lists_know_a_name_only_once_it_was_told() -> None:
    known = segments(it={"on list": "vip"})
    events = [view(T0, who=["anonymous:a"]), view(T0 + DAY, who=["user:1", "anonymous:a"])]
    made = played(events, known, written(ENTERED))
    ((_, _, standing),) = made.standings()
    assert standing.since == T0 + DAY


def member(made: SegmentSimulation, name: str = "user:1") -> Member:
    found = made._people[profile_id(name)]
    assert isinstance(found, Member)
    return found


def test_what_no_rule_can_look_back_at_is_forgotten() -> None:
    revenue = {"did": "Order Completed", "sum of": "event.revenue", "is": "more than 5"}
    known = segments(it=LOOKS, rich=revenue | {"within": "2 days"})
    journeys = [
        written(
            ENTERED.replace("journey: a", f"journey: {n}").replace("entered: it", f"left: {name}")
        )
        for n, name in (("a", "it"), ("b", "rich"))
    ]
    events = [order(at(days=n), "p", revenue=7) for n in range(50)]
    events += [view(at(days=50 + n)) for n in range(50)]
    made = played(events, known, *journeys)
    past = member(made).past
    assert len(past.named("Order Completed")) < 12 and len(past.named("Product Viewed")) < 12
    assert {frozenset(one.properties) for one in past.named("Order Completed")} == {
        frozenset({"revenue"})
    }
    assert {frozenset(one.properties) for one in past.named("Product Viewed")} == {frozenset()}


def test_runs_that_count_no_more_are_forgotten() -> None:
    looked = (
        "journey: looked\ntrigger: {event: Product Viewed, again: always}\nsteps: [{exit: x}]\n"
    )
    known = segments(it={"was in journey": "looked", "within": "2 days"})
    made = played([view(at(days=n)) for n in range(40)], known, written(ENTERED), written(looked))
    assert len(member(made).stays) <= 4
    known = segments(it={"was in journey": "looked"})
    made = played([view(at(days=n)) for n in range(40)], known, written(ENTERED), written(looked))
    assert len(member(made).stays) <= 2
    assert made.crossings["it"] == Crossings(1, 0)


def test_the_command_shows_them(tmp_path: Path) -> None:
    for folder in ("journeys", "config/segments", "old"):
        (tmp_path / folder).mkdir(parents=True)
    for folder, word in (("journeys", "entered"), ("old", "left")):
        text = ENTERED.replace("entered", word)
        (tmp_path / folder / "a.yaml").write_text(text)
    rule = "segment: it\nwho: {did: Product Viewed, within: 2 days, if: event.price > 5}\n"
    (tmp_path / "config/segments/it.yaml").write_text(rule)
    (tmp_path / "config/winback.yaml").write_text("topics: {offers: {consent: opt-in}}\n")
    lines = [
        {"type": "track", "event": "Product Viewed", "userId": f"u{n}", "messageId": f"m{n}",
         "timestamp": f"2026-03-0{n}T10:00:00Z", "properties": {"price": n * 3}}
        for n in (1, 2, 3)
    ]  # fmt: skip
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = ["--project-dir", str(tmp_path), "simulate", "--events", str(tmp_path / "e.jsonl")]
    told = CliRunner().invoke(group, [*words, "--json"])
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert document["segments"] == {"it": {"entered": 2, "left": 2}}
    assert document["journeys"]["a"]["enrolled"] == 2
    told = CliRunner().invoke(group, words)
    assert "segments" in told.output and "entered" in told.output
    told = CliRunner().invoke(group, [*words, "--against", str(tmp_path / "old")])
    assert "entered before" in told.output
    (tmp_path / "config/segments/it.yaml").write_text("segment: it\nwho: {rfm: {monetary: 5}}\n")
    told = CliRunner().invoke(group, words)
    assert "RFM" in told.stderr and told.exit_code == 0
