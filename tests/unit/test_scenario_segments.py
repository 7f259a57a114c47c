"""Scenarios of journeys that segments start, and of segments themselves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.language import load_segments
from engine.language.report import Report
from engine.model.journey import Journey
from engine.runtime.simulate_segments import Segments
from engine.testing.scenario.coverage import measure
from engine.testing.scenario.model import Result
from engine.testing.scenario.observe import Recorder
from engine.testing.scenario.parse import parse_scenarios
from engine.testing.scenario.run import run
from tests.scenario_kit import POLICY, journey

SEGMENTS = {
    "spenders": "{if: profile.lifetime_value >= 100}",
    "looking": "{did: Product Viewed, within: 7 days}",
    "keen": "[{in segment: spenders}, {in segment: looking}]",
    "listed": "{on list: press}",
    "asked": "{in journey: spent}",
    "scored": "{rfm: {monetary: 5}}",
}
SPENT = """\
journey: spent
trigger: {segment: {entered: spenders}, again: always}
stop:
  - {event: Order Completed, goal: true}
  - {event: Segment Left, if: event.segment == "spenders"}
steps:
  - wait: 1 hour
  - send: email
    template: spent
"""
GONE = """\
journey: gone
trigger: {segment: {left: looking}, if: profile.tier == "gold", again: always}
steps:
  - send: email
    template: gone
"""
KEEN = """\
journey: keen
trigger: {segment: {entered: keen}, again: always}
steps:
  - send: email
    template: keen
