"""Where a run stands in the edited version of its journey."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.core.migrate import (
    Fate,
    Rule,
    added_stops,
    counterpart,
    fate,
    moved_between,
    moved_words,
    step_label,
)
from engine.language import load_journey
from engine.model.enrollment import Enrollment
from engine.model.journey import Journey

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

STEPS = """
  - wait: 4 hours
  - send: email
    template: one
  - wait for: {event: Email Clicked, at most: 2 days}
    name: click
    then:
      - wait: 1 day
      - exit: came back
  - wait: {until: "10:00"}
"""


def journey(steps: str = STEPS, stop: str = "{event: Order Completed}") -> Journey:
    found, wrong = load_journey(
        f"journey: cart\ntrigger: {{event: Product Added}}\nstop: {stop}\nsteps:{steps}", "cart"
    )
    assert found is not None, wrong
    return found


def run(at: str | None, wakes_in: timedelta | None, waiting_for: str = "") -> Enrollment:
    wake_at = None if wakes_in is None else NOW + wakes_in
    return Enrollment(
        *("id", "cart", "old", 1, "", 1, "event", NOW - timedelta(days=9)),
        at=at,
        wake_at=wake_at,
        waiting_for=waiting_for,
    )


def moved(
    new: str,
    at: str = "steps/0",
    wakes_in: timedelta | None = 3 * HOUR,
    since: timedelta | None = None,
    rule: Rule = "move",
) -> Fate:
    began = None if since is None else NOW - since
    return fate(journey(), journey(new), rule, run(at, wakes_in), began, NOW)


def test_a_step_that_is_as_it_was_keeps_its_timer() -> None:
    found = moved(STEPS + "  - send: sms\n    template: two\n")
    assert found == Fate("keeps", "steps/0", NOW + 3 * HOUR, "", "keeps its timer")


def test_a_longer_wait_keeps_its_timer() -> None:
    found = moved(STEPS.replace("4 hours", "9 hours"))
    assert (found.action, found.wake_at) == ("keeps", NOW + 3 * HOUR)


def test_a_shorter_wait_counts_from_when_it_began() -> None:
    # Waits since one hour; two of the three hours that it lasts now are left.
    found = moved(STEPS.replace("4 hours", "3 hours"))
    assert (found.action, found.wake_at) == ("sooner", NOW + 2 * HOUR)


def test_a_wait_that_is_over_by_now_ends_now_and_counts_as_on_time() -> None:
    found = moved(STEPS.replace("4 hours", "30 minutes"))
    assert (found.action, found.wake_at) == ("goes on", NOW)


def test_the_trace_knows_better_when_a_wait_began() -> None:
    """After an edit that made the wait longer, the timer alone would tell a wrong start."""
    found = moved(STEPS.replace("4 hours", "6 hours"), since=5 * HOUR, wakes_in=3 * HOUR)
    assert (found.action, found.wake_at) == ("sooner", NOW + HOUR)


def test_a_timer_that_is_due_already_stays_as_late_as_it_is() -> None:
    """Else an edit would make a week's mail count as on time (P9)."""
    found = moved(STEPS.replace("4 hours", "1 hour"), wakes_in=-5 * HOUR)
    assert (found.action, found.wake_at) == ("keeps", NOW - 5 * HOUR)


def test_a_timer_that_stands_still_goes_on_standing() -> None:
    found = moved(STEPS, wakes_in=None)
    assert (found.action, found.at, found.wake_at) == ("stands still", "steps/0", None)


def test_a_wait_for_an_event_takes_the_new_event_and_the_shorter_time() -> None:
    new = STEPS.replace("Email Clicked, at most: 2 days", "Page Viewed, at most: 1 day")
    found = moved(new, "steps/2", timedelta(hours=40))
    assert found == Fate(
        "sooner", "steps/2", NOW + 16 * HOUR, "Page Viewed", "the wait became shorter"
    )


def test_a_named_step_is_found_wherever_it_went() -> None:
    new = "\n  - update: {seen: true}" + STEPS
    found = moved(new, "steps/2", timedelta(hours=40))
    assert (found.action, found.at, found.waiting_for) == ("keeps", "steps/3", "Email Clicked")


def test_without_a_name_the_path_and_the_kind_must_be_the_same() -> None:
    found = moved("\n  - update: {seen: true}" + STEPS)
    assert (found.action, found.why) == ("leaves", "its step is gone (step 1)")


@pytest.mark.parametrize(
    ("new", "at", "there"),
    [
        (STEPS.replace("name: click", "name: tap"), "steps/2", "steps/2"),  # renamed
        (STEPS.replace("    name: click\n", ""), "steps/2", "steps/2"),  # its name is gone
        # Its name went to a step of another kind: that is what it became.
        (
            "\n  - wait: 1 hour\n    name: click\n  - wait: 2 hours\n"
            "  - wait for: {event: Email Clicked, at most: 2 days}\n",
            "steps/2",
            None,
        ),
        # What stands at its path now is known to be another step.
        ("\n  - wait for: {event: X, at most: 1 day}\n    name: click", "steps/0", None),
        (STEPS, "steps/2/then/0", "steps/2/then/0"),
        (STEPS.replace('{until: "10:00"}', "2 hours"), "steps/3", "steps/3"),  # both are waits
        ("\n  - wait: 4 hours", "steps/3", None),  # deleted
    ],
)
def test_the_counterpart_of_a_step(new: str, at: str, there: str | None) -> None:
    assert counterpart(journey(), journey(new), at) == there


def test_what_a_step_was_once_called_does_not_take_it_over() -> None:
    """Two waits change places; only names can tell, and they do."""
    old = "\n  - wait: 1 hour\n    name: a\n  - wait: 2 hours\n    name: b\n"
    new = "\n  - wait: 2 hours\n    name: b\n  - wait: 1 hour\n    name: a\n"
    assert counterpart(journey(old), journey(new), "steps/0") == "steps/1"
    assert counterpart(journey(old), journey(new), "steps/1") == "steps/0"
    third = "\n  - wait: 2 hours\n    name: b\n"
    assert counterpart(journey(old), journey(third), "steps/0") is None


def test_a_moment_on_the_calendar_keeps_its_timer() -> None:
    found = moved(STEPS.replace('"10:00"', '"09:00"'), "steps/3", 20 * HOUR, since=2 * HOUR)
    assert (found.action, found.wake_at) == ("keeps", NOW + 20 * HOUR)
    # A wait of its own length in its place counts from when the other began.
    found = moved(STEPS.replace('{until: "10:00"}', "6 hours"), "steps/3", 20 * HOUR, 2 * HOUR)
    assert (found.action, found.wake_at) == ("sooner", NOW + 4 * HOUR)


@pytest.mark.parametrize(
    ("rule", "removed", "action", "why"),
    [
        ("finish", False, "finishes", ""),
        ("finish", True, "finishes", ""),
        ("leave", False, "leaves", "the journey was edited"),
        ("leave", True, "leaves", "the journey was removed"),
        ("move", True, "leaves", "the journey was removed"),
    ],
)
def test_the_other_rules(rule: Rule, removed: bool, action: str, why: str) -> None:
    new = None if removed else journey()
    found = fate(journey(), new, rule, run("steps/0", HOUR), None, NOW)
    assert (found.action, found.why) == (action, why)


def test_a_version_that_nobody_can_read_is_left_alone() -> None:
    found = fate(None, journey(), "move", run("steps/0", HOUR), None, NOW)
    assert found.action == "finishes"


def test_added_stops_are_those_of_another_event_or_condition() -> None:
    new = journey(
        stop="\n  - {event: Order Completed, goal: true}"
        "\n  - {event: Order Completed, if: event.total > 9}\n  - {event: Cart Emptied}"
    )
    assert [stop.path for stop in added_stops(journey(), new)] == ["stop/1", "stop/2"]
    assert added_stops(new, journey()) == ()


def test_words() -> None:
    assert step_label(journey(), "steps/2") == "step 3 (click)"
    assert step_label(journey(), "steps/2/then/0") == "step 3.then.1"
    assert step_label(journey(), "trigger/without") == "'trigger/without'"
    assert moved_between(moved_words("a1", "b2", "keeps its timer")) == ("a1", "b2")
    assert moved_between("for Email Clicked") is None