"""
PROFILE = "{email: asha@example.org, consent: {email: true}, tier: gold"
BOUGHT = "{event: Order Completed, properties: {revenue: 60, currency: USD}}"
LOOKED = "{event: Product Viewed, properties: {product_id: p1}}"


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Segments:
    folder = tmp_path_factory.mktemp("config") / "segments"
    (folder / "lists").mkdir(parents=True)
    (folder / "lists" / "press.txt").write_text("asha@example.org\n")
    for name, who in SEGMENTS.items():
        (folder / f"{name}.yaml").write_text(f"segment: {name}\nwho: {who}\n")
    found = load_segments(folder, policy=POLICY)
    assert found.diagnostics == []
    return Segments.of(found)


def played(text: str, segments: Segments, *journeys: str) -> tuple[Result, Recorder]:
    known: dict[str, Journey] = {each.name: each for each in map(journey, journeys)}
    report = Report("a.yaml")
    (scenario,) = parse_scenarios(dedent(text), report, POLICY, known, segments.rules)
    assert report.diagnostics() == []
    return run(scenario, known, POLICY, segments)


def story(*expect: str, events: tuple[str, ...], more: str = "", spent: int = 60) -> str:
    lines = [
        "- scenario: A story",
        f"  profile: {PROFILE}, lifetime_value: {spent}}}",
        "  events:",
        f"    - {{at: 2026-03-02 10:00, {events[0][1:]}",
        *(f"    - {event}" for event in events[1:]),
        *(f"  {line}" for line in more.splitlines()),
        "  expect:" if expect else "  expect: nothing",
        *(f"    - {line}" for line in expect),
    ]
    return "\n".join(lines) + "\n"


def test_who_enters_starts_at_that_moment(segments: Segments) -> None:
    text = story(
        "{at: +0 minutes, enter segment: spenders}",
        "{at: +0 minutes, enter: spent}",
        "{at: +1 hour, send: email, template: spent}",
        events=(BOUGHT,),
    )
    result, _ = played(text, segments, SPENT)
    assert result.failures == []
    # The order that put them in comes before what it starts, whatever its id: it stops nothing.
    assert [line.why for line in result.timeline[:2]] == [
        "Order Completed",
        "Segment Entered: spenders",
    ]


def test_who_was_in_it_before_the_story_does_not_enter(segments: Segments) -> None:
    result, _ = played(story(events=(BOUGHT,), spent=500), segments, SPENT)
    assert result.failures == []


def test_the_next_order_is_the_goal_and_a_refund_stops(segments: Segments) -> None:
    refund = "{at: +30 minutes, event: Order Refunded, properties: {revenue: 60, currency: USD}}"
    text = story("{at: +30 minutes, exit: stopped}", events=(BOUGHT, refund))
    result, _ = played(text, segments, SPENT)
    assert result.failures == []
    text = story(
        "{at: +30 minutes, exit: goal}", events=(BOUGHT, "{at: +30 minutes, " + BOUGHT[1:])
    )
    assert played(text, segments, SPENT)[0].failures == []


def test_time_alone_takes_somebody_out_at_the_moment(segments: Segments) -> None:
    text = story(
        "{at: +7 days, leave segment: looking}",
        "{at: +0 days, send: email, template: gone}",
        events=(LOOKED,),
    )
    result, recorder = played(text, segments, GONE)
    assert result.failures == []
    (left,) = [seen for seen in recorder.seen if seen.kind == "leave segment"]
    first = recorder.events[0][0].time
    assert left.at == first + timedelta(days=7, microseconds=1)


def test_a_segment_of_segments_follows_both(segments: Segments) -> None:
    looked_later = "{at: +2 days, " + LOOKED[1:]
    text = story(
        "{at: +2 days, enter segment: keen}",
        "{at: +0 days, send: email, template: keen}",
        "{at: +7 days, leave segment: keen}",
        events=(BOUGHT, looked_later),
    )
    assert played(text, segments, KEEN)[0].failures == []


def test_a_segment_that_the_story_states_is_taken_as_it_says(segments: Segments) -> None:
    text = story(
        "{at: +0 days, enter segment: keen}",
        "{at: +0 days, send: email, template: keen}",
        events=(LOOKED,),
        more="segments: [spenders]",
    )
    text += "    - {at: +7 days, leave segment: keen}\n"
    assert played(text, segments, KEEN)[0].failures == []


def test_a_segment_whose_events_are_told_is_not_worked_out(segments: Segments) -> None:
    told = "{event: Segment Entered, properties: {segment: spenders}}"
    later = "{at: +2 hours, " + BOUGHT[1:]
    text = story("{at: +1 hour, send: email, template: spent}", events=(told, later))
    result, recorder = played(text, segments, SPENT)
    assert result.failures == []
    assert not [seen for seen in recorder.seen if seen.kind == "enter segment"]


def test_runs_and_lists_decide_as_live(segments: Segments) -> None:
    text = story(
        "{at: +0 minutes, enter segment: spenders}",
        "{at: +0 minutes, enter segment: asked}",
        "{at: +1 hour, leave segment: asked}",
        "{at: +0 minutes, send: email}",
        events=(BOUGHT,),
    )
    assert played(text, segments, SPENT)[0].failures == []
    # Whoever is on the list was so before the story, and nobody has scores in it.
    for name in ("listed", "scored"):
        text = story(f"{{enter segment: {name}}}", events=(BOUGHT,))
        (failure,) = played(text, segments)[0].failures
        assert f"enter segment: {name}" in failure.message


def test_a_segment_can_be_proven_without_a_journey(segments: Segments) -> None:
    text = story(
        "{at: +0 days, enter segment: looking}",
        "{at: +7 days, leave segment: looking}",
        events=(LOOKED,),
    )
    assert played(text, segments)[0].failures == []
    wrong = text.replace("+7 days", "+8 days")
    (failure,) = played(wrong, segments)[0].failures
    assert "1 day earlier" in failure.hint


def test_an_entry_that_is_not_expected_is_told(segments: Segments) -> None:
    back = "{at: +8 days, " + LOOKED[1:]
    text = story("{at: +0 days, enter segment: looking}", events=(LOOKED, back))
    (failure,) = played(text, segments)[0].failures
    assert failure.message.startswith("is not expected: ") and "looking" in failure.message
    assert "journey" not in failure.message


def test_coverage_asks_for_a_refusal_only_where_there_is_more_to_refuse(segments: Segments) -> None:
    text = story("{at: +7 days, send: email}", events=(LOOKED,))
    _, recorder = played(text, segments, GONE, SPENT)
    known = {each.name: each for each in map(journey, (GONE, SPENT))}
    gone, spent = measure(known, recorder.marks)
    assert [str(point) for point in gone.missing] == ["trigger/if: refuses"]
    assert not [point for point in spent.points if point.path == "trigger/if"]
    text = story(events=(LOOKED,)).replace("tier: gold", "tier: none")
    _, recorder = played(text, segments, GONE)
    assert "trigger/if: refuses" in map(str, measure(known, recorder.marks)[0].reached)


def test_a_name_that_is_nowhere_is_told() -> None:
    report = Report("a.yaml")
    text = story("{enter segment: lookin}", events=(LOOKED,), more="segments: spender")
    parse_scenarios(text, report, POLICY, {}, ("looking", "spenders"))
    told = [(each.code, each.message, each.hint) for each in report.diagnostics()]
    assert told == [
        ("J011", "there is no segment 'spender'", "did you mean 'spenders'?"),
        ("J011", "there is no segment 'lookin'", "did you mean 'looking'?"),
    ]


def test_the_command_takes_the_segments_of_the_project(tmp_path: Path) -> None:
    for folder in ("journeys/tests", "config/segments"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "journeys/keen.yaml").write_text(KEEN.replace("keen}", "looking}"))
    (tmp_path / "config/segments/looking.yaml").write_text(
        f"segment: looking\nwho: {SEGMENTS['looking']}\n"
    )
    (tmp_path / "config/winback.yaml").write_text("topics: {offers: {consent: opt-in}}\n")
    text = story("{at: +0 days, send: email}", events=(LOOKED,))
    (tmp_path / "journeys/tests/keen.yaml").write_text(text)
    told = CliRunner().invoke(group, ["--project-dir", str(tmp_path), "test", "--coverage", "100"])
    assert told.exit_code == 0, told.output
    (tmp_path / "config/segments/looking.yaml").write_text("segment: looking\nwho: {dit: x}\n")
    told = CliRunner().invoke(group, ["--project-dir", str(tmp_path), "test"])
    assert told.exit_code == 1 and "looking.yaml:2" in told.output
